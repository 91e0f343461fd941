// How numbers, times and states are written.
import { el } from "./dom.js";

let offset = 0; // of the node's clock from this one's, in ms

export const setClock = (nodeTime) => { offset = Date.parse(nodeTime) - Date.now(); };

const units = [[86400, "d"], [3600, "h"], [60, "m"], [1, "s"]];

// duration writes two units: 2d2h, 3m12s.
export function duration(ms) {
  let seconds = Math.max(0, Math.round(ms / 1000));
  const parts = [];
  for (const [size, name] of units) {
    const n = Math.floor(seconds / size);
    if (n > 0 || (size === 1 && parts.length === 0)) parts.push(`${n}${name}`);
    if (parts.length === 2 || (parts.length === 1 && n === 0)) break;
    seconds -= n * size;
  }
  return parts.join("");
}

const since = (iso) => duration(Date.now() + offset - Date.parse(iso));

// age is how long something has been so; it counts on.
export const age = (iso) => (iso ? el("time", { datetime: iso, "data-since": iso, title: iso }, since(iso)) : "–");

export function tickAges() {
  for (const node of document.querySelectorAll("time[data-since]")) {
    const text = since(node.dataset.since);
    if (node.textContent !== text) node.textContent = text;
  }
}

// clock is the time of day, with the date if it is another one.
export function clock(iso) {
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return "–";
  const time = at.toLocaleTimeString("en-GB", { hour12: false });
  const day = `${at.getFullYear()}-${String(at.getMonth() + 1).padStart(2, "0")}-${String(at.getDate()).padStart(2, "0")}`;
  return el("time", { datetime: iso, title: iso }, at.toDateString() === new Date().toDateString() ? time : `${day} ${time}`);
}

export const number = (n) => (typeof n === "number" ? n.toLocaleString("en-US") : "–");

export const count = (n, one, many) => `${number(n)} ${n === 1 ? one : many}`;

export function milliseconds(nanoseconds) {
  const ms = nanoseconds / 1e6;
  return `${ms < 10 ? ms.toFixed(2) : ms.toFixed(ms < 100 ? 1 : 0)} ms`;
}

// level says how good a word of the daemon's is: ok, warn, bad or off.
const levels = {
  ok: ["established", "Reachable", "Ready", "Installed", "Accepted", "ok", "Ok", "Up"],
  warn: ["warning", "Partial", "Degraded", "Learning", "Starting", "Draining", "Adopted", "opensent", "openconfirm", "Init", "AdminDown", "Loss", "MTU", "NAT"],
  bad: ["error", "Unreachable", "Failed", "Conflict", "failed", "idle", "connect", "active", "Down", "OneWay", "Silent"],
};
const levelOf = new Map(Object.entries(levels).flatMap(([level, words]) => words.map((word) => [word, level])));
export const level = (word) => levelOf.get(word) ?? "off";

// place is where a peer is looked for.
export const place = (session) =>
  session.address || (session.interface ? `the neighbour on ${session.interface}` : "–");

export const capital = (word) => word.charAt(0).toUpperCase() + word.slice(1);
