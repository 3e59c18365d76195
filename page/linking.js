// While a group is linked, and what is said when it is.

import { button, el, heading, message, prose, spinner } from "./dom.js";
import * as words from "./words.js";

/** After so many milliseconds the page says why it takes long. */
const LONG = 5000;

/** `answer` is the preview, `from` its elements, `request` what was chosen in it. */
export function linking(app, { answer, request, from }, signal) {
  const node = el("div", { class: "stack" });
  const verb = answer.link ? "Renewing" : "Linking";
  const why = el("p", { class: "subtle" });
  node.append(heading(`${verb} ${answer.path}`), spinner("Making webhooks and storing the credential…"), why);
  const timer = setTimeout(() => {
    why.textContent = answer.hook === "group" ? "GitLab is taking a while." : `${projects(answer)} a webhook of its own, which takes a while.`;
    app.say(why.textContent);
  }, LONG);
  signal.addEventListener("abort", () => clearTimeout(timer));
  link(app, { node, answer, request, from, signal }).finally(() => clearTimeout(timer));
  return node;
}

function projects({ projects }) {
  if (projects === null) return "Each project gets";
  return projects === 1 ? "1 project gets" : `Each of ${projects.toLocaleString()} projects gets`;
}

async function link(app, { node, answer, request, from, signal }) {
  try {
    const done = await app.api.call("link", request);
    if (!signal.aborted) app.go("linked", { done, wasLinked: answer.link !== null });
    // Whoever chooses the same group next finds it as it is now.
    app.overview = await app.api.call("overview").catch(() => app.overview);
  } catch (refusal) {
    if (signal.aborted) return;
    if (refusal.cause === "not_administrator") app.go("refused", { sentence: refusal.message });
    else {
      const title = heading(`${answer.path} is not ${answer.link ? "renewed" : "linked"}`);
      node.replaceChildren(title, message("error", refusal.message), el("div", { class: "row" }, nextSteps(app, from, refusal)));
      title.focus();
    }
  }
}

/** What is left to do, by what went wrong. */
function nextSteps(app, from, { cause }) {
  const again = button("Look at the choices again", () => app.go("preview", { kept: from }), { kind: "primary" });
  const signIn = button("Sign in again", () => app.signInAgain(), { kind: "primary" });
  // Without an answer it may have been done all the same.
  const check = button("See what is linked", () => app.go("overview"));
  return cause === "sign_in_ended" ? [signIn, check] : [again, check];
}

/** `done` is the answer of `link`. */
export function linked(app, { done, wasLinked }) {
  app.renewed = null;
  const leave = button(
    "Done",
    () =>
      app.run(leave, () => {}, async () => {
        await app.signOut();
        app.go("overview");
      }),
    { kind: "primary" },
  );
  const hooks = done.hook === "group" ? "One webhook of the group reports its activity." : "Each project gets a webhook of its own: the first screen shows how far that is.";
  return [
    heading(`${done.path} is ${wasLinked ? "renewed" : "linked"}`),
    message("success", hooks),
    ...done.notes.map((note) => message("warning", el("p", {}, prose(note)))),
    el(
      "section",
      { class: "stack tight" },
      el("h2", {}, "What happens next"),
      el(
        "ul",
        {},
        el("li", {}, `New ${words.WHAT} appear on the Jira issues whose keys they name, within seconds.`),
        el("li", {}, "Try it: push a branch whose name begins with an issue key, such as PAY-7-try-it, and look at Development on the issue."),
        el("li", {}, "What was there before follows: the first screen shows how far that is."),
      ),
    ),
    el("div", { class: "row" }, leave, button("Link another group", () => app.go("groups"))),
    el("p", { class: "help" }, "Done also signs you out of GitLab here."),
  ];
}
