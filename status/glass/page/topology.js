// The picture: this node, its peers, and the clusters whose routes they may announce. The tables below say the same in words.
import { byId, el, svg, swap } from "./dom.js";
import { capital, level, milliseconds, number, place } from "./format.js";
import { probeOf, probeOfCluster } from "./probes.js";

const most = 24; // boxes of a kind; the rest are one box
const box = { width: 196, height: 46, gap: 12 };

export function showTopology(s) {
  const holder = byId("picture");
  const width = Math.max(280, Math.floor(holder.clientWidth));
  const peers = chosen(s.sessions, (x) => level(x.state) === "ok");
  const clusters = chosen(s.clusters, (c) => level(c.state) === "ok");
  const key = JSON.stringify([width, s.node, s.cluster, s.asn, s.probes,
    peers.shown.map((x) => [x.peer, x.address, x.interface, x.asn, x.state, x.clusters]), peers.left,
    clusters.shown.map((c) => [c.name, c.state, c.installed, c.accepted]), clusters.left]);
  swap(holder, key, () => (width >= 640 ? wide : narrow)({ s, width, peers, clusters }));
}

// chosen puts what is not well first when there is too much to show.
function chosen(all, well) {
  const sorted = all.length <= most ? all : [...all].sort((a, b) => well(a) - well(b));
  return { shown: sorted.slice(0, most), left: Math.max(0, all.length - most) };
}

const short = (text, length) => (text.length <= length ? text : `${text.slice(0, length - 1)}…`);

function node(x, y, width, lines, kind) {
  return svg("g", { class: `box ${kind}`, transform: `translate(${x} ${y})` },
    svg("rect", { width, height: box.height, rx: 5 }),
    svg("text", { x: 10, y: 19, class: "title" }, short(lines[0], Math.floor(width / 8)), svg("title", null, lines[0])),
    svg("text", { x: 10, y: 36, class: "small" }, short(lines[1], Math.floor(width / 6.6)), svg("title", null, lines[1])));
}

const own = (s) => [s.node, `${s.cluster.name} · AS ${s.asn}`];
const peerLines = (x) => [x.peer, `AS ${x.asn} · ${place(x)}`];
const clusterLines = (s, c) => {
  const probe = probeOfCluster(s, c);
  return [c.name, `${c.state} · ${number(c.installed)}/${number(c.accepted)}${probe?.ok ? ` · ${milliseconds(probe.rtt)}` : ""}`];
};

function edgeLabel(s, x) {
  const probe = probeOf(s, x);
  return capital(x.state) + (probe ? ` · ${probe.ok ? milliseconds(probe.rtt) : "no answer"}` : "");
}

function summary(s) {
  const up = s.sessions.filter((x) => x.state === "established").length;
  return `${s.node} has ${up} of ${s.sessions.length} sessions established, to reach ${s.clusters.length} remote clusters`;
}

const frame = (s, width, height, ...content) =>
  svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": summary(s) }, content);

const more = (n, what) => `and ${number(n)} more ${what}`;

const allowed = (x, c) => !x.clusters?.length || x.clusters.includes(c.name);

function wide({ s, width, peers, clusters }) {
  const step = box.height + box.gap;
  const rows = Math.max(peers.shown.length + (peers.left ? 1 : 0), clusters.shown.length + (clusters.left ? 1 : 0), 1);
  const height = rows * step + box.gap;
  const x = { own: 1, peers: Math.round((width - box.width) / 2), clusters: width - box.width - 1 };
  const column = (n) => (i) => Math.round((height - n * step + box.gap) / 2) + i * step;
  const peerY = column(peers.shown.length + (peers.left ? 1 : 0)), clusterY = column(clusters.shown.length + (clusters.left ? 1 : 0));
  const middle = height / 2, half = box.height / 2;
  const lines = [], labels = [], boxes = [node(x.own, middle - half, box.width, own(s), "own")];
  peers.shown.forEach((p, i) => {
    const y = peerY(i) + half, from = x.own + box.width, gap = x.peers - from;
    lines.push(svg("path", { class: `edge ${level(p.state)}`, d: `M${from} ${middle}C${from + gap * 0.4} ${middle} ${from + gap * 0.3} ${y} ${x.peers} ${y}` }));
    labels.push(svg("text", { class: `label ${level(p.state)}`, x: x.peers - 10, y: y - 6, "text-anchor": "end" }, edgeLabel(s, p)));
    boxes.push(node(x.peers, peerY(i), box.width, peerLines(p), level(p.state)));
    clusters.shown.forEach((c, j) => {
      if (!allowed(p, c)) return;
      const a = x.peers + box.width, b = x.clusters, to = clusterY(j) + half, bend = (b - a) / 2;
      lines.unshift(svg("path", { class: `may ${p.state === "established" ? "" : "down"}`, d: `M${a} ${y}C${a + bend} ${y} ${b - bend} ${to} ${b} ${to}` }));
    });
  });
  clusters.shown.forEach((c, j) => boxes.push(node(x.clusters, clusterY(j), box.width, clusterLines(s, c), level(c.state))));
  if (peers.left) boxes.push(rest(x.peers, peerY(peers.shown.length), more(peers.left, "peers")));
  if (clusters.left) boxes.push(rest(x.clusters, clusterY(clusters.shown.length), more(clusters.left, "clusters")));
  return [frame(s, width, height, lines, labels, boxes), legend()];
}

const rest = (x, y, text) => svg("text", { class: "rest", x: x + 10, y: y + 28 }, text);

const legend = () => el("p", { class: "muted legend" }, "Session: its state. Thin line: whose routes a peer may announce; dashed while its session is down. ",
  "Numbers of a cluster: prefixes in the kernel of those accepted.");

// narrow hangs peers and clusters from the node, one below the other.
function narrow({ s, width, peers, clusters }) {
  const lines = [], boxes = [node(1, 1, width - 2, own(s), "own")];
  const indent = 34, spine = 16;
  let y = 1 + box.height + box.gap;
  const heading = (text) => { boxes.push(svg("text", { class: "small", x: indent, y: y + 10 }, text)); y += 18; };
  const hang = (kind, text, draw) => {
    lines.push(svg("path", { class: `edge ${kind}`, d: `M${spine} ${box.height + 1}V${y + 30 + box.height / 2 - 12}H${indent}` }));
    if (text) boxes.push(svg("text", { class: `label ${kind}`, x: indent + 2, y: y + 11 }, text));
    draw(y + 18);
    y += 18 + box.height + box.gap;
  };
  for (const p of peers.shown) {
    const to = p.clusters?.length ? ` → ${p.clusters.join(", ")}` : "";
    hang(level(p.state), edgeLabel(s, p) + to, (at) => boxes.push(node(indent, at, width - indent - 1, peerLines(p), level(p.state))));
  }
  if (peers.left) heading(more(peers.left, "peers"));
  y += 6;
  heading("Remote clusters");
  for (const c of clusters.shown) {
    boxes.push(node(indent, y, width - indent - 1, clusterLines(s, c), level(c.state)));
    y += box.height + box.gap;
  }
  if (clusters.left) heading(more(clusters.left, "clusters"));
  return [frame(s, width, y, lines.reverse(), boxes)];
}
