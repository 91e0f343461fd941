// What a person wants to know first: how the node is, and what is wrong.
import { byId, el, say, state, swap } from "./dom.js";
import { age, count, level, number } from "./format.js";

export function showOverview(s) {
  say(byId("node"), s.node || "underlayd");
  document.title = `${s.problems.length ? `(${s.problems.length}) ` : ""}${s.node} · underlayd`;
  say(byId("identity"), ["cluster " + s.cluster.name, "AS " + s.asn, s.routerID && "router id " + s.routerID, ...(s.roles ?? [])].filter(Boolean).join(" · "));
  const up = s.sessions.filter((x) => x.state === "established").length;
  say(byId("rollup"), `${s.node} of cluster ${s.cluster.name} is ${s.phase}: ${up} of ${count(s.sessions.length, "peer", "peers")} established, ` +
    `${number(Math.min(s.routes.installed, s.routes.accepted))} of ${count(s.routes.accepted, "accepted prefix", "accepted prefixes")} in the kernel, ` +
    `${count(s.advertised.length, "pod CIDR", "pod CIDRs")} advertised. ${s.problems.length === 0 ? "Nothing is wrong." : `${count(s.problems.length, "thing is wrong", "things are wrong")}.`}`);
  byId("rollup").dataset.level = level(s.phase);
  const open = byId("problems").querySelector("details")?.open;
  swap(byId("problems"), JSON.stringify(s.problems), () => problems(s.problems, open));
  swap(byId("facts"), JSON.stringify([s.routes, s.kernel, s.natExemption, s.kubernetes, s.conditions]), () => facts(s));
  swap(byId("foot"), JSON.stringify([s.version, s.pid, s.started]), () => [
    `underlayd ${s.version} · pid ${s.pid} · up `, age(s.started), " · this page only reads"]);
}

const first = 12; // problems; who wants more opens the rest

function problems(all, open) {
  if (all.length === 0) return [];
  return [el("ul", null, all.slice(0, first).map(problem)), all.length > first &&
    el("details", { open }, el("summary", { "data-key": "more" }, `${number(all.length - first)} more`), el("ul", null, all.slice(first).map(problem)))].filter(Boolean);
}

function problem(p) {
  return el("li", { class: p.severity === "error" ? "bad" : "warn" },
    state(level(p.severity), p.severity), el("strong", null, p.subject), el("span", { class: "message" }, p.message,
      p.since && el("span", { class: "muted" }, " for ", age(p.since))));
}

function facts(s) {
  const routes = s.routes, kernel = s.kernel;
  const row = (name, ...value) => el("div", null, el("dt", null, name), el("dd", null, value));
  const some = (n, word) => n > 0 && ` · ${number(n)} ${word}`;
  return [
    row("Routes", `${number(routes.total)} learned · ${number(routes.accepted)} accepted`, some(routes.refused, "refused"), some(routes.pending, "pending"),
      some(routes.failed, "failed"), some(routes.conflict, "in conflict"), some(routes.adopted, "adopted"), some(routes.stale, "stale"), some(routes.passedOn, "passed on")),
    row("Kernel", `${number(kernel.routes)} routes · table ${kernel.table} · protocol ${kernel.protocol} · metric ${kernel.metric} · next hops ${kernel.mode}`,
      some(kernel.repairs, kernel.repairs === 1 ? "repair" : "repairs"), some(kernel.errors, kernel.errors === 1 ? "error" : "errors")),
    row("NAT exemption", s.natExemption.state),
    row("Advertised", s.advertised.length === 0 ? "nothing" : el("span", { class: "code" }, s.advertised.slice(0, 8).join(" "), s.advertised.length > 8 && ` and ${s.advertised.length - 8} more`)),
    ...(s.conditions ?? []).map((c) => row(c.type, `${c.status} (${c.reason})`, c.message && `: ${c.message}`)),
  ];
}
