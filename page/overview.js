// The first screen: the site and its condition, its connections, its linked groups, and project keys that Jira does not know.

import { button, el, heading, lozenge, message, refreshAgo, slot, spinner, time } from "./dom.js";
import { isSilent, isUnderWay, linkCard, showProgress, wait } from "./link-card.js";
import { sessionLine } from "./session.js";
import * as words from "./words.js";

/** How often progress is asked for, and how often whether a link's first event has come. */
const PROGRESS = 3000;
const FIRST_EVENT = 15_000;

/** Shows `answer` if there is one, or asks; `done` is what was just done, `{sentence, notes}`, `notice` what was not. */
export function overview(app, { answer = null, done = null, notice = null }, signal) {
  const node = el("div", { class: "stack" });
  const said = done ? success(done) : notice && message("warning", notice);
  if (answer) {
    show(app, node, answer, said);
    follow(app, node, signal);
  } else {
    node.append(heading("GitLab for Jira"), spinner("Loading linked groups…"));
    load(app, node, said, signal);
  }
  return node;
}

function load(app, node, said, signal) {
  const failed = (sentence) => {
    const again = button("Try again", () => app.go("overview"));
    node.replaceChildren(heading("GitLab for Jira"), message("error", sentence, again));
  };
  app.load(signal, failed, async () => {
    const answer = await app.api.call("overview");
    if (signal.aborted) return;
    const hadFocus = node.contains(document.activeElement);
    show(app, node, answer, said);
    app.say("");
    if (hadFocus) node.querySelector("h1").focus({ preventScroll: true });
    follow(app, node, signal);
  });
}

/** Asks again while something is under way or awaited and somebody looks, and shows how far it is; also after no answer. */
async function follow(app, node, signal) {
  while (!signal.aborted) {
    const { links } = app.overview;
    const goesOn = links.some(isUnderWay);
    await new Promise((resolve) => setTimeout(resolve, goesOn ? PROGRESS : FIRST_EVENT));
    refreshAgo(node);
    if (signal.aborted || document.hidden || !(goesOn || links.some(isSilent))) continue;
    const answer = await app.api.call("overview").catch(() => null);
    if (signal.aborted) return;
    for (const link of answer?.links ?? []) {
      const card = node.querySelector(`[data-link="${CSS.escape(link.id)}"]`);
      if (card && !card.querySelector("[data-busy]")) showProgress(app, card, link);
    }
    app.overview = answer ?? app.overview;
  }
}

function show(app, node, answer, said) {
  app.overview = answer;
  const { site, links, connections } = answer;
  const suppressed = site.suppressed_projects;
  node.replaceChildren(
    ...[
      header(app, links.length > 0),
      said,
      siteState(site),
      links.length > 0 ? linkList(app, links) : empty(app),
      suppressed.length > 0 && suppressedProjects(app, suppressed),
      connectionList(connections),
      app.session && sessionLine(app),
    ].filter(Boolean),
  );
}

function header(app, hasLinks) {
  const link = button("Link a group", () => app.link(), { kind: "primary" });
  return el("div", { class: "page-header" }, heading("GitLab for Jira"), hasLinks && link);
}

/** What was done, and below it what a person should know of that. */
function success({ sentence, notes }) {
  const node = message("success", sentence);
  node.setAttribute("role", "status");
  return el("div", { class: "stack tight" }, node, notes.map((note) => message("information", note)));
}

function siteState(site) {
  const [name, kind] = words.condition(site.condition);
  return el(
    "div",
    { class: "stack tight" },
    el("p", { class: "row" }, el("strong", {}, site.host), lozenge(name, kind), el("span", { class: "subtle" }, "since ", time(site.since))),
    site.remedy && message("warning", site.remedy),
    site.needs_resync_since &&
      message("information", [
        el("p", {}, "Another connection has been writing since ", time(site.needs_resync_since), ". New activity arrives; what was sent before is sent again or, where a link has no access token, when it next changes in GitLab."),
      ]),
    site.waits.map(wait),
  );
}

function linkList(app, links) {
  return el(
    "section",
    { class: "stack tight" },
    el("h2", {}, `Linked groups (${links.length})`),
    links.map((link) => linkCard(app, link)),
  );
}

function empty(app) {
  return el(
    "section",
    { class: "empty" },
    el("h2", {}, "Link your first GitLab group"),
    el("p", {}, `Then ${words.WHAT} of its projects appear on the Jira issues whose keys they name.`),
    button("Link a group", () => app.link(), { kind: "primary" }),
    el("p", { class: "help" }, "You sign in to GitLab, choose a group of which you are Maintainer or Owner, and see what happens before anything is changed."),
  );
}

function suppressedProjects(app, keys) {
  const failure = slot();
  const check = button("Check again", () =>
    app.run(check, failure.show, async () => {
      const answer = await app.api.call("recheck_projects");
      app.go("overview", { answer, done: { sentence: "Jira is asked again when GitLab next names one of these keys.", notes: [] } });
    }),
  );
  return el(
    "section",
    { class: "stack tight" },
    el("h2", {}, "Keys without a Jira project"),
    el("p", {}, "Texts in GitLab name these, but Jira has no project with such a key. They are left out for a day; then Jira is asked again."),
    el("p", { class: "row" }, keys.map((key) => el("code", {}, key)), check),
    failure.node,
  );
}

function connectionList(connections) {
  const rows = connections.map(({ kind, writes, here, installed_at, token_usable_until }) =>
    el(
      "li",
      {},
      el(
        "p",
        { class: "row" },
        el("strong", {}, words.connection(kind)),
        writes ? lozenge("Writes", "success") : lozenge("Standby"),
        here && el("span", { class: "subtle" }, "this app"),
      ),
      el("p", { class: "subtle" }, "Since ", time(installed_at), kind === "forge" && forgeToken(token_usable_until)),
    ),
  );
  return el(
    "section",
    { class: "stack tight" },
    el("h2", {}, "Connections to Jira"),
    rows.length > 0 ? el("ul", { class: "rows" }, rows) : el("p", { class: "subtle" }, "None: install the app in Jira, or add OAuth credentials."),
  );
}

function forgeToken(until) {
  return until ? [" · token until ", time(until)] : " · no token yet: Forge delivers one within the hour";
}
