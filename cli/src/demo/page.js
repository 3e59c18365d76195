// Draws what /state answers, once a second. Builds elements, never markup: names come from a repository.

const element = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
};

const link = (url, text) => {
  const safe = /^https?:/.test(url);
  return safe ? element("a", { href: url }, text) : element("span", {}, text);
};

// Jira's states, in its words and colours.
const STATES = {
  OPEN: ["Open", "progress"], DRAFT: ["Draft", ""], MERGED: ["Merged", "success"], DECLINED: ["Declined", "failure"],
  APPROVED: ["Approved", "success"], UNAPPROVED: ["Not approved", ""], NEEDSWORK: ["Needs work", "caution"],
  pending: ["Pending", ""], in_progress: ["In progress", "progress"], successful: ["Successful", "success"],
  failed: ["Failed", "failure"], cancelled: ["Cancelled", ""], rolled_back: ["Rolled back", "caution"],
  on: ["On", "success"], off: ["Off", ""], merge: ["Merge", ""],
};

const lozenge = (state) => {
  const [words, colour] = STATES[state] ?? [String(state).replaceAll("_", " "), ""];
  return element("span", { className: `lozenge ${colour}` }, words);
};

const amount = (count, one, more) => `${count} ${count === 1 ? one : more}`;

const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60]];
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

const ago = (iso) => {
  const seconds = Math.round((new Date(iso) - Date.now()) / 1000);
  const [unit, length] = UNITS.find(([, length]) => -seconds >= length) ?? [];
  return unit ? relative.format(Math.trunc(seconds / length), unit) : "just now";
};

const when = (iso) => element("time", { dateTime: iso, title: new Date(iso).toLocaleString("en") }, ago(iso));

// One line of a section: what it is, details below it, states and time beside it.
const row = (what, details, ...marks) => element("li", {},
  element("div", { className: "what" }, what,
    element("p", { className: "detail" }, ...details.filter(Boolean).map((detail) => element("span", {}, detail)))),
  element("div", { className: "marks" }, ...marks));

const section = (title, items, draw) => items.length === 0 ? [] : [
  element("h3", {}, title, element("span", { className: "count" }, String(items.length))),
  element("ul", {}, ...items.map(draw)),
];

const lines = (files) => {
  const sum = (field) => files.reduce((total, file) => total + file[field], 0);
  return element("span", {},
    element("span", { className: "added" }, `+${sum("linesAdded")}`), " ",
    element("span", { className: "removed" }, `−${sum("linesRemoved")}`));
};

const changes = (commit) => commit.fileCount > 0 && element("span", {},
  amount(commit.fileCount, "file", "files"), " ", lines(commit.submitted.files ?? []));

const firstLine = (text) => text.split("\n")[0];

// As Jira does, offers a pull request only for a branch that has none.
const branch = (requests) => ({ url, name, repository, lastCommit, submitted, createPullRequestUrl }) => row(
  link(url, name),
  [repository, element("span", {}, "Last commit ", element("code", {}, link(submitted.lastCommit.url, lastCommit)))],
  createPullRequestUrl && !requests.some(({ sourceBranch }) => sourceBranch === name)
    ? link(createPullRequestUrl, "Create pull request") : null,
  when(submitted.lastCommit.authorTimestamp));

const commit = (commit) => row(
  element("span", {}, element("code", {}, link(commit.url, commit.displayId)), ` ${firstLine(commit.message)}`),
  [commit.author, changes(commit)],
  commit.isMerge ? lozenge("merge") : null,
  when(commit.authorTimestamp));

const reviewer = ([name, approval]) => element("span", {}, `${name} `, lozenge(approval));

const pullRequest = (request) => row(
  element("span", {}, link(request.url, request.title)),
  [request.displayId, `${request.sourceBranch} → ${request.destinationBranch}`, `by ${request.author}`,
    request.reviewers.length > 0 &&
      element("span", {}, "Reviewers: ", ...request.reviewers.flatMap((one, index) => [index ? ", " : "", reviewer(one)]))],
  lozenge(request.status),
  when(request.lastUpdate));

const tests = (info) => info &&
  `${amount(info.totalNumber, "test", "tests")}: ${info.numberPassed} passed, ${info.numberFailed} failed, ${info.numberSkipped} skipped`;

const build = (build) => row(
  link(build.url, `${build.displayName} #${build.buildNumber}`),
  [tests(build.submitted.testInfo)],
  lozenge(build.state),
  when(build.lastUpdated));

const deployment = (deployment) => row(
  link(deployment.url, deployment.displayName),
  [deployment.environment, deployment.pipeline],
  lozenge(deployment.environmentType),
  lozenge(deployment.state),
  when(deployment.lastUpdated));

