/* Requests and answers, whatever carries them. A transport takes {method, path, headers, body, signal}, gives {status, header(), bytes}. */
import { Lost, Refused, Unreachable } from "./errors.js";
import { parse } from "./json.js";

export const ANSWER_MAX = 32 << 20;
const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;

/** Refuses what would send tokens and messages in the clear: http is for this machine only, as the daemon sees it too. */
export function checkEndpoint(endpoint) {
  let url;
  try {
    url = new URL(endpoint);
  } catch {
    throw new TypeError(`endpoint ${JSON.stringify(endpoint)}: use unix:PATH, http://127.0.0.1:PORT or https://HOST`);
  }
  const plain = url.pathname === "/" && !url.search && !url.hash && !url.username && !url.password;
  if (!plain || !(url.protocol === "https:" || (url.protocol === "http:" && LOOPBACK.test(url.hostname))))
    throw new TypeError(`endpoint ${JSON.stringify(endpoint)}: use unix:PATH, https://HOST[:PORT], or http:// on the loopback only`);
  return url;
}

/** For browsers: same origin only, since the fabric answers no foreign page. fetch does not tell an absent fabric from a lost answer. */
export function fetchTransport(endpoint) {
  const { origin } = checkEndpoint(endpoint);
  return async ({ method, path, headers, body, signal }) => {
    const answer = await fetch(origin + path, { method, headers, body, signal, redirect: "error", credentials: "omit", cache: "no-store" });
    const reader = answer.body?.getReader(),
      parts = [];
    let size = 0;
    for (let part; reader && !(part = await reader.read()).done; parts.push(part.value)) {
      size += part.value.length;
      if (size > ANSWER_MAX) throw new Error("answer too long");
    }
    return {
      status: answer.status,
      header: (name) => answer.headers.get(name),
      bytes: new Uint8Array(await new Blob(parts).arrayBuffer()),
    };
  };
}

export class Wire {
  constructor(endpoint, token, transport) {
    this.endpoint = endpoint;
    this.isUnix = endpoint.startsWith("unix:");
    this.transport = transport;
    Object.defineProperty(this, "token", { value: token }); /* not enumerable: no log shows it */
  }

  /** -> {status, value, header}. Unreachable: nothing left. Lost: outcome unknown. An abort by the caller passes as it is. */
  async call(method, path, { body, headers = {}, timeout = 15, query = {}, signal } = {}) {
    const search = new URLSearchParams(Object.entries(query).filter(([, v]) => v !== undefined && v !== null)).toString();
    const limit = AbortSignal.timeout(Math.ceil(timeout * 1000));
    const all = { accept: "application/json", "content-type": "application/json", ...headers };
    if (this.token) all.authorization = "Bearer " + this.token;
    signal?.throwIfAborted();
    try {
      const request = {
        method,
        path: path + (search && "?" + search),
        headers: all,
        body,
        signal: signal ? AbortSignal.any([signal, limit]) : limit,
      };
      const answer = await this.transport(request);
      const value = parse(answer.bytes.length === 0 ? "{}" : answer.bytes, { max: ANSWER_MAX });
      if (value === null || typeof value !== "object" || Array.isArray(value)) throw new Error("the answer is no object");
      return { status: answer.status, value, header: answer.header };
    } catch (e) {
      if (e instanceof Unreachable) throw e;
      throw new Lost(`${method} ${path}: ${limit.aborted ? `no answer in ${timeout} s` : e.message || e.name}`, { cause: e });
    }
  }

  async get(path, options) {
    const { status, value } = await this.call("GET", path, options);
    if (value.error) throw new Refused(value.error, status);
    return value;
  }
}
