// Another GitLab instance: which one, and the OAuth application there that lets people sign in.

import { button, copyable, el, field, heading, message } from "./dom.js";

/** `gitlab` is its URL if that is known; `notice` says what is missing. */
export function application(app, { gitlab = "", notice = null }) {
  const url = field("GitLab URL", el("input", { type: "text", inputmode: "url", autocomplete: "off", spellcheck: "false", required: true, value: gitlab }), {
    help: "Such as https://gitlab.example.com. It has to be reachable from where this app runs.",
  });
  const id = field("Application ID", el("input", { type: "text", autocomplete: "off", spellcheck: "false", required: true }), {
    help: "GitLab shows it after you saved the application. The secret is not needed.",
  });
  const save = button("Save", null, { kind: "primary", type: "submit" });
  const submit = (event) => {
    event.preventDefault();
    const failed = (sentence) => {
      id.fail(null);
      url.fail(null);
      // Only these two can be wrong, and the sentence says which.
      (sentence && /application id/i.test(sentence) ? id : url).fail(sentence);
    };
    app.run(save, failed, async () => {
      app.overview = await app.api.call("save_gitlab", { gitlab: url.input.value, application_id: id.input.value });
      app.go("signIn", { gitlab: app.renewed?.gitlab });
    });
  };
  const useToken = button("Use an access token instead", () => app.go("token", { gitlab: url.input.value }), { kind: "subtle" });
  return [
    heading(gitlab ? "Set up signing in" : "Use another GitLab"),
    notice && message("information", notice),
    el("p", {}, "Signing in needs an OAuth application in this GitLab: somebody registers it once, for everybody. An access token works without one."),
    el(
      "form",
      { class: "stack narrow", on: { submit } },
      url.node,
      steps(app.overview.redirect_uri),
      id.node,
      el("div", { class: "row" }, save, useToken, button("Back", () => app.go("signIn", { gitlab: app.renewed?.gitlab }), { kind: "subtle" })),
    ),
  ];
}

function steps(redirectUri) {
  return el(
    "section",
    { class: "stack tight" },
    el("h2", {}, "Register the application in GitLab"),
    el(
      "ol",
      {},
      el("li", {}, "Open Applications: in the Admin area for the whole instance, or in the settings of a group or of your own user."),
      el("li", {}, "Add an application with any name, such as GitLab for Jira, and this redirect URI:", copyable(redirectUri, "the redirect URI")),
      el("li", {}, "Clear ", el("strong", {}, "Confidential"), ", and select the scope ", el("code", {}, "api"), "."),
      el("li", {}, "Save it, and copy the application ID."),
    ),
  );
}
