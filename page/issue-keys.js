// Which issue keys a link sends: what the newest merge requests name, by Jira project, and the list of those let through.

import { button, count, el, choice, field, lozenge, message, newId } from "./dom.js";
import { projectKeys } from "./words.js";

/** `kept` are the keys that the link has, if it is renewed. `value()` is the list, empty for all, or nothing if it is not filled in. */
export function issueKeys({ jira_projects, merge_requests }, kept) {
  const name = newId();
  const all = choice("radio", { name, checked: kept.length === 0 }, "All keys", "Whatever looks like a key is sent; Jira ignores those that it does not know.");
  const only = choice("radio", { name, checked: kept.length > 0 }, "Only keys of these Jira projects");
  const boxes = jira_projects.map(({ key }) => el("input", { type: "checkbox", value: key, "aria-label": `Send keys of ${key}`, checked: kept.length === 0 || kept.includes(key) }));
  const more = field("More Jira projects", el("input", { type: "text", autocomplete: "off", spellcheck: "false", value: kept.filter((key) => !jira_projects.some((project) => project.key === key)).join(", ") }), {
    help: "Keys such as PAY, OPS. Everything else is left out.",
  });
  const choose = (limited) => {
    (limited ? only : all).input.checked = true;
    more.node.hidden = !limited;
  };
  all.input.addEventListener("change", () => {
    for (const box of boxes) box.checked = true;
    choose(false);
  });
  only.input.addEventListener("change", () => choose(true));
  for (const box of boxes) box.addEventListener("change", () => choose(true));
  more.node.hidden = kept.length === 0;
  const keepThoseInJira = () => {
    for (const [index, { in_jira }] of jira_projects.entries()) boxes[index].checked = in_jira === true;
    choose(true);
  };
  return {
    node: el(
      "fieldset",
      { class: "stack tight" },
      el("legend", {}, "Issue keys"),
      found(jira_projects, merge_requests),
      unknown(jira_projects, keepThoseInJira),
      el("div", {}, all.node, only.node),
      el("div", { class: "under-choice stack tight" }, jira_projects.length > 0 && table(jira_projects, boxes), more.node),
    ),
    value() {
      more.fail(null);
      if (all.input.checked) return [];
      const ticked = boxes.filter((box) => box.checked).map((box) => box.value);
      const keys = [...new Set([...ticked, ...projectKeys(more.input.value)])];
      if (keys.length > 0) return keys;
      more.fail("Tick or enter at least one Jira project, or choose all keys.");
      return null;
    },
  };
}

function found(projects, mergeRequests) {
  if (mergeRequests === 0) return el("p", {}, "There are no merge requests yet to look for keys in.");
  const where = `the newest ${count(mergeRequests, "merge request", "merge requests")}`;
  if (projects.length === 0) return message("information", `No issue key was found in ${where}. Write keys such as PAY-7 into branch names, titles or commit messages.`);
  return el("p", {}, `Found in titles, descriptions and branch names of ${where}.`);
}

/** What only looks like a key, and the way to leave it out. */
function unknown(projects, keepThoseInJira) {
  const missing = projects.filter(({ in_jira }) => in_jira === false);
  if (missing.length === 0 || missing.length === projects.length) return null;
  const keys = missing.map(({ key }) => key).join(", ");
  return message("warning", `Jira has no project with ${missing.length === 1 ? "the key" : "the keys"} ${keys}.`, button("Only send keys of Jira projects that exist", keepThoseInJira));
}

function table(projects, boxes) {
  const rows = projects.map(({ key, issues, examples, in_jira }, index) =>
    el(
      "tr",
      {},
      el("td", {}, boxes[index]),
      el("th", { scope: "row" }, el("div", { class: "row" }, key, in_jira === false && lozenge("Not in this Jira", "warning"))),
      el("td", {}, issues.toLocaleString()),
      el("td", { class: "subtle" }, examples.join(", ")),
    ),
  );
  const head = ["Send", "Jira project", "Issues", "Examples"].map((text) => el("th", { scope: "col" }, text));
  return el("div", { class: "table", tabindex: "0", role: "region", "aria-label": "Issue keys by Jira project" }, el("table", {}, el("thead", {}, el("tr", {}, head)), el("tbody", {}, rows)));
}
