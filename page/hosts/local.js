// Runs the page in a browser of whoever runs the bundle, served by `gitlab-jira serve` itself.

import { start } from "../view.js";
import { SignInWindow, post } from "./browser.js";

const api = new URL("api", location.href);

start({
  send: (body) => post(api, body),
  // GitLab sends people back to the bundle's public address, which is not the one of this page.
  openWindow: (redirectUri) => new SignInWindow(new URL(redirectUri).origin),
});
