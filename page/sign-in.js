// Where to sign in to GitLab, and with what: in a window of GitLab's own, or with an access token.

import { button, el, field, heading, lozenge, message, slot } from "./dom.js";
import * as words from "./words.js";

/** `gitlab`, if given, is the only instance offered; `notice` says why it has to be done again. */
export function signIn(app, { gitlab = null, notice = null }) {
  const known = app.overview.gitlab;
  const instances = gitlab ? [known.find(({ url }) => url === gitlab) ?? { url: gitlab, has_application: false }] : known;
  const why = app.renewed
    ? `To renew the link of ${app.renewed.path}. You need at least the Maintainer role there.`
    : "To choose the groups to link. You see those of which you are Maintainer or Owner.";
  return [
    heading("Sign in to GitLab"),
    notice && message("warning", notice),
    el("p", {}, why),
    el("ul", { class: "cards" }, instances.map((instance, index) => instanceCard(app, instance, index === 0))),
    el(
      "div",
      { class: "row" },
      !gitlab && button("Use another GitLab", () => app.go("application")),
      button("Back", () => app.go("overview"), { kind: gitlab ? "" : "subtle" }),
    ),
  ];
}

function instanceCard(app, { url, has_application, is_default }, isFirst) {
  const failure = slot();
  const name = url === "https://gitlab.com" ? "GitLab" : url;
  const enter = button(`Sign in to ${name}`, () => begin(app, url, enter, failure), { kind: isFirst ? "primary" : "" });
  const setUp = button("Set up signing in", () => app.go("application", { gitlab: url }), { label: `Set up signing in to ${name}` });
  const forget = button("Remove", () => forgetInstance(app, url, forget, failure), { kind: "subtle", label: `Remove ${name}` });
  const useToken = button("Use an access token instead", () => app.go("token", { gitlab: url }), {
    kind: has_application || !isFirst ? "subtle" : "primary",
    label: `Use an access token instead, for ${name}`,
  });
  return el(
    "li",
    { class: "card stack tight" },
    el("p", { class: "row" }, el("strong", {}, words.instance(url)), !has_application && lozenge("Signing in not set up")),
    el("div", { class: "row" }, has_application ? [enter, useToken] : [useToken, setUp], has_application && is_default === false && forget),
    failure.node,
  );
}

function begin(app, gitlab, control, failure) {
  // Before anything is waited for, or the browser opens none.
  const opened = app.host.openWindow(app.overview.redirect_uri);
  const failed = (sentence, refusal) => {
    if (sentence) opened.close();
    if (refusal?.cause === "application_missing") app.go("application", { gitlab, notice: sentence });
    else failure.show(sentence);
  };
  app.run(control, failed, async () => {
    const begun = await app.api.call("sign_in", { gitlab });
    if (!opened.isClosed) opened.lead(begun.authorize_url);
    app.go("waiting", { begun, gitlab, opened });
  });
}

function forgetInstance(app, gitlab, control, failure) {
  app.run(control, failure.show, async () => {
    app.overview = await app.api.call("forget_gitlab", { gitlab });
    app.go("signIn");
  });
}

/** Signing in with an access token, where there is no OAuth application, or because somebody prefers it. */
export function token(app, { gitlab = "" }) {
  const url = field(
    "GitLab URL",
    el("input", { type: "text", inputmode: "url", autocomplete: "off", spellcheck: "false", required: true, value: gitlab, readonly: app.renewed !== null }),
    { help: "Such as https://gitlab.example.com." },
  );
  const secret = field("Access token", el("input", { type: "password", autocomplete: "off", required: true }), {
    help: "With the scope api, of somebody who is Maintainer or Owner of the group. In GitLab: your avatar, Edit profile, Access tokens; or Settings, Access tokens of the group.",
  });
  const enter = button("Continue", null, { kind: "primary", type: "submit" });
  const submit = (event) => {
    event.preventDefault();
    url.fail(null);
    // What is wrong is said at the field: that a token is refused must not lead away from where it is pasted.
    app.run(enter, secret.fail, async () => {
      try {
        const session = await app.api.call("use_token", { gitlab: url.input.value, token: secret.input.value });
        app.signedIn(session);
      } catch (refusal) {
        if (refusal.cause !== "sign_in_ended") throw refusal;
        secret.fail(refusal.message);
      }
    });
  };
  return [
    heading("Use an access token"),
    el("p", {}, "The app uses it to list your groups and to make webhooks, and forgets it when you are done, after two hours at most. You choose later what the link itself reads GitLab with."),
    el(
      "form",
      { class: "stack narrow", on: { submit } },
      url.node,
      secret.node,
      el("div", { class: "row" }, enter, button("Back", () => app.go("signIn", { gitlab: app.renewed?.gitlab }), { kind: "subtle" })),
    ),
  ];
}
