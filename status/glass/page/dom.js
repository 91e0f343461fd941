// Whatever is told comes from peers and other machines: it becomes text here, and nothing else. There is no other way from an answer
// onto the page than these functions; the policy of the page forbids the browser to take a text for HTML (Trusted Types).

// What moves the cursor, hides, or turns the direction of writing would let a peer write over what others said.
const unseen = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

export const clean = (text) => String(text).replace(unseen, "?");

export const byId = (id) => document.getElementById(id);

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    node.setAttribute(name, value === true ? "" : clean(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false || child === "") continue;
    node.append(child instanceof Node ? child : clean(child));
  }
  return node;
}

export const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);

export const svg = (tag, attributes, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

// Live regions are read aloud when they change: they are written only then.
export function say(node, text) {
  const next = clean(text);
  if (node.textContent !== next) node.textContent = next;
}

// What a container shows, and under which key; the same key again leaves it as it is.
const shown = new WeakMap();

// swap puts new children into a container unless nothing changed, and leaves the focus on what has the same data-key.
export function swap(container, key, make) {
  if (shown.get(container) === key) return;
  shown.set(container, key);
  const focused = container.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  container.replaceChildren(...[make()].flat(Infinity));
  if (focused === undefined) return;
  for (const node of container.querySelectorAll("[data-key]")) {
    if (node.dataset.key === focused) return node.focus({ preventScroll: true });
  }
}

// Nothing to tell is a dash; a card on a phone leaves it out.
export const nothing = "–";

const long = 30; // letters, from which on a text may be broken

const cellClass = (column, value) =>
  [column.class, value === nothing && "nothing", typeof value === "string" && value.length > long && "long"].filter(Boolean).join(" ") || null;

// table makes a head and rows. A row is a list of cells, or {cells, class}; the first cell is the row's name.
export function table(caption, columns, rows) {
  const head = el("tr", null, columns.map((c) => el("th", { scope: "col", class: c.class }, c.name)));
  const cells = (row) => (row.cells ?? row).map((value, i) =>
    el(i === 0 ? "th" : "td", { scope: i === 0 ? "row" : null, class: cellClass(columns[i], value), "data-label": columns[i].name }, el("div", null, value)));
  return [
    el("caption", { class: "unseen" }, caption),
    el("thead", null, head),
    el("tbody", null, rows.map((row) => el("tr", { class: row.class }, cells(row)))),
  ];
}

// state is a word with a mark, so that colour is never all that tells it.
const marks = { ok: "●", warn: "▲", bad: "✕", off: "○" };
export const state = (level, word) =>
  el("span", { class: `state ${level}` }, el("span", { class: "mark", "aria-hidden": "true" }, marks[level]), " ", word);
