// The way to the server. The token comes behind the # of the address, which no request carries; it goes into a header of each
// request and is kept for this tab alone, so that a reload finds it.

const KEY = "silo-token";

function token() {
  const found = /(?:^#|&)token=([0-9a-f]{64})$/.exec(location.hash);
  if (found) {
    sessionStorage.setItem(KEY, found[1]);
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem(KEY);
}

const OWN = token();
export const hasToken = OWN !== null;

function query(values) {
  const known = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return new URLSearchParams(known).toString();
}

async function call(path, options = {}) {
  const headers = { Authorization: `Bearer ${OWN}`, ...options.headers };
  let response;
  try {
    response = await fetch(path, { ...options, headers, cache: "no-store" });
  } catch {
    throw Object.assign(new Error("the server does not answer: is 'silo web' still running?"), { isLost: !options.signal?.aborted });
  }
  if (!response.ok) {
    const said = await response.json().catch(() => ({}));
    throw Object.assign(new Error(said.error ?? `the server answered ${response.status}`), { status: response.status });
  }
  return response;
}

export async function ask(name, values = {}, signal = undefined) {
  const response = await call(`/api/${name}?${query(values)}`, { signal });
  return response.json();
}

export async function act(name, body) {
  const headers = { "Content-Type": "application/json" };
  const response = await call(`/api/${name}`, { method: "POST", headers, body: JSON.stringify(body) });
  return response.json();
}

// Messages a second, until `stop` is called: `hear` takes each, `lost` is told why there are none.
export function live(values, hear, lost) {
  const control = new AbortController();
  let retry = 0;
  let watchdog = 0;
  const again = (wait) => {
    if (!control.signal.aborted) retry = setTimeout(listen, wait);
  };
  async function listen() {
    let alive = new AbortController();
    const stop = () => alive.abort();
    control.signal.addEventListener("abort", stop);
    const expect = () => {
      clearTimeout(watchdog);
      watchdog = setTimeout(stop, 8000);
    };
    try {
      expect();
      const response = await call(`/api/live?${query(values)}`, { signal: alive.signal });
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done) throw new Error("the server has ended");
        expect();
        const parts = (rest + value).split("\n\n");
        rest = parts.pop();
        for (const part of parts) hear(JSON.parse(part.slice("data: ".length)));
      }
    } catch (error) {
      if (control.signal.aborted) return;
      lost(error);
      if (error.status !== 401) again(2000);
    } finally {
      clearTimeout(watchdog);
      control.signal.removeEventListener("abort", stop);
    }
  }
  listen();
  return () => {
    control.abort();
    clearTimeout(retry);
    clearTimeout(watchdog);
  };
}
