// The groups that the signed-in person may link: searched and paged, subgroups below their parents.

import { button, count, el, field, heading, lozenge, message, spinner } from "./dom.js";
import { sessionLine } from "./session.js";

/** How long after the last keystroke a search begins, in milliseconds. */
const TYPING = 500;

/** GitLab finds nothing for fewer characters. */
const SHORTEST_SEARCH = 3;

/** Levels of subgroups that are indented. */
const MAX_DEPTH = 4;

export function groups(app, _parameters, signal) {
  const list = el("div", { class: "stack tight", role: "region", "aria-label": "Groups", tabindex: "-1" });
  const search = field("Search groups", el("input", { type: "search", autocomplete: "off", spellcheck: "false" }), {
    help: `Type at least ${SHORTEST_SEARCH} characters.`,
  });
  // An answer that is superseded is not shown.
  let newest = 0;
  const load = (page) => {
    const turn = ++newest;
    list.setAttribute("aria-busy", "true");
    const failed = (sentence) => {
      if (turn === newest) list.replaceChildren(message("error", sentence, button("Try again", () => load(page))));
    };
    app.load(signal, failed, async () => {
      const answer = await app.api.call("groups", { sign_in: app.session.sign_in, search: search.input.value, page });
      if (turn !== newest || signal.aborted) return;
      list.setAttribute("aria-busy", "false");
      const hadFocus = list.contains(document.activeElement);
      list.replaceChildren(...shown(app, answer, page, search.input.value, load));
      // The button that was pressed is gone.
      if (hadFocus) list.focus();
      app.say(`${count(answer.groups.length, "group", "groups")} shown`);
    });
  };
  let timer = null;
  search.input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => load(1), TYPING);
  });
  signal.addEventListener("abort", () => clearTimeout(timer));
  list.append(spinner("Loading your groups…"));
  load(1);
  return [
    heading("Choose a group to link"),
    sessionLine(app),
    search.node,
    list,
    el("p", { class: "help" }, "Not seeing your group? You need at least the Maintainer role."),
    el("div", {}, button("Back", () => app.go("overview"))),
  ];
}

function shown(app, answer, page, search, load) {
  if (answer.groups.length === 0) return [nothing(app, search)];
  const rows = inOrder(answer.groups).map(({ group, depth }) => row(app, group, depth));
  return [el("ul", { class: "rows" }, rows), pager(answer, page, load)].filter(Boolean);
}

function nothing(app, search) {
  const isSearch = search.trim().length >= SHORTEST_SEARCH;
  const text = isSearch ? "No group of that name that you may link." : `@${app.session.username} is not Maintainer or Owner of any group.`;
  const next = isSearch ? "Try another name." : "Ask an Owner of the group for the role, or sign in as somebody else.";
  return el("div", { class: "empty" }, el("h2", {}, text), el("p", {}, next));
}

/** Subgroups below their parents, where both are on the page, and else as GitLab sorts them. */
function inOrder(groups) {
  const here = new Set(groups.map(({ id }) => id));
  const below = new Map();
  for (const group of groups) {
    const parent = here.has(group.parent) ? group.parent : null;
    below.set(parent, [...(below.get(parent) ?? []), group]);
  }
  const walk = (parent, depth) =>
    (below.get(parent) ?? []).flatMap((group) => [{ group, depth }, ...walk(group.id, Math.min(depth + 1, MAX_DEPTH))]);
  return walk(null, 0);
}

function row(app, { id, name, path, link, covered_by }, depth) {
  const choose = button(link ? "Renew" : "Choose", () => app.go("preview", { group: id }), { label: `${link ? "Renew" : "Choose"} ${path}` });
  const mark = link ? lozenge("Linked", "success") : covered_by && lozenge(`Covered by ${covered_by}`, "information");
  return el(
    "li",
    { class: "row between", "data-depth": String(depth) },
    el("div", { class: "group" }, el("p", { class: "row" }, el("strong", {}, name), mark), el("p", { class: "subtle" }, path)),
    choose,
  );
}

function pager({ next, total }, page, load) {
  if (page === 1 && !next) return null;
  const earlier = button("Previous", () => load(page - 1));
  const later = button("Next", () => load(next));
  earlier.disabled = page === 1;
  later.disabled = !next;
  const where = total === null ? `Page ${page}` : `Page ${page} · ${count(total, "group", "groups")}`;
  return el("nav", { class: "row", "aria-label": "Pages of groups" }, earlier, el("span", { class: "subtle" }, where), later);
}
