// Runs the page in Jira's frame for a Connect app. Atlassian's script, which the document loads before, is `AP`.

import { Refusal } from "../api.js";
import { start } from "../view.js";
import { SignInWindow, post } from "./browser.js";

// This file is <base>/subscriptions/assets/<version>/hosts/connect.js, so the path of a reverse proxy is kept.
const api = new URL("../../../api", import.meta.url);

const { AP } = window;

/** How long Jira, which runs in the same browser, may take, in milliseconds. */
const PATIENCE = 10_000;

/** A token of the person at the page; it lives for minutes, so each call takes a new one. */
function token() {
  return new Promise((resolve, reject) => {
    const none = new Refusal("unavailable", "Jira gives this page no token: open it in Jira, under Manage apps, or reload it there.");
    if (!AP) reject(none);
    else AP.context.getToken(resolve);
    setTimeout(() => reject(none), PATIENCE);
  });
}

// Light until Jira says otherwise: what the operating system prefers is not what Jira shows.
document.documentElement.dataset.colorMode = "light";
AP?.theming?.initializeTheming?.();
AP?.sizeToParent?.();

start({
  send: async (body) => post(api, body, { Authorization: `JWT ${await token()}` }),
  openWindow: () => new SignInWindow(location.origin),
});
