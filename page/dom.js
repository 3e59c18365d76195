// Elements that several screens have: buttons, fields, messages, lozenges. Nothing is made from HTML, so whatever GitLab or Jira
// said is text. What a screen is made of, and what its buttons do, is its own.

const SVG = "http://www.w3.org/2000/svg";

const ICONS = {
  information: ["M8 1a7 7 0 1 1 0 14A7 7 0 0 1 8 1", "M8 7.2v4.2M8 4.4v.6"],
  success: ["M8 1a7 7 0 1 1 0 14A7 7 0 0 1 8 1", "M4.9 8.3l2.2 2.2 4-4.6"],
  warning: ["M8 1.2 15.2 14H.8z", "M8 6v4M8 11.6v.6"],
  error: ["M8 .8 15.2 8 8 15.2.8 8z", "M8 4.6v4.2M8 10.6v.6"],
};

let lastId = 0;

function isPresent(child) {
  return child !== null && child !== undefined && child !== false && child !== "";
}

/** An element: `on` holds listeners, everything else is an attribute, left out where it is null or false. */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (!isPresent(value) && value !== "") continue;
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) made.addEventListener(event, listener);
    } else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat(3).filter(isPresent));
  return made;
}

/** An id that nothing else on the page has. */
export function newId() {
  lastId += 1;
  return `id-${lastId}`;
}

/** A sentence in which what stands between backticks is code. */
export function prose(text) {
  return String(text)
    .split("`")
    .map((part, index) => (index % 2 === 0 ? part : el("code", {}, part)));
}

/** A button; `kind` is `primary`, `subtle`, `danger`, `link` or nothing. */
export function button(text, action, { kind = "", type = "button", label = null } = {}) {
  return el("button", { type, class: `button ${kind}`.trim(), "aria-label": label, on: action ? { click: action } : {} }, text);
}

/** Shows that what a button began is not done. It keeps the focus, so it is not disabled. */
export function setBusy(control, busy) {
  control.toggleAttribute("data-busy", busy);
  control.setAttribute("aria-busy", String(busy));
}

/** A state in a word: `kind` is `success`, `warning`, `error`, `information` or nothing. */
export function lozenge(text, kind = "") {
  return el("span", { class: `lozenge ${kind}`.trim() }, text);
}

function icon(kind) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  for (const [index, outline] of ICONS[kind].entries()) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", outline);
    path.setAttribute("class", index === 0 ? "shape" : "sign");
    svg.append(path);
  }
  return svg;
}

/** A section message; `content` is a sentence, or elements. */
export function message(kind, content, ...actions) {
  const text = typeof content === "string" ? el("p", {}, prose(content)) : content;
  return el(
    "div",
    { class: `message ${kind}` },
    icon(kind),
    el("div", { class: "message-body" }, text, actions.length > 0 && el("div", { class: "row" }, actions)),
  );
}

/** A place for one message that is read out when it appears: `show(sentence)`, or nothing to clear it. */
export function slot() {
  const node = el("div", { class: "slot", role: "alert" });
  return {
    node,
    show(sentence) {
      node.replaceChildren(...(sentence ? [message("error", sentence)] : []));
    },
  };
}

/** A labelled control with help below it, and a place for what is wrong with its value. */
export function field(label, input, { help = null } = {}) {
  const [id, helpId, errorId] = [newId(), newId(), newId()];
  input.id = id;
  const error = el("p", { class: "field-error", id: errorId, role: "alert" });
  input.setAttribute("aria-describedby", help ? `${helpId} ${errorId}` : errorId);
  const node = el(
    "div",
    { class: "field" },
    el("label", { for: id }, label),
    input,
    help && el("div", { class: "help", id: helpId }, help),
    error,
  );
  return {
    node,
    input,
    fail(sentence) {
      error.replaceChildren(...(sentence ? prose(sentence) : []));
      if (sentence) {
        input.setAttribute("aria-invalid", "true");
        input.focus();
      } else input.removeAttribute("aria-invalid");
    },
  };
}

/** A box or a circle to tick, with its text and what explains it. */
export function choice(type, attributes, text, ...help) {
  const [id, helpId] = [newId(), newId()];
  const input = el("input", { type, id, "aria-describedby": help.some(isPresent) ? helpId : null, ...attributes });
  const node = el(
    "div",
    { class: "choice" },
    input,
    el("div", {}, el("label", { for: id }, text), help.some(isPresent) && el("div", { class: "help", id: helpId }, help)),
  );
  return { node, input };
}

/** A line of a card: what it is about, and what is to be said of that. */
export function line(term, ...value) {
  return el("div", { class: "line" }, el("span", { class: "term" }, term), el("div", { class: "row" }, value));
}

/** Text to copy, with the button that copies it. */
export function copyable(text, what) {
  const code = el("code", {}, text);
  const copy = button("Copy", copyText, { label: `Copy ${what}` });
  const told = el("span", { class: "for-readers", role: "status" });
  async function copyText() {
    // In a frame a browser may keep the clipboard to itself; then the text is at least selected.
    try {
      await navigator.clipboard.writeText(text);
      copy.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      copy.textContent = "Selected";
    }
    told.textContent = copy.textContent;
    setTimeout(() => (copy.textContent = "Copy"), 2000);
  }
  return el("div", { class: "copyable" }, code, copy, told);
}

/** That something is being waited for. */
export function spinner(text) {
  return el("p", { class: "spinner" }, el("span", { class: "spinner-ring", "aria-hidden": "true" }), el("span", {}, text));
}

/** A heading that takes the focus when its screen appears. */
export function heading(text) {
  return el("h1", { tabindex: "-1" }, text);
}

/** A moment in the person's own words and zone. */
export function time(moment) {
  const date = new Date(moment);
  if (Number.isNaN(date.getTime())) return String(moment ?? "");
  const text = date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  return el("time", { datetime: date.toISOString() }, text);
}

const UNITS = [["day", 86_400], ["hour", 3600], ["minute", 60]];
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "always" });

function since(moment) {
  const seconds = (Date.now() - new Date(moment)) / 1000;
  const [unit, length] = UNITS.find(([, length]) => seconds >= length) ?? [];
  return unit ? relative.format(-Math.floor(seconds / length), unit) : "just now";
}

/** How long ago a moment is: "3 minutes ago". */
export function ago(moment) {
  return el("time", { datetime: moment, title: new Date(moment).toLocaleString(), "data-ago": true }, since(moment));
}

/** Says in `node` how long ago moments are by now. */
export function refreshAgo(node) {
  for (const time of node.querySelectorAll("time[data-ago]")) time.textContent = since(time.dateTime);
}

/** "1 project", "2 projects". */
export function count(number, one, many) {
  return `${Number(number).toLocaleString()} ${number === 1 ? one : many}`;
}
