// What probes measured, if the daemon has them: a member probes of the status with a list, each with the peer or cluster it is about,
// rttNanoseconds of the last answer, and ok or error. Without it nothing is shown.

const list = (s) => (Array.isArray(s.probes) ? s.probes : []);

function read(p) {
  if (!p) return undefined;
  const rtt = p.rttNanoseconds;
  if (typeof rtt !== "number" && p.ok !== false && !p.error) return undefined;
  return { rtt, ok: typeof rtt === "number" && p.ok !== false && !p.error };
}

export const probeOf = (s, session) => read(list(s).find((p) => p.peer === session.peer));

export const probeOfCluster = (s, cluster) => read(list(s).find((p) => !p.peer && p.cluster === cluster.name));
