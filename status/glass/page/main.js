// The looking glass: one page, kept up to date by the daemon's own events.
import { ask, often } from "./ask.js";
import { byId, say } from "./dom.js";
import { explainPrefix, startExplain } from "./explain.js";
import { startFleet } from "./fleet.js";
import { setClock, tickAges } from "./format.js";
import { addEntry, loadHistory, startHistory } from "./history.js";
import { follow, noteAnswer } from "./live.js";
import { showOverview } from "./overview.js";
import { offer, refreshRoutes, startRoutes } from "./routes.js";
import { showSessions } from "./sessions.js";
import { showTopology } from "./topology.js";

let last;

async function load() {
  const s = await ask("/v1/status", {}, "status");
  noteAnswer();
  setClock(s.time);
  last = s;
  showOverview(s);
  showTopology(s);
  showSessions(s);
  const clusters = s.clusters.map((c) => c.name);
  offer(byId("route-cluster"), clusters);
  offer(byId("history-cluster"), clusters);
  offer(byId("history-peer"), s.sessions.map((x) => x.peer));
}

let wanted = 0; // the time of the newest state that is known of

const refresh = often(500, async () => {
  try {
    await load();
  } catch (error) {
    if (!last) say(byId("rollup"), error.message);
    return;
  }
  if (Date.parse(last.time) < wanted) refresh(); // the daemon gives one answer to all who look within a moment
});

// refreshTwice is for what happened without its being told of when.
let later = 0;
function refreshTwice() {
  refresh();
  clearTimeout(later);
  later = setTimeout(refresh, 2_000);
}

startRoutes(explainPrefix);
startExplain();
startHistory();
startFleet();
new ResizeObserver(() => { if (last) showTopology(last); }).observe(byId("picture"));
setInterval(tickAges, 1_000);
follow({
  opened: () => { refresh(); refreshRoutes(); loadHistory(); },
  entry: (event) => { addEntry(event.entry); refreshTwice(); },
  pulse: (event) => { wanted = Date.parse(event.status.time); refresh(); refreshRoutes(); },
  check: load,
});
