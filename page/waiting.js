// While a person signs in to GitLab in the other window: waits for the code, or takes it by hand.

import { button, copyable, el, field, heading, message, spinner } from "./dom.js";
import * as words from "./words.js";

/** After so many milliseconds the window probably can't hand over the code. */
const PATIENCE = 8000;

/** `begun` is the answer of `sign_in`, `opened` the window. */
export function waiting(app, { begun, gitlab, opened }, signal) {
  const { sign_in, authorize_url, returns_by_itself, seconds } = begun;
  const back = { gitlab: app.renewed?.gitlab };
  const byHand = codeForm(app, sign_in, opened);
  byHand.node.hidden = returns_by_itself;
  const state = el("div", {}, opened.isClosed ? blocked() : spinner("Waiting for GitLab…"));
  const cancel = button(
    "Cancel",
    () => {
      opened.close();
      app.api.call("sign_out", { sign_in }).catch(() => {});
      app.go("signIn", back);
    },
    { kind: "subtle" },
  );
  const open = button("Open GitLab again", () => opened.lead(authorize_url), { kind: opened.isClosed ? "primary" : "" });
  if (opened.isClosed) open.textContent = "Open GitLab";
  opened.onCode(sign_in, signal, (code) => byHand.confirm(code));
  watch({ opened, state, byHand, seconds, signal, again: () => app.go("signIn", back) });
  return [
    heading("Sign in to GitLab"),
    el("p", {}, `Sign in at ${words.instance(gitlab)} in the other window, and authorize the app there.`),
    state,
    byHand.node,
    el("div", { class: "row" }, open, cancel),
    redirectHint(app.overview.redirect_uri),
  ];
}

function blocked() {
  return message("warning", "Your browser did not open the window.");
}

/** The place for the code, and what brings it to the app. */
function codeForm(app, sign_in, opened) {
  const input = el("input", { type: "text", class: "code-input", autocomplete: "one-time-code", autocapitalize: "characters", spellcheck: "false", maxlength: "9", required: true, placeholder: "ABC-DEF" });
  const code = field("Code", input, { help: "The window shows it after you authorized the app." });
  const enter = button("Continue", null, { kind: "primary", type: "submit" });
  const confirm = (value) =>
    app.run(enter, code.fail, async () => {
      app.say("Finishing…");
      const session = await app.api.call("confirm_sign_in", { sign_in, code: value });
      opened.close();
      app.signedIn(session);
    });
  const submit = (event) => {
    event.preventDefault();
    confirm(input.value);
  };
  const node = el("form", { class: "stack narrow", on: { submit } }, code.node, el("div", { class: "row" }, enter));
  return {
    node,
    // A failure must be seen, even if the code came by itself.
    confirm(value) {
      input.value = value;
      node.hidden = false;
      return confirm(value);
    },
  };
}

/** Offers the field for the code when the window is closed or takes long, and ends when the sign-in has ended. */
function watch({ opened, state, byHand, seconds, signal, again }) {
  const wasOpen = !opened.isClosed;
  const timers = [
    setTimeout(() => (byHand.node.hidden = false), PATIENCE),
    setTimeout(() => {
      byHand.node.hidden = true;
      state.replaceChildren(message("warning", "Signing in took too long.", button("Sign in again", again, { kind: "primary" })));
    }, seconds * 1000),
  ];
  const closed = setInterval(() => {
    if (!wasOpen || !opened.isClosed) return;
    clearInterval(closed);
    byHand.node.hidden = false;
    state.replaceChildren(message("information", "The window is closed, or can't be reached from here. If it showed a code, enter it; otherwise open GitLab again."));
  }, 1000);
  signal.addEventListener("abort", () => {
    timers.forEach(clearTimeout);
    clearInterval(closed);
  });
}

function redirectHint(uri) {
  return el(
    "details",
    {},
    el("summary", {}, "Does GitLab say that the redirect URI is not valid?"),
    el("p", {}, "Add this one to the OAuth application in GitLab, on a line of its own; then open GitLab again."),
    copyable(uri, "the redirect URI"),
  );
}
