// Draws what /issues answers, once a second. Builds elements, never markup: names come from a repository.

const GOOD = ["MERGED", "APPROVED", "successful", "on"];
const BAD = ["DECLINED", "failed", "rolled_back"];
const BUSY = ["OPEN", "DRAFT", "in_progress", "pending"];

const element = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
};

const link = (url, text) => {
  const safe = /^https?:/.test(url);
  return safe ? element("a", { href: url }, text) : element("span", {}, text);
};

const state = (word) => {
  const mood = GOOD.includes(word) ? "good" : BAD.includes(word) ? "bad" : BUSY.includes(word) ? "busy" : "";
  return element("span", { className: `state ${mood}` }, String(word).replaceAll("_", " "));
};

const row = (what, detail, mark) =>
  element("li", {}, element("div", { className: "what" }, what, detail ? element("small", {}, detail) : null), mark);

const section = (title, items, draw) =>
  items.length ? [element("h3", {}, title), element("ul", {}, ...items.map(draw))] : [];

const tests = (info) =>
  info ? `${info.totalNumber} tests, ${info.numberFailed} failed, ${info.numberSkipped} skipped` : "";

const rollout = (flag) => {
  const { percentage, text } = flag.submitted.summary.status.rollout ?? {};
  return [text, percentage === undefined ? null : `${percentage} %`, flag.environments.join(", ")].filter(Boolean).join(" · ");
};

const panel = (issue) => element("article", {},
  element("h2", {}, issue.key),
  ...section("Branches", issue.branches, (branch) => row(link(branch.url, branch.name), null, null)),
  ...section("Commits", issue.commits, (commit) =>
    row(element("span", {}, element("code", {}, link(commit.url, commit.displayId)), ` ${commit.message.split("\n")[0]}`),
      `${commit.author} · ${commit.fileCount} ${commit.fileCount === 1 ? "file" : "files"}`,
      commit.isMerge ? state("merge") : null)),
  ...section("Merge requests", issue.pullRequests, (request) =>
    row(link(request.url, request.title),
      [`${request.displayId} · ${request.sourceBranch} → ${request.destinationBranch}`,
        ...request.reviewers.map(([name, verdict]) => `${name}: ${verdict.toLowerCase()}`)].join(" · "),
      state(request.status))),
  ...section("Builds", issue.builds, (build) =>
    row(link(build.url, `${build.displayName} #${build.buildNumber}`), tests(build.submitted.testInfo), state(build.state))),
  ...section("Deployments", issue.deployments, (deployment) =>
    row(link(deployment.url, deployment.displayName), `${deployment.environment} (${deployment.environmentType})`, state(deployment.state))),
  ...section("Feature flags", issue.flags, (flag) =>
    row(link(flag.submitted.summary.url, flag.key), rollout(flag), state(flag.enabled ? "on" : "off"))));

const draw = async () => {
  const status = document.querySelector("#state");
  try {
    const { issues, calls } = await (await fetch("/issues")).json();
    issues.sort((one, other) => one.key.localeCompare(other.key, "en", { numeric: true }));
    document.querySelector("#issues").replaceChildren(...issues.map(panel));
    status.textContent = `${issues.length} issues from ${calls} calls.`;
  } catch {
    status.textContent = "The demo has ended.";
  }
};

draw();
setInterval(draw, 1000);
