// A linked group on the first screen: what it is made of, what is wrong with it, and what can be done with it.

import { ago, button, count, el, field, line, lozenge, message, time } from "./dom.js";
import { history } from "./history.js";
import { confirmUnlink } from "./unlink.js";
import * as words from "./words.js";

export function linkCard(app, link) {
  const renew = button("Renew", () => app.link(link), { label: `Renew the link of ${link.path}` });
  const unlink = button("Unlink", () => confirmUnlink(app, link), { kind: "subtle danger-text", label: `Unlink ${link.path}` });
  return el(
    "article",
    { class: "card stack tight", "aria-label": link.path, "data-link": link.id },
    el("div", { class: "row between title" }, el("h3", { class: "row" }, link.path, state(link)), el("div", { class: "row" }, link.state === "active" && renew, unlink)),
    troubles(link),
    facts(link),
    history(app, link),
    projectKeys(app, link),
  );
}

/** Whether something goes on that a card shows the progress of. */
export function isUnderWay({ hooks, history, audit }) {
  return hooks?.is_running === true || history?.state === "running" || audit?.state === "running";
}

/** Whether no delivery of it has come in yet. */
export function isSilent({ state, last_event }) {
  return state === "active" && last_event === null;
}

/** Shows on the card of `link` how far it has come by now. What a person has begun to fill in stays. */
export function showProgress(app, card, link) {
  const focused = card.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
  card.querySelector("h3 .lozenge").replaceWith(state(link));
  card.querySelector(".troubles").replaceWith(troubles(link));
  card.querySelector(".facts").replaceWith(facts(link));
  const before = card.querySelector(".history");
  const after = history(app, link);
  if (before && after) before.replaceWith(after);
  if (focused && !card.contains(document.activeElement)) card.querySelector(`[aria-label="${CSS.escape(focused)}"]`)?.focus();
}

/** What is wrong with a link, and what is waited for. */
function troubles({ attention, waits }) {
  return el("div", { class: "troubles stack tight" }, attention.map((sentence) => message("warning", sentence)), waits.map(wait));
}

/** Something that backs off. */
export function wait({ what, until, reason }) {
  return message("information", el("p", {}, `${reason} Calls to ${what} resume at `, time(until), "; until then events wait, and none is lost."));
}

function state({ state, attention }) {
  if (state === "pending") return lozenge("Incomplete", "error");
  return attention.length > 0 ? lozenge("Needs attention", "warning") : lozenge("Linked", "success");
}

function fact(name, ...value) {
  return el("div", {}, el("dt", {}, name), el("dd", {}, value));
}

function facts({ gitlab, version, hook, signed, hooks, credential, token_expires_at, linked_at, linked_by, last_event }) {
  return el(
    "dl",
    { class: "facts" },
    fact("GitLab", words.instance(gitlab), version && el("span", { class: "subtle" }, ` ${version}`)),
    fact("Webhook", words.hook(hook), el("span", { class: "subtle" }, signed ? ", signed" : ", with a secret token"), hooks?.is_running && progress(hooks)),
    fact("Access token", words.credential(credential), token_expires_at && el("span", { class: "subtle" }, ", until ", time(token_expires_at))),
    fact("Linked", time(linked_at), linked_by && el("span", { class: "subtle" }, ` by @${linked_by}`)),
    fact("Last event", last_event ? ago(last_event) : "None yet"),
  );
}

/** How far webhooks of projects have come. */
function progress({ seen, total }) {
  const projects = count(total ?? seen, "project", "projects");
  const text = total === null ? `${projects} done` : `${seen.toLocaleString()} of ${projects} done`;
  return el("span", { class: "progress" }, el("progress", { value: total === null ? null : String(seen), max: total === null ? null : String(Math.max(total, 1)), "aria-label": "Webhooks of projects" }), text);
}

/** Which Jira projects the link sends to, and the form that changes it. */
function projectKeys(app, link) {
  const node = el("div", { class: "keys" });
  const showKeys = () => {
    const keys = link.project_keys;
    const edit = button("Edit", showForm, { kind: "link", label: `Edit the Jira projects of ${link.path}` });
    const value = keys.length > 0 ? keys.map((key) => el("code", {}, key)) : "All that GitLab names";
    node.replaceChildren(line("Jira projects", value, edit));
    return edit;
  };
  const showForm = () => {
    const input = el("input", { type: "text", autocomplete: "off", spellcheck: "false", value: link.project_keys.join(", ") });
    const keys = field("Jira projects", input, { help: "Keys such as PAY, OPS. Leave it empty to send to all." });
    const save = button("Save", null, { kind: "primary", type: "submit" });
    const cancel = button("Cancel", () => showKeys().focus(), { kind: "subtle" });
    const submit = (event) => {
      event.preventDefault();
      app.run(save, keys.fail, async () => {
        const project_keys = words.projectKeys(input.value);
        const answer = await app.api.call("set_project_keys", { link: link.id, project_keys });
        app.go("overview", { answer, done: { sentence: saved(link.path, project_keys), notes: [] } });
      });
    };
    node.replaceChildren(el("form", { class: "stack tight", on: { submit } }, keys.node, el("div", { class: "row" }, save, cancel)));
    input.focus();
  };
  showKeys();
  return node;
}

function saved(path, keys) {
  return keys.length > 0 ? `${path} now sends only keys of ${keys.join(", ")}.` : `${path} now sends all keys that GitLab names.`;
}
