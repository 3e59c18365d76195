// A link's history on its card: how far it has come, what could not be listed, sending it again, and what an audit has found.

import { button, choice, count, el, line, message, newId, slot, time } from "./dom.js";

const STATES = {
  running: "Being sent",
  paused: "Paused",
  cancelled: "Cancelled",
  done: "Sent",
  failed: "Stopped",
};

/** What a card says of a link's history, and the buttons that control it. */
export function history(app, link) {
  if (link.credential === "none") return null;
  const { history, audit } = link;
  const failure = slot();
  const act = (text, action, label = `${text} the history of ${link.path}`) => {
    const control = button(text, () => app.run(control, failure.show, () => send(app, link, action)), { kind: "link", label });
    return control;
  };
  const again = button("Resync", () => confirmResync(app, link), { kind: "link", label: `Resync the history of ${link.path}` });
  const buttons = {
    running: [act("Pause", "pause"), act("Cancel", "cancel")],
    paused: [act("Resume", "resume"), act("Cancel", "cancel")],
    cancelled: [act("Resume", "resume"), again],
    failed: [act("Resume", "resume"), again],
  };
  return el(
    "div",
    { class: "history stack tight" },
    line("History", history ? said(history) : "Not sent yet", buttons[history?.state] ?? again),
    history?.remedy && message("error", history.remedy),
    history?.troubles.length > 0 && troubles(history),
    line("Audit", audit ? found(audit) : "None yet", !isRunning(history) && !isRunning(audit) && act("Audit", "audit")),
    audit?.remedy && message("error", audit.remedy),
    audit?.troubles.length > 0 && missing(audit),
    audit?.failures.length > 0 && troubles({ troubles: audit.failures, failed: audit.failed }),
    audit?.branches_gone > 0 && !isRunning(history) && !isRunning(audit) && el("div", { class: "removal" }, removal(app, audit.branches_gone, link)),
    failure.node,
  );
}

function removal(app, gone, link) {
  const text = `Remove ${count(gone, "branch", "branches")} from issues`;
  return button(text, () => confirmRemoval(app, gone, link), { label: `${text} of ${link.path}` });
}

function isRunning(plan) {
  return plan?.state === "running";
}

function found({ state, since, ended, total, keyed, missing, without_issue, repaired, removed, failed, ended_at }) {
  if (state === "running") return `Under way: ${ended.toLocaleString()} of ${total === null ? "?" : count(total, "project", "projects")}`;
  if (state === "failed") return "Stopped";
  return [
    el("span", {}, `${missing.toLocaleString()} missing of ${keyed.toLocaleString()} that name issues`, since && [", changed since ", time(since)]),
    repaired > 0 && el("span", { class: "subtle" }, repaired === 1 ? "1 was missing and has been sent" : `${repaired.toLocaleString()} were missing and have been sent`),
    removed > 0 && el("span", { class: "subtle" }, `${count(removed, "branch", "branches")} gone in GitLab, removed`),
    without_issue > 0 && el("span", { class: "subtle" }, `${without_issue.toLocaleString()} ${without_issue === 1 ? "names" : "name"} no issue that Jira has`),
    failed > 0 && el("span", { class: "subtle" }, `${count(failed, "project", "projects")} not read to the end`),
    ended_at && el("span", { class: "subtle" }, time(ended_at)),
  ];
}

function missing({ missing, without_issue, troubles }) {
  const more = missing + without_issue - troubles.length;
  return el(
    "details",
    {},
    el("summary", {}, "What is missing, and why"),
    el("ul", {}, troubles.map((sentence) => el("li", {}, sentence)), more > 0 && el("li", {}, `and ${more.toLocaleString()} more`)),
  );
}

function said({ state, ended, total, keyed, sent, refused, unread, ended_at, estimated_end }) {
  const projects = total === null ? count(ended, "project", "projects") : `${ended.toLocaleString()} of ${count(total, "project", "projects")}`;
  const running = state === "running";
  return [
    el("span", {}, `${STATES[state] ?? state}: ${projects}`, keyed > 0 && `, ${sent.toLocaleString()} of ${keyed.toLocaleString()} on issues`),
    running && el("progress", { value: total === null ? null : String(ended), max: total === null ? null : String(Math.max(total, 1)), "aria-label": "History of projects" }),
    refused > 0 && el("span", { class: "subtle" }, `${refused.toLocaleString()} refused by Jira`),
    unread > 0 && el("span", { class: "subtle" }, `${unread.toLocaleString()} not readable`),
    running && estimated_end && el("span", { class: "subtle" }, "until about ", time(estimated_end)),
    !running && ended_at && el("span", { class: "subtle" }, time(ended_at)),
  ];
}

function troubles({ troubles, failed }) {
  const more = failed - troubles.length;
  return el(
    "details",
    {},
    el("summary", {}, `${count(failed, "project", "projects")} with something that could not be listed`),
    el("ul", {}, troubles.map((sentence) => el("li", {}, sentence)), more > 0 && el("li", {}, `and ${more.toLocaleString()} more`)),
  );
}

async function send(app, link, action) {
  const answer = await app.api.call("history", { link: link.id, action });
  app.go("overview", { answer });
}

function confirmResync(app, link) {
  const [titleId, name, failure] = [newId(), newId(), slot()];
  const missing = choice("radio", { name, checked: true }, "What is missing", "After an outage, or when a feature was enabled in a project. What Jira was sent before is left out.");
  const everything = choice("radio", { name }, "Everything", "After data was deleted in Jira. It takes longer, and starts no Smart Commits and workflow triggers.");
  const confirm = button("Resync", null, { kind: "primary", type: "submit" });
  const submit = (event) => {
    event.preventDefault();
    app.run(confirm, failure.show, () => send(app, link, everything.input.checked ? "resync_everything" : "resync_missing"));
  };
  const form = el(
    "form",
    { class: "stack", on: { submit } },
    el("h2", { id: titleId }, `Send the history of ${link.path} again?`),
    el("p", {}, "Merge requests, branches and commits of the last year, pipelines and deployments of the last 90 days, and all feature flags."),
    el("fieldset", {}, el("legend", {}, "What is sent"), missing.node, everything.node),
    failure.node,
    el("div", { class: "row end" }, button("Cancel", () => dialog.close(), { kind: "subtle" }), confirm),
  );
  const dialog = el("dialog", { "aria-labelledby": titleId, on: { close: () => dialog.remove() } }, form);
  document.body.append(dialog);
  dialog.showModal();
}

/** What was deleted by mistake in GitLab is not to disappear from issues as well. */
function confirmRemoval(app, gone, link) {
  const [titleId, failure] = [newId(), slot()];
  const branches = count(gone, "branch", "branches");
  const confirm = button("Remove", null, { kind: "danger", type: "submit" });
  const submit = (event) => {
    event.preventDefault();
    app.run(confirm, failure.show, () => send(app, link, "audit_and_remove"));
  };
  const form = el(
    "form",
    { class: "stack", on: { submit } },
    el("h2", { id: titleId }, `Remove ${branches} from issues?`),
    el("p", {}, `GitLab no longer has them. Another audit of ${link.path} looks again, and removes those that are still gone; their commits and merge requests stay.`),
    failure.node,
    el("div", { class: "row end" }, button("Cancel", () => dialog.close(), { kind: "subtle" }), confirm),
  );
  const dialog = el("dialog", { "aria-labelledby": titleId, on: { close: () => dialog.remove() } }, form);
  document.body.append(dialog);
  dialog.showModal();
}
