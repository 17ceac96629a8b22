/* The client: one object a talent (and instance). Sends one message at a time; calls made meanwhile wait their turn. */
import { randomBytes, toBase64url, uuid7 } from "./bytes.js";
import { agent, check, enrolment, evidenceSeeds, messageDigest, readEnvelope, sign, topicOf } from "./envelope.js";
import { InvalidMessage, Lost, OutcomeUnknown, Refused, Unreachable } from "./errors.js";
import { Wire } from "./wire.js";

const DELAYS = [1000, 2000, 5000, 10000, 30000]; /* ms, full jitter */
const NAMES = { held: "HOLD", escalated: "ESCALATE", denied: "DENY", shared: "SHARE" };

/** An answer of the fabric: its fields (decision, reason, entry, id, …), and .shared .held .escalated .denied; .raw is the whole. */
export class Receipt {
  constructor(raw, replayed = false) {
    for (const [name, value] of Object.entries(raw)) Object.defineProperty(this, name, { value, enumerable: true, configurable: true });
    for (const name of ["shared", "held", "escalated", "denied"]) this.#define(name, raw.decision === NAMES[name]);
    this.#define("raw", raw);
    this.#define("replayed", replayed);
  }

  #define(name, value) {
    Object.defineProperty(this, name, { value, configurable: true });
  }
}

/** A received message. The fabric verified it; check(pubkey) verifies it again under a key you know. */
export class Message {
  constructor(item) {
    const envelope = item.envelope ?? {},
      content = envelope.content ?? {}; /* none: erased */
    this.raw = item;
    this.cursor = item.cursor;
    this.decision = item.decision?.decision;
    this.entry = item.entry;
    this.envelope = envelope;
    this.id = envelope.id;
    this.sender = envelope.sender;
    this.conversation = envelope.conversation_id;
    this.performative = envelope.performative;
    this.content = content;
    this.claim = content.claim;
    this.data = content.data;
  }

  check(pubkey) {
    return check(this.envelope, pubkey);
  }
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const stop = () => (clearTimeout(timer), reject(signal.reason));
    const timer = setTimeout(() => (signal?.removeEventListener("abort", stop), resolve()), ms);
    signal?.addEventListener("abort", stop, { once: true });
  });
}

/*
 * Refusals that say, also after a lost answer, that the message was not taken. Any other then leaves the outcome unknown: a full queue
 * (304) or a revoked key (004) is found before anybody looks whether the first try was accepted.
 */
const SETTLED = new Set(["101", "003", "104", "105", "108", "109", "110"]);

const RESIGN_MAX = 10;
const DECISIONS = new Set(["SHARE", "HOLD", "ESCALATE", "DENY"]);
const isAnswer = (value, id, digest) => DECISIONS.has(value.decision) && !value.error && value.id === id && value.message_digest === digest;

/* One line a sender and fabric, shared by all objects of this process: the turn, and the last sequence number. */
const lines = new Map();

async function inTurn(key, work) {
  const line = lines.get(key) ?? { tail: Promise.resolve(), last: undefined };
  lines.set(key, line);
  const turn = line.tail.then(() => work(line));
  line.tail = turn.catch(() => {});
  return turn;
}

export const drop = (object) => Object.fromEntries(Object.entries(object).filter(([, v]) => v !== undefined && v !== null));

/* Money, tokens and calls are whole numbers: nothing is rounded on the way. */
export function amounts(o) {
  const all = drop({ usd_micro: o.usdMicro, tokens_in: o.tokensIn, tokens_out: o.tokensOut, calls: o.calls });
  for (const [name, value] of Object.entries(all))
    if (!Number.isSafeInteger(value) || value < 0) throw new TypeError(`${name}: a whole number from 0 to 2^53-1, not ${value}`);
  return all;
}

function draftOf(self, claim, o) {
  const { replyTo } = o,
    confidence = typeof o.confidence === "number" ? { raw: o.confidence, normalized: o.confidence } : o.confidence;
  const to = o.to ?? replyTo?.sender;
  const { scope, evidence, hazards, data } = o;
  return drop({
    v: "2.1",
    id: "msg-" + uuid7(),
    performative: o.performative ?? "inform",
    ttl_s: o.ttl ?? 60,
    trace: o.trace,
    sender: agent(self.talent),
    conversation_id: o.conversation ?? replyTo?.conversation ?? "conv-" + uuid7(),
    receiver: Array.isArray(to) ? to.map(agent) : to && agent(to),
    content: drop({ claim, claim_id: o.claimId, scope, evidence, confidence, hazards, data }),
  });
}

