// What the probe measured: nothing where it is off. Results are of a cluster and family each, with the nodes that are probed now.

const order = ["Ok", "Loss", "MTU", "NAT", "OneWay", "Silent"]; // the worst last

const results = (s) => s.probes?.results ?? [];

const mean = (all) => (all.length === 0 ? undefined : all.reduce((sum, x) => sum + x, 0) / all.length);

// read makes what is shown of some nodes: the mean of their round trips, and the worst of the states.
function read(nodes, states, rtt) {
  const state = states.filter(Boolean).sort((a, b) => order.indexOf(b) - order.indexOf(a))[0];
  const measured = mean(nodes.map((n) => n.avgNanoseconds).filter((x) => x > 0)) ?? rtt;
  return state ? { state, rtt: measured, ok: state !== "Silent" && state !== "OneWay" && measured !== undefined } : undefined;
}

// probeOf is about the node that is the peer itself.
export function probeOf(s, session) {
  const nodes = results(s).flatMap((r) => r.nodes ?? []).filter((n) => n.nodeAddress && n.nodeAddress === session.address);
  return read(nodes, nodes.map((n) => n.state));
}

export function probeOfCluster(s, cluster) {
  const all = results(s).filter((r) => r.cluster === cluster.name);
  const answered = all.reduce((n, r) => n + r.sent - r.lost, 0);
  const rtt = answered > 0 ? all.reduce((n, r) => n + r.rttSumNanoseconds, 0) / answered : undefined;
  return read(all.flatMap((r) => r.nodes ?? []), all.map((r) => r.state), rtt);
}
