// The nodes that the configuration lists, as this node hears of them. Who gives no answer is in the table too, with the reason.
import { ask, superseded } from "./ask.js";
import { byId, el, say, state, swap, table } from "./dom.js";
import { count, level, milliseconds, number } from "./format.js";

const columns = [
  { name: "Node" }, { name: "Cluster" }, { name: "State" }, { name: "Sessions", class: "number" }, { name: "Accepted", class: "number" }, { name: "Installed", class: "number" },
  { name: "Problems", class: "number" }, { name: "First of them, or why there is no answer", class: "words" }, { name: "Version" }, { name: "Took", class: "number" },
];

export function startFleet() {
  loadFleet();
  setInterval(() => { if (document.visibilityState === "visible" && !byId("fleet").hidden) loadFleet(); }, 5_000);
}

export async function loadFleet() {
  let list;
  try {
    list = await ask("/v1/fleet", {}, "fleet");
  } catch (error) {
    if (!superseded(error)) say(byId("fleet-count"), `The fleet could not be asked: ${error.message}`);
    return;
  }
  const alone = list.items.length < 2;
  byId("fleet").hidden = byId("fleet-link").hidden = alone;
  if (alone) return;
  const answered = list.items.filter((x) => x.summary).length;
  const wrong = list.items.filter((x) => x.summary?.problems > 0).length;
  say(byId("fleet-count"), `${number(answered)} of ${count(list.items.length, "node", "nodes")} answered` +
    (answered < list.items.length ? "; this is a part of the fleet" : "") + (wrong ? `; something is wrong on ${number(wrong)}` : "; nothing is wrong on those"));
  const worst = (x) => (x.summary ? (x.summary.problems > 0 ? 1 : 2) : 0);
  const items = [list.items[0], ...list.items.slice(1).sort((a, b) => worst(a) - worst(b))];
  swap(byId("fleet-table"), JSON.stringify(items.map((x) => ({ ...x, tookNanoseconds: Math.round((x.tookNanoseconds ?? 0) / 1e6) }))), () => table("Fleet", columns, items.map(row)));
}

function row(x) {
  const s = x.summary, where = x.address && el("span", { class: "code muted" }, ` ${x.address}`);
  if (!s) return { class: "bad", cells: [where ?? "–", "–", state("bad", "no answer"), "–", "–", "–", "–", x.error, "–", "–"] };
  return {
    class: level(s.phase) === "ok" ? null : "warn",
    cells: [[s.node, where ?? " (this one)"], s.cluster, state(level(s.phase), s.phase), `${number(s.peersUp)}/${number(s.peers)}`, number(s.accepted), number(s.installed),
      number(s.problems), s.headlines?.length ? `${s.headlines[0].subject}: ${s.headlines[0].message}` : "–", s.version, x.address ? milliseconds(x.tookNanoseconds) : "–"],
  };
}