async function topicHash(o) {
  const topic = o.topic ?? o.replyTo?.envelope?.topic_hash;
  if (topic === undefined) return topicOf(evidenceSeeds(o.evidence));
  return topic.startsWith("sha256:") ? topic : topicOf([topic]);
}

export function makeFabric({ transport, loadKey, makeKey, newPlace, fromContext }) {
  return class Fabric {
    #key;
    #signer;
    #passphrase;
    #noKey; /* why the context found none */

    constructor({ endpoint, talent, key, noKey, passphrase, token, ca, cert, certKey, retries = 5, timeout = 15, delays = DELAYS } = {}) {
      if (typeof endpoint !== "string") throw new TypeError("endpoint: unix:PATH, https://HOST or http://127.0.0.1:PORT");
      this.wire = new Wire(endpoint, token, transport(endpoint, { ca, cert, certKey }));
      this.talent = talent?.replace(/^if:\/\/agent\//, ""); /* NAME or NAME/INSTANCE */
      this.retries = retries;
      this.timeout = timeout;
      this.delays = delays;
      this.#key = key;
      this.#noKey = noKey;
      this.#passphrase = passphrase;
    }

    /** The fabric, talent and key that `ifctl` would use. */
    static async context(options = {}) {
      return new this(await fromContext(options));
    }

    /** Enrols with a one-time code (`ifctl talent invite NAME`) and a key that is made here and stays here: key is its new file (Node;
     * without it DIR/keys/NAME.pem, as of `ifctl enroll`), or a key that stays elsewhere; passphrase encrypts the file. Refused (003): the code is
     * not good. Lost: perhaps enrolled, so call it again with the same code and key; 003 then says that the first call was heard, or that the code
     * was not good. Until the answer names the talent the file is DIR/keys/enrolling-….pem, the same for the same code. */
    static async enroll(code, options = {}) {
      const { timeout = 15 } = options;
      if (options.key === undefined && newPlace === undefined) throw new TypeError("say where the new key is to be: key");
      const { endpoint, ca, dir } = await fromContext({ endpoint: options.endpoint, dir: options.dir, ca: options.ca });
      const wire = new Wire(endpoint, undefined, transport(endpoint, { ca }));
      const { origin } = await wire.get("/v1/fabric", { timeout }); /* before a key is made: is there a fabric? */
      const passphrase = typeof options.passphrase === "function" ? await options.passphrase() : options.passphrase;
      const place = options.key === undefined ? await newPlace(dir, code) : undefined;
      const signer = await makeKey(options.key ?? place.file, passphrase);
      const drop = async (e) => {
        await place?.drop(); /* nothing speaks with it */
        throw e;
      };
      const body = await enrolment(code, origin, signer).catch(drop);
      const { status, value } = await wire.call("POST", "/v1/enroll", { body, timeout });
      const refused = value.error && new Refused(value.error, status);
      if (refused && status < 500) await drop(refused);
      if (refused) throw refused;
      const key = options.key ?? (await place.settle(value.talent.name));
      return new this({ ...options, key, endpoint, ca, passphrase, talent: value.talent.name });
    }

    async #sign() {
      if (!this.talent || this.#key === undefined)
        throw new TypeError(this.#noKey ?? "sending needs a talent and its key: talent and key, or IFAB_AS and IFAB_KEY");
      this.#signer ??= loadKey(this.#key, this.#passphrase).catch((e) => {
        this.#signer = undefined;
        throw e;
      });
      return this.#signer;
    }

    /** Sends one message, resolves to its Receipt; with wait (seconds) to the one after a HOLD or ESCALATE was decided, if in time. */
    async send(claim, options = {}) {
      const signer = await this.#sign(),
        o = typeof claim === "object" && claim !== null ? claim : { ...options, claim };
      const draft = { ...draftOf(this, o.claim ?? undefined, o), topic_hash: await topicHash(o) };
      const receipt = await inTurn(`${this.wire.endpoint}\n${draft.sender}`, (line) => this.#sendInTurn(line, draft, signer, o));
      return o.wait > 0 && (receipt.held || receipt.escalated) ? this.#decided(receipt, o.wait, o.signal) : receipt;
    }

    async #sendInTurn(line, draft, signer, o) {
      o.signal?.throwIfAborted(); /* nothing has been sent yet */
      line.last ??= await this.#lastSequence(draft.sender, o.signal);
      for (let again = 0; ; again++) {
        const seq = Math.max(
          line.last + 1,
          Date.now() * 1000 + Math.floor(Math.random() * 1000),
        ); /* the clock knows no µs: two processes should differ */
        const stamped = { ...draft, seq, nonce: toBase64url(randomBytes(16)), issued_at: new Date().toISOString() };
        const { envelope, body } = await sign(stamped, signer);
        line.last = seq;
        try {
          const receipt = await this.sendBytes(draft.id, body, { proof: o.proof, signal: o.signal });
          Object.defineProperty(receipt, "envelope", { value: envelope });
          return receipt;
        } catch (e) {
          if (!(e instanceof Refused) || e.code !== "104" || again >= RESIGN_MAX) throw e;
          /* Another process speaks as this instance. A number that came too late can never be accepted: a new one is signed, further
           * ahead each time, since the other one does not stand still. */
          line.last = Math.max(seq, e.lastSeq ?? (await this.#lastSequence(draft.sender, o.signal))) + 5000 * 2 ** Math.min(again, 8);
        }
      }
    }

    /* Over TCP without a token nobody may ask; then the clock alone serves. */
    async #lastSequence(sender, signal) {
      try {
        const { items } = await this.wire.get(`/v1/talents/${encodeURIComponent(this.talent.split("/")[0])}/sequences`, {
          timeout: this.timeout,
          signal,
        });
        return items.filter((i) => i.sender === sender).reduce((last, i) => Math.max(last, i.last_seq), 0);
      } catch (e) {
        if (e instanceof Refused || e instanceof Lost) return 0;
        throw e;
      }
    }

    /** Sends the exact bytes of a signed envelope; after a lost connection the same bytes again, under the same Idempotency-Key. */
    async sendBytes(id, body, { proof = true, signal } = {}) {
      const envelope = readEnvelope(body),
        digest = await messageDigest(envelope);
      if (envelope.id !== id) throw new InvalidMessage("id", "another one than was named");
      const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
      let lost, retryMs;
      for (let attempt = 0; attempt <= this.retries; attempt++) {
        try {
          if (attempt > 0) await pause(retryMs ?? Math.random() * this.delays[Math.min(attempt, this.delays.length) - 1], signal);
          const answer = await this.wire.call("POST", "/v1/messages", {
            body: bytes,
            headers: { "idempotency-key": id },
            timeout: this.timeout,
            query: { proof: proof ? 1 : undefined },
            signal,
          });
          if (isAnswer(answer.value, id, digest)) return new Receipt(answer.value, answer.header("idempotent-replayed") === "true");
          if (!answer.value.error) throw new Lost(`HTTP ${answer.status} with neither a decision about this message nor an error`);
          const refused = new Refused(answer.value.error, answer.status);
          if (!refused.retryable || attempt === this.retries) {
            if (lost === undefined || SETTLED.has(refused.code)) throw refused;
            throw new OutcomeUnknown(id, bytes, refused);
          }
          retryMs = refused.retryAfterMs;
        } catch (e) {
          if (e instanceof OutcomeUnknown) throw e;
          if (signal?.aborted && (lost || e instanceof Lost)) throw new OutcomeUnknown(id, bytes, signal.reason);
          if (e instanceof Unreachable && lost === undefined) throw e; /* nothing has left: the caller knows where he stands */
          if (!(e instanceof Lost || e instanceof Unreachable)) throw e;
          [lost, retryMs] = [e, undefined];
        }
      }
      throw new OutcomeUnknown(id, bytes, lost);
    }

    /**
     * Reports what was spent elsewhere: once, however often the connection is lost. Resolves to {cost, entry, budgets, over}; where over is not
     * empty a budget has been passed, and the cost is recorded all the same.
     */
    async cost({ model, provider, capability, swarm, operation, trace, signal, ...spent } = {}) {
      const talent = this.wire.isUnix && this.talent ? this.talent.split("/")[0] : undefined; /* the socket is an operator: it says whose */
      const request = drop({ cost: drop({ ...amounts(spent), model }), provider, capability, swarm, operation, talent });
      const body = new TextEncoder().encode(JSON.stringify(request)),
        key = "cost-" + uuid7(),
        headers = { "idempotency-key": key };
      if (trace) headers.traceparent = `00-${trace.replaceAll("-", "")}-${uuid7().replaceAll("-", "").slice(16)}-01`;
      let lost, retryMs;
      for (let attempt = 0; attempt <= this.retries; attempt++) {
        try {
          if (attempt > 0) await pause(retryMs ?? Math.random() * this.delays[Math.min(attempt, this.delays.length) - 1], signal);
          const { status, value } = await this.wire.call("POST", "/v1/costs", { body, headers, timeout: this.timeout, signal });
          if (value.entry) return value;
          if (!value.error) throw new Lost(`HTTP ${status} with neither an entry nor an error`);
          const refused = new Refused(value.error, status);
          if (!refused.retryable || attempt === this.retries) {
            if (lost === undefined) throw refused;
            throw new OutcomeUnknown(key, body, refused);
          }
          retryMs = refused.retryAfterMs;
        } catch (e) {
          if (e instanceof Unreachable && lost === undefined) throw e;
          if (!(e instanceof Lost || e instanceof Unreachable)) throw e;
          if (signal?.aborted) break;
          [lost, retryMs] = [e, undefined];
        }
      }
      throw new OutcomeUnknown(key, body, lost);
    }

    async receipt(id, { sender = this.talent, proof = true } = {}) {
      const query = { sender: sender && agent(sender), proof: proof ? 1 : undefined };
      return new Receipt(await this.wire.get(`/v1/messages/${encodeURIComponent(id)}`, { timeout: this.timeout, query }));
    }

    /** {log, origin, size, version, vkey}: as the daemon says, so trust the vkey only if you know it from elsewhere. */
    fabric() {
      return this.wire.get("/v1/fabric", { timeout: this.timeout });
    }

    /** Messages released to this talent after a cursor; {follow: true} iterates for ever (over restarts of the daemon, too). */
    inbox({ after, wait = 0, follow = false, signal } = {}) {
      return follow ? this.follow({ after, signal }) : this.#page(after, wait, signal).then(([items]) => items);
    }

    async #page(after, wait, signal) {
      const as = this.talent && this.wire.isUnix ? this.talent.split("/")[0] : undefined;
      const query = { after, wait_ms: wait > 0 ? Math.min(30000, Math.round(wait * 1000)) : undefined, as };
      const { items, next } = await this.wire.get("/v1/inbox", { timeout: this.timeout + wait, query, signal });
      return [items.map((item) => new Message(item)), next ?? after];
    }

    async *follow({ after, signal } = {}) {
      while (!signal?.aborted) {
        let items = [];
        try {
          [items, after] = await this.#page(after, 25, signal);
          if (items.length === 0) await pause(100, signal); /* no busy loop, should it answer at once */
        } catch (e) {
          if (signal?.aborted) return;
          if (!(e instanceof Lost || e instanceof Unreachable || (e instanceof Refused && e.retryable))) throw e;
          await pause(Math.random() * this.delays[0], signal).catch(() => {});
        }
        yield* items;
      }
    }

    async #decided(receipt, wait, signal) {
      const end = Date.now() + wait * 1000;
      for (let left; (left = end - Date.now()) > 0; ) {
        const ms = Math.max(1, Math.min(30000, Math.floor(left)));
        try {
          const answer = await this.wire.get(`/v1/decisions/${encodeURIComponent(receipt.id)}`, {
            timeout: this.timeout + ms / 1000,
            query: { wait_ms: ms },
            signal,
          });
          if (answer.id === receipt.id && (answer.decision === "SHARE" || answer.decision === "DENY")) return new Receipt(answer);
          await pause(Math.min(100, left), signal); /* no busy loop, should it answer at once */
        } catch (e) {
          if (signal?.aborted) break; /* it was accepted: the open receipt is the answer */
          if (!(e instanceof Lost || e instanceof Unreachable)) throw e;
          await pause(Math.min(1000, left), signal).catch(() => {});
        }
      }
      return receipt;
    }
  };
}
