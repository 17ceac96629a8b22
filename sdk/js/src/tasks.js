/* Tasks: made, claimed one after the other, held by a lease that renews itself. */
import { uuid7 } from "./bytes.js";
import { Lost, OutcomeUnknown, Refused, TaskLost, Unreachable } from "./errors.js";
import { amounts, drop } from "./fabric.js";

const CLAIM_WAIT = 25; /* s: of one request; the daemon takes at most 30 */
const POOR = "301"; /* no budget has room: nobody knows when one has */
const POOR_WAIT_MS = 10000;
const LEASE = 30; /* s: what the daemon gives unless told otherwise */
const RENEW_PAUSE = 250; /* ms between tries when a renewal was lost */

const bytesOf = (object) => new TextEncoder().encode(JSON.stringify(object));
const timeOf = (value) => (value instanceof Date ? value.toISOString() : value);
const isLost = (e) => e instanceof Lost || e instanceof Unreachable;

/* What a note may be: text without control characters, at most 1024 bytes. */
function describe(error) {
  const text = new TextDecoder().decode(new TextEncoder().encode(String(error?.message ?? error)));
  return Array.from(text.replace(/[\u0000-\u001f\u007f-\u009f]+/g, " "))
    .slice(0, 256)
    .join("") || "no message";
}

const costOf = (cost) => drop({ ...amounts(cost), model: cost.model });

function pause(ms, signal) {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = () => (clearTimeout(timer), signal?.removeEventListener("abort", done), resolve());
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", done, { once: true });
  });
}

/* One change, once, however often the connection is lost: the same bytes under the same Idempotency-Key. */
export async function change(fabric, path, object, signal) {
  const key = "task-" + uuid7(),
    body = bytesOf(object);
  let lost, retryMs;
  for (let attempt = 0; attempt <= fabric.retries && !(attempt > 0 && signal?.aborted); attempt++) {
    if (attempt > 0) await pause(retryMs ?? Math.random() * fabric.delays[Math.min(attempt, fabric.delays.length) - 1], signal);
    try {
      const { status, value } = await fabric.wire.call("POST", path, { body, headers: { "idempotency-key": key }, timeout: fabric.timeout, signal });
      if (value.error) throw new Refused(value.error, status);
      if (!value.entry) throw new Lost(`HTTP ${status} with neither an entry nor an error`);
      return value;
    } catch (e) {
      if (e instanceof Refused && (!e.retryable || attempt === fabric.retries)) throw lost && e.retryable ? new OutcomeUnknown(key, body, e) : e;
      if (e instanceof Unreachable && lost === undefined) throw e; /* nothing has left */
      if (!(e instanceof Refused) && !isLost(e)) throw e;
      if (isLost(e)) lost = e;
      retryMs = e.retryAfterMs;
    }
  }
  throw new OutcomeUnknown(key, body, lost ?? signal?.reason);
}

/** A task in hand. Its fields are those of the fabric's record; .signal aborts with TaskLost once it is not ours any more. */
export class Task {
  #fabric;
  #fence;
  #lease; /* ms */
  #until; /* by our own clock. A renewal counts from when it was asked for, so that ours is not the longer one */
  #open = true;
  #ending = 0;
  #lost = new AbortController();
  #stop = new AbortController();
  #renewing;

