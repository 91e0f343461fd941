// What happened, the newest first. What happens while somebody looks is put on top.
import { ask, superseded } from "./ask.js";
import { byId, el, say, swap, table } from "./dom.js";
import { clock, count, number } from "./format.js";

const most = 200;
let entries = [], omitted = 0, loaded = false;

const columns = [{ name: "Time" }, { name: "What" }, { name: "Peer" }, { name: "Cluster" }, { name: "Times", class: "number" }, { name: "Why", class: "words" }, { name: "Prefixes" }];

const bad = new Set(["SessionDown", "BFDDown", "KernelFailed", "KernelConflict", "KernelFight", "ConfigRejected", "APIFailing"]);
const good = new Set(["SessionUp", "BFDUp", "KernelInstalled", "ConfigAccepted", "APIRecovered"]);

export function startHistory() {
  const form = byId("history-form");
  form.addEventListener("submit", (event) => { event.preventDefault(); loadHistory(); });
  form.addEventListener("change", loadHistory);
}

const filter = () => ({ prefix: byId("history-prefix").value.trim(), peer: byId("history-peer").value, cluster: byId("history-cluster").value });

export async function loadHistory() {
  try {
    const list = await ask("/v1/history", { ...filter(), limit: most }, "history");
    entries = list.items.reverse();
    omitted = list.omitted ?? 0;
    loaded = true;
    show();
  } catch (error) {
    if (!superseded(error)) say(byId("history-count"), `The history could not be read: ${error.message}`);
  }
}

// addEntry takes in what has just happened; an entry that grew takes the place of what it was. What happened to one prefix is
// only known to the daemon.
export function addEntry(entry) {
  if (!loaded) return;
  const f = filter();
  if (f.prefix) return loadHistory();
  if ((f.peer && entry.peer !== f.peer) || (f.cluster && entry.cluster !== f.cluster)) return;
  entries = [entry, ...entries.filter((e) => e.id !== entry.id)].slice(0, most);
  show();
}

let waiting = 0;
function show() {
  if (waiting) return;
  waiting = requestAnimationFrame(() => {
    waiting = 0;
    say(byId("history-count"), entries.length === 0 ? "Nothing that matches is remembered." :
      `${count(entries.length, "entry", "entries")}, the newest first${omitted ? `; ${number(omitted)} older ones are not shown` : ""}`);
    swap(byId("history-table"), JSON.stringify(entries), () => table("History", columns, entries.map(row)));
  });
}

function row(e) {
  const kind = el("span", { class: `state ${bad.has(e.kind) ? "bad" : good.has(e.kind) ? "ok" : "plain"}` }, e.kind);
  const why = [e.cause, e.detail].filter(Boolean).join(": ");
  return [clock(e.last ?? e.time), kind, e.peer || "–", e.cluster || "–", number(e.count), (e.unsure ? "may be among these: " : "") + (why || "–"),
    el("span", { class: "code" }, (e.prefixes ?? []).join(" ") || "–")];
}
