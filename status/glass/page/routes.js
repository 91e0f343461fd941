// The search in the routes. The daemon has at most a page of them looked at here, and passes over so many in one question; what it
// has not come to yet is asked for until the page is full.
import { ask, often, superseded } from "./ask.js";
import { byId, el, say, state, swap, table } from "./dom.js";
import { age, level, number } from "./format.js";

const perPage = 100;
const starts = [""]; // the parameter after of each page up to this one
let next = "", onExplain = () => {};

const states = ["accepted", "refused", "installed", "pending", "failed", "conflict", "adopted", "stale", "passed-on", "learned"];

const columns = [
  { name: "Prefix" }, { name: "Cluster" }, { name: "Verdict" }, { name: "Kernel" }, { name: "Next hops" }, { name: "Peers" },
  { name: "For", class: "number" }, { name: "Detail", class: "words" },
];

export function startRoutes(explain) {
  onExplain = explain;
  byId("route-state").replaceChildren(el("option", { value: "" }, "all"), ...states.map((name) => el("option", { value: name }, name)));
  const form = byId("route-form");
  form.addEventListener("submit", (event) => { event.preventDefault(); search(); });
  form.addEventListener("input", soon);
  byId("route-first").addEventListener("click", search);
  byId("route-back").addEventListener("click", () => { if (starts.length > 1) starts.pop(); load(); });
  byId("route-next").addEventListener("click", () => { if (next) starts.push(next); load(); });
}

let typing = 0;
function soon() {
  clearTimeout(typing);
  typing = setTimeout(search, 150);
}

function search() {
  starts.length = 1;
  load();
}

// refreshRoutes asks for the same page again, for what changed.
export const refreshRoutes = often(3_000, () => load());

const filter = () => ({
  text: byId("route-text").value.trim(), state: byId("route-state").value, cluster: byId("route-cluster").value, family: byId("route-family").value,
});

async function load() {
  const chosen = filter(), items = [];
  let after = starts.at(-1), head;
  try {
    do {
      head = await ask("/v1/routes", { ...chosen, after, limit: perPage - items.length }, "routes");
      items.push(...head.items);
      after = head.next ?? "";
      if (after && items.length < perPage) say(byId("route-count"), `searching ${number(head.summary.total)} routes, at ${after} …`);
    } while (after && items.length < perPage);
  } catch (error) {
    if (!superseded(error)) say(byId("route-count"), `The routes could not be read: ${error.message}`);
    return;
  }
  next = after;
  show(head, items, chosen);
}

function show(head, items, chosen) {
  const first = (starts.length - 1) * perPage, some = Object.values(chosen).some(Boolean);
  const range = items.length === 0 ? (some ? "No route matches" : "No routes") : `Routes ${number(first + 1)}–${number(first + items.length)}${some ? " of those that match" : ""}`;
  say(byId("route-count"), `${range}${next ? ", and more" : ""}; ${number(head.summary.total)} in all`);
  byId("route-back").disabled = byId("route-first").disabled = starts.length === 1;
  byId("route-next").disabled = !next;
  swap(byId("route-table"), JSON.stringify(items), () => table("Routes", columns, items.map(row)));
}

function row(r) {
  const button = el("button", { type: "button", class: "code plain", "data-key": r.prefix, title: `Explain ${r.prefix}` }, r.prefix);
  button.addEventListener("click", () => onExplain(r.prefix));
  const refused = !r.accepted && r.verdict && !r.passedOn;
  const verdict = !r.verdict ? "–" : r.accepted ? state("ok", r.verdict) : state(refused && !r.expected ? "warn" : "off", r.verdict);
  const kernel = r.kernel.status || "Absent";
  const wanted = r.accepted && kernel === "Absent" ? "warn" : level(kernel);
  const peers = [...new Set((r.paths ?? []).map((p) => p.peer + (p.stale ? " (stale)" : "")))];
  return {
    class: level(kernel) === "bad" ? "bad" : refused && !r.expected ? "warn" : null,
    cells: [button, r.cluster || "–", verdict, state(wanted, kernel), el("span", { class: "code" }, (r.kernel.nextHops ?? r.nextHops ?? []).join(" ") || "–"),
      peers.join(", ") || "–", age(r.since), r.kernel.reason || r.detail || (r.paths ?? []).find((p) => !p.accepted && p.detail)?.detail || "–"],
  };
}

// offer fills a select with names, and keeps what is chosen.
export function offer(select, names, all = "all") {
  swap(select, JSON.stringify(names), () => {
    const chosen = select.value;
    queueMicrotask(() => { select.value = names.includes(chosen) ? chosen : ""; });
    return [el("option", { value: "" }, all), ...names.map((name) => el("option", { value: name }, name))];
  });
}
