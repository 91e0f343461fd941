// The sessions and the clusters that are reached through them, as tables.
import { byId, el, state, swap, table } from "./dom.js";
import { age, capital, level, milliseconds, number, place } from "./format.js";
import { probeOf, probeOfCluster } from "./probes.js";

const code = (text) => el("span", { class: "code" }, text);

export function showSessions(s) {
  const measured = s.sessions.some((x) => probeOf(s, x));
  const columns = [
    { name: "Peer" }, { name: "Address" }, { name: "AS", class: "number" }, { name: "State" }, { name: "For", class: "number" },
    ...(measured ? [{ name: "RTT", class: "number" }] : []),
    { name: "Families" }, { name: "Received", class: "number" }, { name: "Accepted", class: "number" }, { name: "Advertised", class: "number" },
    { name: "Lost", class: "number" }, { name: "BFD" }, { name: "Last error", class: "words" },
  ];
  const row = (x) => ({
    class: level(x.state) === "ok" ? null : "bad",
    cells: [
      x.peer, code(place(x)), x.asn, stateOf(x), age(x.since),
      ...(measured ? [rtt(probeOf(s, x))] : []),
      (x.families ?? []).join(", ") || "–", number(x.received), number(x.accepted), number(x.advertised), number(x.flaps),
      x.bfd ? state(level(x.bfd.state), x.bfd.state) : "–", x.lastError || "–",
    ],
  });
  swap(byId("session-table"), JSON.stringify([s.sessions, s.probes]), () =>
    s.sessions.length === 0 ? el("tbody", null, el("tr", null, el("td", null, "No peers are configured."))) : table("BGP sessions", columns, s.sessions.map(row)));
  const probed = s.clusters.some((c) => probeOfCluster(s, c));
  swap(byId("cluster-table"), JSON.stringify([s.clusters, s.probes]), () =>
    s.clusters.length === 0 ? el("tbody", null, el("tr", null, el("td", null, "No remote clusters are declared."))) : table("Remote clusters", clusterColumns(probed), s.clusters.map((c) => cluster(c, probed ? [probe(probeOfCluster(s, c))] : []))));
}

const rtt = (probe) => (probe ? (probe.ok ? milliseconds(probe.rtt) : state("bad", "no answer")) : "–");

const stateOf = (x) => [state(level(x.state), capital(x.state)), x.state === "established" && !x.complete && " (learning)"];

const probe = (p) => (p ? [state(level(p.state), p.state), p.ok && ` ${milliseconds(p.rtt)}`] : "–");

const clusterColumns = (probed) => [
  { name: "Cluster" }, { name: "ID", class: "number" }, { name: "State" }, { name: "Peers", class: "number" }, { name: "Accepted", class: "number" },
  { name: "Installed", class: "number" }, { name: "Refused", class: "number" }, { name: "Limit", class: "number" }, ...(probed ? [{ name: "Probe" }] : []), { name: "Pod CIDRs" }, { name: "Reason", class: "words" },
];

const cluster = (c, measured) => ({
  class: level(c.state) === "ok" ? null : level(c.state),
  cells: [c.name, c.id, state(level(c.state), c.state), `${c.peersUp}/${c.peers}`, number(c.accepted), number(c.installed), number(c.refused),
    number(c.maxPrefixes), ...measured, code(c.podCIDRs.join(" ")), c.reason || "–"],
});