const rollout = ({ percentage, text } = {}) =>
  [text, percentage === undefined ? null : `${percentage} %`].filter(Boolean).join(": ");

const flag = ({ key, enabled, environments, submitted: { summary } }) => row(
  link(summary.url, key),
  [rollout(summary.status.rollout), environments.join(", ")],
  lozenge(enabled ? "on" : "off"),
  when(summary.lastUpdated));

const panel = (issue) => {
  const sections = [
    ...section("Branches", issue.branches, branch(issue.pullRequests)),
    ...section("Commits", issue.commits, commit),
    ...section("Pull requests", issue.pullRequests, pullRequest),
    ...section("Builds", issue.builds, build),
    ...section("Deployments", issue.deployments, deployment),
    ...section("Feature flags", issue.flags, flag),
  ];
  const nothing = element("p", { className: "nothing" }, "No development information.");
  const command = `gitlab-jira explain ${issue.key}`;
  const explanation = issue.explanation &&
    element("pre", { tabIndex: 0, ariaLabel: `Answer of ${command}` }, `$ ${command}\n${issue.explanation}`);
  return element("article", { className: "panel", id: issue.key },
    element("h2", {}, element("span", { className: "key" }, issue.key), element("span", {}, issue.title)),
    ...(sections.length ? sections : [nothing]),
    explanation);
};

const clock = (iso, text = new Date(iso).toLocaleTimeString("en-GB")) =>
  element("time", { dateTime: iso, className: "clock" }, text);

const events = (deliveries) => {
  const names = [...new Set(deliveries.map(({ event }) => event.replace(" Hook", "").toLowerCase()))];
  return `${amount(deliveries.length, "webhook", "webhooks")} (${names.join(", ")})`;
};

const answer = (call, since) => {
  const later = since && `+${((new Date(call.at) - new Date(since)) / 1000).toFixed(1)}\u00a0s`;
  const taken = call.status < 300 ? "accepted" : `answered ${call.status} to`;
  return element("p", { className: "fact" }, clock(call.at, later),
    element("span", {}, `Jira ${taken} ${call.what}`));
};

const step = ({ what, deliveries, refused, calls, done }) => {
  const since = deliveries[0]?.at;
  const fact = (first, text) => element("p", { className: "fact" }, first, element("span", {}, text));
  const nothing = done && deliveries.length > 0 && calls.length === 0;
  return element("li", { className: "step" },
    element("p", { className: "what" }, what),
    since && fact(clock(since), `GitLab delivered ${events(deliveries)}`),
    refused > 0 ? fact(null, `Jira answered 503 to ${amount(refused, "call", "calls")}: the messages wait`) : null,
    ...calls.map((call) => answer(call, since)),
    nothing ? fact(null, "Nothing had to be sent to Jira") : null,
    done ? null : lozenge("in_progress"));
};

// Replaces only what changed, and gives the focus back, so that the page can be used while the story goes on.
const drawn = new Map();
const replace = (place, items, draw) => {
  const focused = document.activeElement?.getAttribute("href");
  const made = items.map((item) => {
    const [id, text] = [`${place.id} ${item.id}`, JSON.stringify(item)];
    if (drawn.get(id)?.text !== text) drawn.set(id, { text, node: draw(item) });
    return drawn.get(id).node;
  });
  const same = made.length === place.children.length && made.every((node, index) => node === place.children[index]);
  if (same) return;
  place.replaceChildren(...made);
  if (focused && document.activeElement === document.body) {
    [...place.querySelectorAll("a")].find((one) => one.getAttribute("href") === focused)?.focus();
  }
};

const at = (id) => document.getElementById(id);

// A page of one issue, for a picture: /?issue=PAY-7
const only = new URLSearchParams(location.search).get("issue");

const draw = async () => {
  try {
    const { issues, told: { steps, explanations, complete } } = await (await fetch("/state")).json();
    const shown = issues
      .filter(({ panel: { key } }) => !only || key === only)
      .map(({ title, panel }) => ({ ...panel, id: panel.key, title, explanation: explanations[panel.key] }));
    replace(at("issues"), shown, panel);
    replace(at("steps"), steps.map((told, index) => ({ id: index, ...told })), step);
    for (const time of document.querySelectorAll("time:not(.clock)")) time.textContent = ago(time.dateTime);
    const summary = complete
      ? `After ${amount(steps.length, "step", "steps")}, everything that was expected is on its issue.`
      : `${amount(steps.length, "step", "steps")} so far…`;
    if (at("state").textContent !== summary) at("state").textContent = summary;
  } catch {
    at("state").textContent = "The demo has ended.";
  }
};

document.documentElement.classList.toggle("only", only !== null);
await draw();
setInterval(draw, 1000);
