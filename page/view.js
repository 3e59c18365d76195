// The page: which screen is shown, who is signed in, and what follows from a refusal. A host starts it with `send(body)` and
// `openWindow(redirectUri)`; what a screen shows is in the module of its name.

import { Api, Refusal } from "./api.js";
import { application } from "./application.js";
import { button, el, heading, message, setBusy } from "./dom.js";
import { groups } from "./groups.js";
import { linked, linking } from "./linking.js";
import { overview } from "./overview.js";
import { preview } from "./preview.js";
import { signIn, token } from "./sign-in.js";
import { waiting } from "./waiting.js";

/** By name: `(app, parameters, signal)` makes the elements of a screen; `signal` tells that it was left. */
const screens = { application, groups, linked, linking, overview, preview, refused, signIn, token, waiting };

/** Nothing can be done here until somebody else has done something. */
function refused(app, { sentence }) {
  return [heading("GitLab for Jira"), message("error", sentence, button("Try again", () => app.go("overview")))];
}

class App {
  #root;
  #status;
  #left = new AbortController();

  constructor(host, root) {
    this.host = host;
    this.api = new Api(host.send);
    /** The answer of the overview, once there is one. */
    this.overview = null;
    /** Who is signed in: `{sign_in, gitlab, username, by_oauth}`. */
    this.session = null;
    /** The link that is to be renewed, while somebody signs in for it. */
    this.renewed = null;
    this.#root = root;
    this.#status = el("div", { class: "for-readers", role: "status" });
    root.after(this.#status);
  }

  /** Shows a screen. The focus moves to its heading, except to that of the first. */
  go(name, parameters = {}) {
    this.#left.abort();
    for (const dialog of document.querySelectorAll("dialog")) dialog.close();
    this.#left = new AbortController();
    const isFirst = this.#root.childElementCount === 0;
    this.#root.className = `screen-${name}`;
    this.#root.replaceChildren(...[screens[name](this, parameters, this.#left.signal)].flat().filter(Boolean));
    this.say(this.#root.querySelector(".spinner")?.textContent ?? "");
    if (isFirst) return;
    scrollTo(0, 0);
    this.#root.querySelector("h1")?.focus({ preventScroll: true });
  }

  /** Tells screen readers what is going on. */
  say(text) {
    this.#status.textContent = text;
  }

  /** Does what a button began; `fail` shows the sentence of a refusal that leads nowhere else, and is first told to clear. */
  async run(control, fail, action) {
    if (control.hasAttribute("data-busy")) return;
    setBusy(control, true);
    fail(null, null);
    try {
      await action();
    } catch (error) {
      const refusal = asRefusal(error);
      if (!this.#lead(refusal)) fail(refusal.message, refusal);
    } finally {
      setBusy(control, false);
    }
  }

  /** Asks for what a screen shows; `fail` as above. Nothing is shown on a screen that was left. */
  async load(signal, fail, action) {
    try {
      await action();
    } catch (error) {
      const refusal = asRefusal(error);
      if (!signal.aborted && !this.#lead(refusal)) fail(refusal.message, refusal);
    }
  }

  #lead(refusal) {
    if (refusal.cause === "sign_in_ended") this.signInAgain(refusal.message);
    else if (refusal.cause === "not_administrator") this.go("refused", { sentence: refusal.message });
    else if (refusal.cause === "not_found") this.go("overview", { notice: refusal.message });
    else return false;
    return true;
  }

  /** Where linking begins: signing in, unless that was done. */
  link(renewed = null) {
    this.renewed = renewed;
    if (this.session && (!renewed || renewed.gitlab === this.session.gitlab)) this.signedIn(this.session);
    else this.go("signIn", { gitlab: renewed?.gitlab });
  }

  signInAgain(notice = null) {
    this.session = null;
    this.go("signIn", { notice, gitlab: this.renewed?.gitlab });
  }

  /** What signing in was for. */
  signedIn(session) {
    this.session = session;
    if (this.renewed) this.go("preview", { group: this.renewed.group });
    else this.go("groups");
  }

  /** Forgets who is signed in, there and here. That the token could not be revoked is no concern of the person. */
  async signOut() {
    const session = this.session;
    this.session = null;
    this.renewed = null;
    if (session) await this.api.call("sign_out", { sign_in: session.sign_in }).catch(() => {});
  }
}

function asRefusal(error) {
  if (error instanceof Refusal) return error;
  console.error(error);
  return new Refusal("invalid_request", "The page failed: reload it, and tell whoever runs the app if that does not help.");
}

/** Runs the page in this host. */
export function start(host) {
  new App(host, document.getElementById("page")).go("overview");
}
