// Questions to the daemon. Each has a time limit; the last question of a kind is the one whose answer counts.
const running = new Map();

export class Refused extends Error {}

export async function ask(path, parameters = {}, kind = "") {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== "" && value !== undefined));
  const control = new AbortController();
  if (kind) {
    running.get(kind)?.abort();
    running.set(kind, control);
  }
  const timer = setTimeout(() => control.abort(new DOMException("no answer in time", "TimeoutError")), 12_000);
  try {
    const answer = await fetch(query.size > 0 ? `${path}?${query}` : path, { signal: control.signal, headers: { accept: "application/json" } });
    const body = await answer.json();
    if (!answer.ok) throw new Refused(body.error ?? answer.statusText);
    return body;
  } finally {
    clearTimeout(timer);
    if (running.get(kind) === control) running.delete(kind);
  }
}

export const superseded = (error) => error.name === "AbortError";

// often calls f at most once in a while, and once more if it was called meanwhile. What takes long is done the more seldom: a node
// that is busy is not kept busy by who looks at it.
export function often(pause, f) {
  let running = false, again = false;
  const run = async () => {
    running = true;
    again = false;
    const began = Date.now();
    await f();
    setTimeout(() => { running = false; if (again) run(); }, Math.max(pause, 10 * (Date.now() - began)));
  };
  return () => { if (running) again = true; else run(); };
}
