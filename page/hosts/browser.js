// What the hosts share whose page is a page of the bundle's own: calls by fetch, and the window in which a person signs in to
// GitLab.

import { Refusal } from "../api.js";

const SIZE = 800;

/** Posts a request as JSON. An answer that is not JSON is a sentence, or nothing to show. */
export async function post(url, body, headers = {}) {
  const answer = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
  const text = await answer.text();
  try {
    return { status: answer.status, body: JSON.parse(text) };
  } catch {
    if (answer.headers.get("Content-Type")?.startsWith("text/plain") && text) throw new Refusal("unavailable", text);
    return { status: answer.status, body: null };
  }
}

/** A window of its own, opened at once: a browser lets a click open one, and not what the click leads to later. */
export class SignInWindow {
  #window;
  #origin;

  /** `origin` is that of the page to which GitLab sends people back. */
  constructor(origin) {
    this.#origin = origin;
    this.#open("about:blank");
  }

  #open(url) {
    const left = Math.max(0, screenX + (outerWidth - SIZE) / 2);
    const top = Math.max(0, screenY + (outerHeight - SIZE) / 2);
    this.#window = open(url, "_blank", `popup,width=${SIZE},height=${SIZE},left=${left},top=${top}`);
  }

  /** Whether the person sees none: the browser opened none, or it was closed. */
  get isClosed() {
    return !this.#window || this.#window.closed;
  }

  /** Leads the window to GitLab. */
  lead(url) {
    if (this.isClosed) this.#open(url);
    else {
      this.#window.location = url;
      this.#window.focus();
    }
  }

  close() {
    this.#window?.close();
  }

  /** Waits for the code of a sign-in: from this window alone, and only while it shows the page of ours. */
  onCode(signIn, signal, taken) {
    const listener = (event) => {
      if (!this.#window || event.source !== this.#window || event.origin !== this.#origin) return;
      const { type, signIn: told, code } = event.data ?? {};
      if (type !== "gitlab-sign-in" || told !== signIn || typeof code !== "string") return;
      event.source.postMessage({ type: "gitlab-sign-in-taken", signIn }, event.origin);
      taken(code);
    };
    addEventListener("message", listener, { signal });
  }
}
