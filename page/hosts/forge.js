// Runs the page in Jira's frame for a Forge app. It is bundled when that is packaged (infra/forge), and served by Forge.

import { invokeRemote, router, view } from "@forge/bridge";

import { Refusal } from "../api.js";
import { start } from "../view.js";

// Another path where a reverse proxy puts a prefix before it; the build says so.
const path = typeof PAGE_PATH === "undefined" ? "/forge/page" : PAGE_PATH;

// What to do when the bundle did not answer, by what Forge says of it.
// https://developer.atlassian.com/platform/forge/apis-reference/ui-api-bridge/invokeRemote/
const hints = [
  ["Invocation Token", "The bundle expects another app: compare its FORGE_APP_ID with the id of this app."],
  ["Invalid response", "The bundle gave no answer: is it running, and does its address lead to it? Run `gitlab-jira doctor`."],
  ["timed out", "The bundle took too long to answer. Try again; if that does not help, run `gitlab-jira doctor`."],
];

/** What helps against an error of Forge's own. */
function refusal(said) {
  const text = said || "There is no answer.";
  const hint = hints.find(([part]) => text.includes(part))?.[1];
  return new Refusal("no_answer", hint ? `${hint} (Forge says: ${text}.)` : text);
}

async function send(body) {
  const headers = { "Content-Type": "application/json" };
  let answer;
  try {
    answer = await invokeRemote({ path, method: "POST", headers, body });
  } catch (error) {
    throw refusal(error?.message);
  }
  if (!answer?.body || typeof answer.body !== "object") throw refusal(answer?.message);
  return { status: answer.status ?? 200, body: answer.body };
}

/** Jira opens the window, and nothing comes back from it: the person enters the code by hand. */
const signInWindow = {
  isClosed: false,
  lead: (url) => router.open(url).catch(() => {}),
  close: () => {},
  onCode: () => {},
};

document.documentElement.dataset.colorMode = "light";
// Without it the page stays light, which is no reason to show nothing.
view.theme.enable().catch(() => {});

start({ send, openWindow: () => signInWindow });
