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

// often calls f at most once in a while, and once more if it was called meanwhile.
export function often(pause, f) {
  let timer = 0, again = false;
  const run = () => {
    again = false;
    f();
    timer = setTimeout(() => { timer = 0; if (again) run(); }, pause);
  };
  return () => { if (timer) again = true; else run(); };
}
