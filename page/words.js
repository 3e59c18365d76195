// What the API's words are called on the page.

/** What sending and showing Jira gets, as people say it. */
export const WHAT = "branches, commits, merge requests, pipelines, deployments and feature flags";

const CONDITIONS = {
  active: ["Connected", "success"],
  awaiting_token: ["Waiting for Forge’s token", "warning"],
  credential_rejected: ["Credential rejected", "error"],
  permission_missing: ["Permission missing", "error"],
  renamed: ["Site renamed", "warning"],
  suspended: ["Not answering", "warning"],
  switching: ["Changing connections", "warning"],
  uninstalled: ["App uninstalled", "error"],
};

/** A condition of a site: its name, and the kind of its lozenge. */
export function condition(name) {
  return CONDITIONS[name] ?? [String(name).replaceAll("_", " "), "warning"];
}

const CONNECTIONS = { forge: "Forge app", oauth: "OAuth credentials", connect: "Connect app" };

export function connection(kind) {
  return CONNECTIONS[kind] ?? kind;
}

const HOOKS = {
  group: "One webhook of the group",
  project: "A webhook in each project",
  manual: "A webhook made by hand",
};

export function hook(kind) {
  return HOOKS[kind] ?? kind;
}

const CREDENTIALS = {
  read: "Group access token that may only read",
  managed: "Group access token that manages webhooks",
  given: "A token that was pasted",
  none: "None: no deployments, and only what webhooks say",
};

/** What an existing link reads GitLab with. */
export function credential(mode) {
  return CREDENTIALS[mode] ?? mode;
}

/** An instance as people call it. */
export function instance(url) {
  return url === "https://gitlab.com" ? "GitLab.com" : url.replace(/^https:\/\//, "");
}

/** Project keys from what somebody typed. */
export function projectKeys(text) {
  const keys = text.toUpperCase().split(/[\s,;]+/);
  return [...new Set(keys.filter((key) => key !== ""))];
}
