// The dialog before a group is unlinked: what happens to GitLab's side and to Jira's data.

import { button, choice, el, newId, slot } from "./dom.js";

/** How long unlinking may take after there was no answer, in milliseconds: as long as its function may run on AWS. */
const MAX_WAIT = 60_000;

/** How often is looked whether the link is gone, in milliseconds. */
const POLL_INTERVAL = 3_000;

export function confirmUnlink(app, link) {
  const [titleId, failure] = [newId(), slot()];
  const name = newId();
  const remove = choice(
    "radio",
    { name, checked: true },
    "Delete from Jira what came through this link",
    "Branches, commits, merge requests, builds, deployments and feature flags disappear from the issues.",
  );
  const keep = choice("radio", { name }, "Keep in Jira what was sent", "It stays as it is now, and no longer changes.");
  const confirm = button("Unlink", null, { kind: "danger", type: "submit" });
  const submit = (event) => {
    event.preventDefault();
    app.run(confirm, failure.show, async () => {
      const done = await unlink(app, link, keep.input.checked);
      app.go("overview", { done: { sentence: sentence(done, keep.input.checked), notes: done.notes } });
    });
  };
  const form = el(
    "form",
    { class: "stack", on: { submit } },
    el("h2", { id: titleId }, `Unlink ${link.path}?`),
    el("p", {}, "Its activity no longer reaches Jira. The app removes its webhooks from GitLab, if its token may, and revokes a group access token that it created. This can take a minute: calls to Jira that are under way end first."),
    el("fieldset", {}, el("legend", {}, "What Jira shows now"), remove.node, keep.node),
    failure.node,
    el("div", { class: "row end" }, button("Cancel", () => dialog.close(), { kind: "subtle" }), confirm),
  );
  const dialog = el("dialog", { "aria-labelledby": titleId, on: { close: () => dialog.remove() } }, form);
  document.body.append(dialog);
  dialog.showModal();
}

async function unlink(app, link, keep_jira_data) {
  try {
    return await request(app, link, keep_jira_data);
  } catch (refusal) {
    // API Gateway waits for half a minute; the app goes on.
    if (refusal.cause === "no_answer" && (await isGone(app, link))) return { path: link.path, hooks_removed: 0, notes: [] };
    throw refusal;
  }
}

/** Whether the link goes in time. */
async function isGone(app, link) {
  for (const end = Date.now() + MAX_WAIT; Date.now() < end; ) {
    await new Promise((done) => setTimeout(done, POLL_INTERVAL));
    const overview = await app.api.call("overview").catch(() => null);
    if (overview === null) return false;
    if (!overview.links.some(({ id }) => id === link.id)) return true;
  }
  return false;
}

/** A person who is signed in there as an Owner may remove what the link's own token may not; nobody has to be. */
async function request(app, link, keep_jira_data) {
  const request = { link: link.id, keep_jira_data };
  if (app.session?.gitlab !== link.gitlab) return app.api.call("unlink", request);
  try {
    return await app.api.call("unlink", { ...request, sign_in: app.session.sign_in });
  } catch (refusal) {
    if (refusal.cause !== "sign_in_ended") throw refusal;
    app.session = null;
    return app.api.call("unlink", request);
  }
}

function sentence({ path, hooks_removed }, keep) {
  const done = [`${path} is unlinked`];
  if (hooks_removed > 0) done.push(hooks_removed === 1 ? "1 webhook is removed from GitLab" : `${hooks_removed} webhooks are removed from GitLab`);
  if (!keep) done.push("what it had sent is deleted from Jira");
  return `${done.join("; ")}.`;
}
