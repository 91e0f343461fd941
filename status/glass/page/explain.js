// The way of packets to an address, from the peer that announces it to the kernel: drawn, and in words.
import { ask, superseded } from "./ask.js";
import { byId, el, say, svg } from "./dom.js";

const titles = {
  target: "Target", received: "Announced", policy: "Policy", choice: "Choice", nextHop: "Next hop", kernel: "Our route", lookup: "Lookup", nat: "NAT", host: "Host", node: "Node",
};
const levels = { ok: "ok", warning: "warn", failed: "bad", skipped: "off" };
const marks = { ok: "✓", warning: "!", failed: "✕", skipped: "–" };

export function startExplain() {
  byId("explain-form").addEventListener("submit", (event) => { event.preventDefault(); explain(); });
  new ResizeObserver(() => last && draw()).observe(byId("explain-way"));
}

// explainPrefix answers for a route, and brings the answer into view.
export function explainPrefix(prefix) {
  byId("explain-target").value = prefix;
  byId("explain-source").value = "";
  byId("explain").scrollIntoView();
  byId("explain-target").focus({ preventScroll: true });
  return explain();
}

let last, drawn = 0;

async function explain() {
  const target = byId("explain-target").value.trim(), source = byId("explain-source").value.trim();
  const answer = byId("explain-answer");
  try {
    last = await ask("/v1/explain", { target, source }, "explain");
  } catch (error) {
    if (superseded(error)) return;
    last = undefined;
    answer.className = "answer bad";
    say(answer, error.message);
    byId("explain-way").replaceChildren();
    return;
  }
  answer.className = `answer ${last.reachable ? "ok" : "bad"}`;
  say(answer, last.answer);
  drawn = 0;
  draw();
}

function draw() {
  const holder = byId("explain-way"), width = Math.floor(holder.clientWidth);
  if (width === drawn) return;
  drawn = width;
  holder.replaceChildren(...[width >= 640 ? strip(last, width) : null, list(last), parts(last)].filter(Boolean));
}

// fact is the shortest that a step has to say.
function fact(step) {
  const names = (all) => [...new Set(all.filter(Boolean))].join(" ");
  switch (step.name) {
    case "target": return step.range ?? "";
    case "received": return names([...(step.paths ?? []).map((p) => p.peer), ...(step.sessions ?? []).map((x) => x.peer)]);
    case "policy": return step.route?.verdict ?? names((step.paths ?? []).map((p) => p.verdict));
    case "choice": return names((step.paths ?? []).filter((p) => p.used).map((p) => p.nextHop));
    case "nextHop": return names((step.nextHops ?? []).map((p) => p.link));
    case "kernel": return step.route?.kernel?.status ?? "";
    case "lookup": return names((step.packets ?? []).map((p) => p.link || p.fate));
    default: return "";
  }
}

const short = (text, length) => (text.length <= length ? text : `${text.slice(0, length - 1)}…`);

// strip draws the steps from left to right: the line is solid up to what failed, and dashed from there on.
function strip(e, width) {
  const n = e.steps.length, gap = width / n, y = 22, letters = Math.floor(gap / 7.2);
  const failed = e.steps.findIndex((step) => step.result === "failed");
  const lines = [], stops = [];
  e.steps.forEach((step, i) => {
    const x = Math.round(gap * (i + 0.5)), broken = failed >= 0 && i > failed;
    if (i > 0) lines.push(svg("path", { class: `way ${failed >= 0 && i > failed ? "off" : levels[step.result] === "bad" ? "bad" : "ok"}`, d: `M${Math.round(x - gap + 13)} ${y}H${x - 13}` }));
    stops.push(svg("g", { class: `stop ${levels[step.result]}${broken ? " after" : ""}` },
      svg("circle", { cx: x, cy: y, r: 12 }), svg("text", { x, y: y + 5, class: "mark" }, marks[step.result]),
      svg("text", { x, y: y + 30, class: "title" }, short(titles[step.name] ?? step.name, letters)),
      svg("text", { x, y: y + 46, class: "small" }, short(i === failed ? step.reason ?? "" : fact(step), letters), svg("title", null, fact(step) || (step.reason ?? "")))));
  });
  return svg("svg", { class: "strip", viewBox: `0 0 ${width} 76`, width, height: 76, "aria-hidden": "true" }, lines, stops);
}

function list(e) {
  const failed = e.steps.findIndex((step) => step.result === "failed");
  return el("ol", { class: "steps", "aria-label": "Steps of the way" }, e.steps.map((step, i) =>
    el("li", { class: `${levels[step.result] ?? "off"}${failed >= 0 && i > failed ? " after" : ""}`, "aria-current": i === failed ? "step" : null },
      el("span", { class: "stop", "aria-hidden": "true" }, marks[step.result] ?? "?"),
      el("div", null,
        el("p", null, el("strong", null, titles[step.name] ?? step.name), " ",
          el("span", { class: step.result === "ok" ? "unseen" : `state ${levels[step.result]}` }, step.result, step.reason && ` (${step.reason})`, ": "), step.sentence),
        paths(step), packets(step), findings(step), remedy(step.remedy)))));
}

const lines = (all) => all.length > 0 && el("ul", { class: "detail code" }, all.map((line) => el("li", null, line)));

const paths = (step) => lines((step.paths ?? []).map((p) =>
  [`${p.used ? "used" : "not used"} ${p.prefix}`, p.peer && `from ${p.peer}`, p.nextHop && `via ${p.nextHop}`, p.asPath?.length && `AS path ${p.asPath.join(" ")}`,
    p.decided && `(${p.decided})`].filter(Boolean).join(" ")));

const packets = (step) => lines([...(step.nextHops ?? []), ...(step.packets ?? [])].map((p) =>
  [p.destination, p.source && `from ${p.source}`, p.fate, p.gateway && `via ${p.gateway}`, p.link && `dev ${p.link}`, p.table && `table ${p.table}`,
    p.neighbour && `neighbour ${p.neighbour}`, p.error].filter(Boolean).join(" ")));

const findings = (step) => lines(step.findings ?? []);

function remedy(r) {
  if (!r) return null;
  return el("div", { class: "remedy" }, el("p", null, el("strong", null, "What to do: "), r.action),
    r.key && el("p", null, "Key ", el("code", null, r.value ? `${r.key}: ${r.value}` : r.key)),
    r.command && el("p", null, "Command ", el("code", null, r.command)), r.doc && el("p", { class: "muted" }, `See ${r.doc}`));
}

function parts(e) {
  if (!e.parts?.length) return null;
  const line = (p) => `${p.prefix} ${p.hole ? "no route" : [p.cluster, p.verdict, p.kernel, p.nextHops?.length && `via ${p.nextHops.join(" ")}`].filter(Boolean).join(" · ")}`;
  return el("div", null, el("h3", null, "What is inside it"), el("ul", { class: "detail code" }, e.parts.map((p) => el("li", { class: p.hole ? "warn" : null }, line(p)))),
    e.partsLeftOut > 0 && el("p", { class: "muted" }, `and ${e.partsLeftOut} more`));
}
