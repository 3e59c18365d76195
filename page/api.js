// The page's API: one request at a time of what `shared/src/page` answers. How a request gets there is the host's.

/**
 * A refusal: `cause` is one of the words of `shared/src/page/error.rs`, or `no_answer` where the app did not answer, though it
 * may have got the request; the message is for the person.
 */
export class Refusal extends Error {
  constructor(cause, sentence) {
    super(sentence);
    this.cause = cause;
  }
}

/** Calls through `send(body)`, which answers `{status, body}` and throws when there is no answer. */
export class Api {
  #send;

  constructor(send) {
    this.#send = send;
  }

  async call(call, parameters = {}) {
    const { status, body } = await this.#sent({ call, ...parameters });
    if (status >= 200 && status < 300 && body !== null && typeof body === "object" && !body.error) return body;
    throw new Refusal(body?.cause ?? "no_answer", body?.error || "The app does not answer now: try again in a minute.");
  }

  async #sent(request) {
    try {
      return await this.#send(request);
    } catch (error) {
      // A host that knows more than that there is no answer says it in a refusal.
      if (error instanceof Refusal) throw error;
      throw new Refusal("no_answer", "The app can't be reached: check your network, then try again.");
    }
  }
}
