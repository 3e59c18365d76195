// The app's page in Jira: shows what the bundle answers about this site, and changes nothing. What is shown is decided in
// functions/forge-page; here it is only laid out. Texts from the answer are set as text, never as HTML.

import { invokeRemote, view } from "@forge/bridge";

// Another path where a reverse proxy puts a prefix before it; the build says so.
const path = typeof PAGE_PATH === "undefined" ? "/forge/page" : PAGE_PATH;

// Names of conditions and states, as the bundle keeps them.
const names = {
  active: "working",
  awaiting_token: "waiting for Forge's token",
  credential_rejected: "Jira refuses the credential",
  permission_missing: "Jira refuses a kind of data",
  pending: "incomplete",
  renamed: "renamed",
  suspended: "not reachable",
  switching: "changing connections",
  uninstalled: "uninstalled",
};

const connectionNames = { forge: "Forge", oauth: "OAuth credentials", connect: "Connect" };

// What to do when the bundle's answer can't be shown, by what Forge says of it.
// https://developer.atlassian.com/platform/forge/apis-reference/ui-api-bridge/invokeRemote/
const hints = [
  ["Invocation Token", "The bundle expects another app: compare its FORGE_APP_ID with the id of this app."],
  ["Invalid response", "The bundle gave no answer: is it running, and does its address lead to it? Run `gitlab-jira doctor`."],
  ["timed out", "The bundle took too long to answer. Reload the page; if that does not help, run `gitlab-jira doctor`."],
];

function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children.filter((child) => child !== null && child !== ""));
  return made;
}

function show(...children) {
  document.getElementById("page").replaceChildren(...children.flat());
}

function named(name) {
  return names[name] ?? String(name).replaceAll("_", " ");
}

function time(moment) {
  const date = new Date(moment);
  if (Number.isNaN(date.getTime())) return String(moment ?? "");
  return date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

function badge(text, kind) {
  return element("span", { className: `badge ${kind}` }, text);
}

function subtle(text) {
  return element("span", { className: "subtle" }, text);
}

/** A notice, with what stands between backticks as code. */
function notice(text) {
  const parts = text.split("`").map((part, index) => (index % 2 === 0 ? part : element("code", {}, part)));
  return element("p", { className: "notice" }, ...parts);
}

function section(title, list, empty, item) {
  const content =
    list.length > 0
      ? element("ul", {}, ...list.map((entry) => element("li", {}, ...item(entry))))
      : element("p", { className: "subtle" }, empty);
  return [element("h2", {}, title), content];
}

function site({ host, condition, since, remedy, needsResyncSince }) {
  return [
    element("h1", {}, "GitLab"),
    element(
      "p",
      { className: "row" },
      element("strong", {}, host),
      badge(named(condition), condition === "active" ? "good" : "bad"),
      subtle(`since ${time(since)}`),
    ),
    ...(remedy ? [notice(remedy)] : []),
    ...(needsResyncSince
      ? [notice(`The writing connection changed at ${time(needsResyncSince)}: Jira lacks what was sent before. New events arrive.`)]
      : []),
  ];
}

function connection({ kind, writes, here, installedAt, tokenUsableUntil }) {
  const lines = [`since ${time(installedAt)}`];
  if (kind === "forge") {
    lines.push(tokenUsableUntil ? `token until ${time(tokenUsableUntil)}` : "no token yet: Forge delivers one within the hour");
  }
  return [
    element(
      "div",
      { className: "row" },
      element("strong", {}, connectionNames[kind] ?? kind),
      badge(writes ? "writing connection" : "standby", writes ? "good" : ""),
      here ? subtle("this app") : null,
    ),
    element("p", { className: "subtle" }, lines.join(" · ")),
  ];
}

function link({ group, gitlab, state, attention }) {
  const needsAttention = state !== "active" || attention;
  return [
    element(
      "div",
      { className: "row" },
      element("strong", {}, group),
      badge(named(state), needsAttention ? "bad" : "good"),
      subtle(gitlab),
    ),
    ...(attention ? [notice(attention)] : []),
  ];
}

async function copy(code, button) {
  // In a frame, a browser may keep the clipboard to itself; then the text is at least marked.
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(code);
    button.textContent = "Marked";
  }
  setTimeout(() => (button.textContent = "Copy"), 2000);
}

function command({ title, command: text }) {
  const code = element("code", {}, text);
  const button = element("button", { type: "button", ariaLabel: `Copy: ${title}` }, "Copy");
  button.addEventListener("click", () => copy(code, button));
  return [element("div", {}, title), element("div", { className: "command" }, code, button)];
}

function overview(answer) {
  show(
    site(answer.site),
    section("Linked groups", answer.links, "No group is linked yet. The first command below links one.", link),
    section("Connections to Jira", answer.connections, "None.", connection),
    section("Commands", answer.commands, "None.", command),
    element("p", { className: "subtle" }, "Commands are for whoever runs the bundle: this page changes nothing."),
  );
}

function failure(sentence) {
  const button = element("button", { type: "button" }, "Try again");
  button.addEventListener("click", load);
  show(element("h1", {}, "GitLab"), notice(sentence), button);
}

/** The sentence of the answer, or what helps against the one of Forge. */
function sentence(said) {
  const text = said || "There is no answer.";
  const hint = hints.find(([part]) => text.includes(part))?.[1];
  return hint ? `${hint} (Forge says: ${text}.)` : text;
}

async function load() {
  show(element("h1", {}, "GitLab"), element("p", { className: "subtle" }, "Asking the bundle…"));
  try {
    const answer = await invokeRemote({ path, method: "POST" });
    if (answer?.body?.site) overview(answer.body);
    else failure(sentence(answer?.body?.error || answer?.message));
  } catch (error) {
    failure(sentence(error?.message));
  }
}

// Without it the page stays light, which is no reason to show nothing.
view.theme.enable().catch(() => {});
load();