  constructor(fabric, claim, leaseMs) {
    const { task } = claim;
    for (const [name, value] of Object.entries(task)) Object.defineProperty(this, name, { value, enumerable: true, configurable: true });
    for (const [name, value] of Object.entries({ raw: claim, entry: claim.entry, fence: claim.fence, signal: this.#lost.signal }))
      Object.defineProperty(this, name, { value, configurable: true });
    this.#fabric = fabric;
    this.#fence = claim.fence;
    this.#lease = leaseMs;
    this.#until = performance.now() + leaseMs;
    this.#renewing = this.#renew();
  }

  /** Neither completed, failed nor lost. */
  get open() {
    return this.#open && !this.#lost.signal.aborted;
  }

  #path(verb) {
    return `/v1/tasks/${encodeURIComponent(this.id)}/${verb}`;
  }

  async #renew() {
    const stop = this.#stop.signal;
    let next = this.#lease / 3;
    for (;;) {
      await pause(Math.max(0, Math.min(next, this.#until - performance.now())), stop);
      const now = performance.now(),
        left = this.#until - now;
      if (stop.aborted) return;
      if (left <= 0) return this.#lose(new TaskLost(this.id, "its lease is over and could not be renewed"));
      try {
        const { status, value } = await this.#fabric.wire.call("POST", this.#path("renew"), {
          body: bytesOf({ fence: this.#fence, lease_ms: this.#lease }),
          timeout: left / 1000,
          signal: stop,
        });
        if (value.error) throw new Refused(value.error, status);
        if (!value.entry) throw new Lost(`HTTP ${status} with neither an entry nor an error`);
        this.#until = now + this.#lease;
        next = this.#lease / 3;
      } catch (e) {
        if (stop.aborted) return;
        if (e instanceof Refused && !e.retryable) {
          if (this.#ending === 0) return this.#lose(new TaskLost(this.id, e.message, { cause: e }));
          next = this.#lease / 3; /* it is being ended, and whoever does that is told how it ended */
        } else if (e instanceof Refused || isLost(e)) next = Math.min(RENEW_PAUSE, this.#lease / 6);
        else return this.#lose(new TaskLost(this.id, describe(e), { cause: e }));
      }
    }
  }

  #lose(why) {
    this.#open = false;
    this.#lost.abort(why);
  }

  async #act(verb, body) {
    this.#lost.signal.throwIfAborted();
    if (!this.#open) throw new TypeError(`task ${this.id}: it is ended already`);
    try {
      return await change(this.#fabric, this.#path(verb), { fence: this.#fence, ...drop(body) }, this.#lost.signal);
    } catch (e) {
      if (!(e instanceof Refused && e.code === "603")) throw e;
      const why = new TaskLost(this.id, e.message, { cause: e });
      this.#stop.abort();
      this.#lose(why);
      throw why;
    }
  }

  async #end(verb, body) {
    this.#ending++;
    try {
      const value = await this.#act(verb, body);
      this.#open = false;
      this.#stop.abort();
      return value;
    } finally {
      this.#ending--;
    }
  }

  /** Ends it with its result: any JSON of at most 64 KiB. */
  complete(result, { cost, note } = {}) {
    return this.#end("complete", { result, note, cost: cost && costOf(cost) });
  }

  /** kind: transient (another attempt later), poison (dead), shutdown (queued again; costs no attempt). */
  fail(error, { kind = "transient", cost } = {}) {
    return this.#end("fail", { kind, error: error === undefined ? undefined : describe(error), cost: cost && costOf(cost) });
  }

  progress(percent, note) {
    return this.#act("progress", { percent, note });
  }

  /** Asks for what is missing; until it is helped the task stays ours, and is renewed. */
  block(needs, note) {
    return this.#act("block", { needs, note });
  }

  /** Completes with what work(task) resolves to, unless it has ended the task itself; if it throws the task fails as transient, and it is thrown on. */
  async run(work) {
    let result;
    try {
      result = await work(this);
    } catch (e) {
      if (this.open) await this.fail(e).catch(() => {}); /* else the lease runs out */
      throw e;
    }
    if (this.open) await this.complete(result);
    return result;
  }

  /* Stops renewing, whatever became of it. */
  async release(kind, why) {
    if (this.open) await this.fail(why, { kind }).catch(() => {}); /* else the lease runs out */
    this.#stop.abort();
    await this.#renewing;
  }
}

/* The next one, or none within wait seconds (for ever without it). A claim whose connection is closed before its answer is given back. */
async function claimNext(fabric, { swarm, skills, wait, lease = LEASE, signal }) {
  const end = wait === undefined ? Infinity : performance.now() + wait * 1000,
    leaseMs = Math.round(lease * 1000);
  for (let lost; ; lost = undefined) {
    const ms = Math.max(0, Math.min(CLAIM_WAIT * 1000, Math.floor(end - performance.now())));
    if (signal?.aborted) return undefined;
    try {
      const body = bytesOf(drop({ swarm, skills, wait_ms: ms, lease_ms: leaseMs }));
      const { status, value } = await fabric.wire.call("POST", "/v1/tasks/claim", { body, timeout: fabric.timeout + ms / 1000, signal });
      if (value.error) throw new Refused(value.error, status);
      if (value.task && value.fence) return new Task(fabric, value, leaseMs);
      if (status !== 204) throw new Lost(`HTTP ${status} with neither a task nor an error`);
    } catch (e) {
      if (signal?.aborted) return undefined;
      if (!(isLost(e) || (e instanceof Refused && (e.retryable || e.code === POOR)))) throw e;
      lost = e;
    }
    if (performance.now() >= end) {
      if (lost) throw lost;
      return undefined;
    }
    if (lost) {
      const least = lost.code === POOR ? POOR_WAIT_MS : (lost.retryAfterMs ?? Math.random() * fabric.delays[0]);
      await pause(Math.max(0, Math.min(least, end - performance.now())), signal);
    }
  }
}

const RECORD = {
  id: "id",
  type: "type",
  needs: "needs",
  priority: "priority",
  swarm: "swarm",
  dependsOn: "depends_on",
  maxAttempts: "max_attempts",
  payload: "payload",
  why: "why",
};

/** The client with tasks. */
export function withTasks(Base) {
  return class Fabric extends Base {
    /** Makes a task; resolves to its record and entry. */
    async createTask({ budget, deadline, notBefore, signal, ...o }) {
      const known = Object.fromEntries(Object.entries(RECORD).map(([ours, theirs]) => [theirs, o[ours]]));
      for (const name of Object.keys(o)) if (!(name in RECORD)) throw new TypeError(`createTask: no ${name}`);
      const { tokens_in: tokens, ...rest } = amounts({ usdMicro: budget?.usdMicro, calls: budget?.calls, tokensIn: budget?.tokens }),
        held = budget && drop({ ...rest, tokens });
      return change(this, "/v1/tasks", drop({ ...known, budget: held, deadline: timeOf(deadline), not_before: timeOf(notBefore) }), signal);
    }

    /**
     * Tasks of a swarm, one after the other, each renewed at a third of its lease while the loop's body runs. One that the body leaves open fails:
     * as shutdown when signal is aborted, else as transient, since a loop cannot tell break from throw; task.run(work) can.
     */
    async *nextTask(options) {
      for (let task; (task = await claimNext(this, options)); ) {
        let left = "the worker left its loop";
        try {
          yield task;
          left = "the worker ended without completing it";
        } finally {
          await task.release(options.signal?.aborted ? "shutdown" : "transient", left);
        }
      }
    }
  };
}
