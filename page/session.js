// Who is signed in to GitLab, as several screens show it.

import { button, el } from "./dom.js";
import * as words from "./words.js";

/** Who is signed in to GitLab, and the way out. */
export function sessionLine(app) {
  const { username, gitlab } = app.session;
  const out = button(
    "Sign out",
    () =>
      app.run(out, () => {}, async () => {
        await app.signOut();
        app.go("overview");
      }),
    { kind: "link" },
  );
  return el("p", { class: "row subtle" }, el("span", {}, `Signed in to ${words.instance(gitlab)} as @${username}`), out);
}
