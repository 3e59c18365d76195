// The dialog before a group is unlinked: what happens to GitLab's side and to Jira's data.

import { button, choice, el, newId, slot } from "./dom.js";

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
    el("p", {}, "Its activity no longer reaches Jira. The app removes its webhooks from GitLab, if its token may, and revokes a group access token that it created."),
    el("fieldset", {}, el("legend", {}, "What Jira shows now"), remove.node, keep.node),
    failure.node,
    el("div", { class: "row end" }, button("Cancel", () => dialog.close(), { kind: "subtle" }), confirm),
  );
  const dialog = el("dialog", { "aria-labelledby": titleId, on: { close: () => dialog.remove() } }, form);
  document.body.append(dialog);
  dialog.showModal();
}

/** A person who is signed in there as an Owner may remove what the link's own token may not; nobody has to be. */
async function unlink(app, link, keep_jira_data) {
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
