// What linking a group would mean, before anything is made, and the choices that a person has.

import { button, choice, count, el, field, heading, message, newId, spinner } from "./dom.js";
import { issueKeys } from "./issue-keys.js";
import { sessionLine } from "./session.js";

const HOOKS = {
  group: "One webhook of the group. It covers all projects, and those that are created later.",
  projects_not_owner: "A webhook in each project, because only an Owner may create one for the group. Projects that are created later get one within the hour, or when the link is renewed if its token may create none.",
  projects_no_group_hooks: "A webhook in each project, because this GitLab plan has no webhooks of groups. Projects that are created later get one within the hour, or when the link is renewed if its token may create none.",
};

const CREDENTIALS = {
  read: ["Group access token that may only read", "GitLab creates it for this link: read_api and read_repository, Developer role. Everything reaches Jira. If somebody removes a webhook, you are told, and renew the link."],
  managed: ["Group access token that manages webhooks", "As above, with the scope api and the Maintainer role: the app also repairs and removes its webhooks by itself."],
  given: ["An access token that you paste", "Of a bot or service account, so that the link does not end with a person: read_api and read_repository, or api for repairing webhooks."],
  none: ["No access token", "Only what webhooks say reaches Jira: no deployments, and fewer details."],
};

/** `group` is GitLab's id of it; `kept` is what this made before, with what was chosen there. */
export function preview(app, { group, kept = null }, signal) {
  if (kept) return kept;
  const node = el("div", { class: "stack" });
  node.append(heading("Link a group"), spinner("Looking at the group: its projects, webhooks and issue keys…"));
  const failed = (sentence) => {
    const actions = [button("Try again", () => app.go("preview", { group })), button("Back", () => back(app))];
    node.replaceChildren(heading("Link a group"), message("error", sentence, ...actions));
  };
  app.load(signal, failed, async () => {
    const answer = await app.api.call("preview", { sign_in: app.session.sign_in, group });
    if (signal.aborted) return;
    node.replaceChildren(...form(app, answer, node));
    node.querySelector("h1").focus({ preventScroll: true });
  });
  return node;
}

function back(app) {
  app.go(app.renewed ? "overview" : "groups");
  app.renewed = null;
}

function form(app, answer, node) {
  const credential = credentialChoice(app, answer);
  const keys = issueKeys(answer, app.overview.links.find(({ id }) => id === answer.link)?.project_keys ?? []);
  const verb = answer.link ? "Renew" : "Link";
  const link = button(`${verb} ${answer.path}`, null, { kind: "primary", type: "submit" });
  const submit = (event) => {
    event.preventDefault();
    const [chosen, project_keys] = [credential.value(), keys.value()];
    if (!chosen || !project_keys) return;
    const request = { sign_in: app.session.sign_in, group: answer.group, ...chosen, project_keys };
    app.go("linking", { answer, request, from: node });
  };
  return [
    heading(`${verb} ${answer.path}`),
    sessionLine(app),
    answer.link && message("information", "This group is linked already. Renewing makes a new credential, repairs the webhooks, and keeps what Jira shows."),
    ...answer.related.map(related),
    el("form", { class: "stack", on: { submit } }, what(answer), credential.node, keys.node, el("div", { class: "row" }, link, button("Back", () => back(app), { kind: "subtle" }))),
  ].filter(Boolean);
}

function related({ path, is_above }) {
  const sentence = is_above
    ? `${path} is linked already and covers this group, so its activity reaches Jira without a link of its own.`
    : `${path} lies in this group and is linked already. This link covers it as well, so you can unlink it afterwards.`;
  return message("information", sentence);
}

function what({ projects, hook }) {
  const covered = projects === null ? "All projects of the group and its subgroups" : `${count(projects, "project", "projects")}, subgroups included`;
  return el(
    "section",
    { class: "stack tight" },
    el("h2", {}, "What is linked"),
    el(
      "dl",
      { class: "facts wide" },
      el("div", {}, el("dt", {}, "Projects"), el("dd", {}, covered)),
      el("div", {}, el("dt", {}, "Webhooks"), el("dd", {}, HOOKS[hook] ?? hook)),
    ),
  );
}

/** What the link reads GitLab with. `value()` is that part of the request, or nothing if a token is missing. */
function credentialChoice(app, { credentials }) {
  const name = newId();
  const token = field("Access token", el("input", { type: "password", autocomplete: "off" }));
  // A token that was made for signing in can't be kept, so another one has to be pasted.
  const isNeeded = app.session.by_oauth;
  const best = credentials.find(({ unavailable }) => !unavailable)?.mode ?? "none";
  const options = credentials.map(({ mode, unavailable }) => {
    const [title, help] = CREDENTIALS[mode] ?? [mode, ""];
    const disabled = Boolean(unavailable) && mode !== "given";
    const attributes = { name, value: mode, checked: mode === best, disabled, on: { change: showToken } };
    return choice("radio", attributes, title, el("p", {}, help), disabled && el("p", { class: "reason" }, unavailable));
  });
  const chosen = () => options.find(({ input }) => input.checked).input.value;
  const place = el("div", { class: "under-choice narrow" }, token.node);
  if (!isNeeded) token.node.append(el("p", { class: "help" }, "Leave it empty to keep the token that you signed in with."));
  function showToken() {
    place.hidden = chosen() !== "given";
  }
  showToken();
  const nodes = options.flatMap(({ node, input }) => (input.value === "given" ? [node, place] : [node]));
  return {
    node: el("fieldset", {}, el("legend", {}, "What the link reads GitLab with"), nodes),
    value() {
      const [credential, pasted] = [chosen(), token.input.value.trim()];
      token.fail(null);
      if (credential !== "given") return { credential };
      if (pasted) return { credential, token: pasted };
      if (!isNeeded) return { credential };
      token.fail("Paste the access token that the link is to read GitLab with, or choose another option.");
      return null;
    },
  };
}
