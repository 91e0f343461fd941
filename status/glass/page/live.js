// The live view: server-sent events, and an open eye for the end of them.
import { byId, say } from "./dom.js";

const quiet = 15_000; // after which the daemon is asked whether it is still there
let source, wait = 500, retry = 0, checked = 0, seen = "";

function show(connected, text) {
  const link = byId("link");
  link.classList.toggle("on", connected);
  document.body.classList.toggle("stale", !connected);
  say(link.querySelector(".mark"), connected ? "●" : "○");
  say(byId("link-text"), text);
}

function lost(handlers) {
  source?.close();
  source = undefined;
  if (retry) return;
  show(false, seen ? `not connected: what is shown is of ${seen}; trying again` : "not connected; trying again");
  retry = setTimeout(() => { retry = 0; connect(handlers); }, wait);
  wait = Math.min(wait * 2, 10_000);
}

function connect(handlers) {
  source = new EventSource("/v1/events");
  const mine = source;
  source.addEventListener("open", () => {
    wait = 500;
    checked = Date.now();
    show(true, "live");
    handlers.opened();
  });
  source.addEventListener("error", () => { if (mine === source) lost(handlers); });
  for (const [name, take] of [["entry", handlers.entry], ["status", handlers.pulse]]) {
    source.addEventListener(name, (event) => {
      noteAnswer();
      take(JSON.parse(event.data));
    });
  }
}

// noteAnswer says that the daemon has just been heard.
export function noteAnswer() {
  checked = Date.now();
  seen = new Date().toLocaleTimeString("en-GB", { hour12: false });
}

// follow keeps connected. handlers: opened after each connection, entry and pulse with each event, check, which asks the daemon
// something and fails if it does not answer.
export function follow(handlers) {
  connect(handlers);
  setInterval(async () => {
    if (!source || Date.now() - checked < quiet) return;
    try {
      await handlers.check();
    } catch {
      lost(handlers);
    }
  }, 3_000);
}
