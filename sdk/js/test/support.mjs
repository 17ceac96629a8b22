/* A log, receipts and a false fabric, made by plain code that shares nothing with the package but the two stock libraries. */
import { createHash, createPrivateKey, createPublicKey, sign as nodeSign } from "node:crypto";
import { readFileSync } from "node:fs";
import http from "node:http";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import canonicalize from "canonicalize";

const here = path.dirname(fileURLToPath(import.meta.url));
export const vectors = process.env.IFAB_VECTORS ?? path.join(here, "..", "..", "..", "tests", "vectors");
export const readVectors = (...name) => JSON.parse(readFileSync(path.join(vectors, ...name), "utf8"));
export const tmp = () => os.tmpdir();
export const range = (n, from = 0) => Array.from({ length: n }, (_, i) => from + i);
export const sha256 = (...parts) => parts.reduce((h, p) => h.update(p), createHash("sha256")).digest();

export class Key {
  constructor(seed) {
    this.seed = Uint8Array.from(seed);
    const der = Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), this.seed]);
    this.private = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
    this.pub = createPublicKey(this.private).export({ type: "spki", format: "der" }).subarray(12);
  }
  sign(bytes) {
    return nodeSign(null, bytes, this.private);
  }
}
export const LOG = new Key(range(32)),
  AGENT = new Key(range(32, 32));
export const ORIGIN = "infrafabric.local/main/0badcafe";

const keyHash = (name, blob) => sha256(name, "\n", blob).subarray(0, 4);
export function makeVkey(name = ORIGIN, key = LOG) {
  const blob = Buffer.concat([Buffer.of(1), key.pub]);
  return `${name}+${keyHash(name, blob).toString("hex")}+${blob.toString("base64")}`;
}
export function makeNote(size, root, { name = ORIGIN, key = LOG, origin = name } = {}) {
  const text = `${origin}\n${size}\n${Buffer.from(root).toString("base64")}\n`;
  const short = keyHash(name, Buffer.concat([Buffer.of(1), key.pub]));
  return `${text}\n\u2014 ${name} ${Buffer.concat([short, key.sign(Buffer.from(text))]).toString("base64")}\n`;
}

/* RFC 6962 2.1, word for word: the slow reference. */
const half = (n) => 2 ** (Math.ceil(Math.log2(n)) - 1);
export const tree = (l) => (l.length === 1 ? l[0] : sha256(Buffer.of(1), tree(l.slice(0, half(l.length))), tree(l.slice(half(l.length)))));
export function proofPath(m, l) {
  if (l.length === 1) return [];
  const k = half(l.length),
    [a, b] = [l.slice(0, k), l.slice(k)];
  return m < k ? [...proofPath(m, a), tree(b)] : [...proofPath(m - k, b), tree(a)];
}

export function makeReceipt(
  index = 3,
  size = 7,
  { decision = "SHARE", id = "msg-01930000-0000-7000-8000-000000000000", digest = "sha256:" + "ab".repeat(32) } = {},
) {
  const words = { id, decision, message_digest: digest, reason: "r", rule: "builtin.x", policy_digest: "sha256:" + "cd".repeat(32) };
  const entries = range(size).map((i) =>
    canonicalize({ index: i, log: "main", subject: i === index ? id : "x", trace: "t", payload: i === index ? words : { n: i } }),
  );
  const leaves = entries.map((e) => sha256(Buffer.of(0), e));
  return {
    ...words,
    trace: "t",
    entry: { log: "main", index, hash: "sha256:" + sha256(entries[index]).toString("hex") },
    checkpoint: makeNote(size, tree(leaves)),
    proof: {
      index,
      size,
      leaf: leaves[index].toString("hex"),
      path: proofPath(index, leaves).map((p) => p.toString("hex")),
      entry: entries[index],
    },
  };
}

export function digestOf(body) {
  const {
    signature: { sig: _, ...signature },
    ...rest
  } = JSON.parse(body);
  return "sha256:" + sha256("IF-CONNECT-v2.1\n", canonicalize({ ...rest, signature })).toString("hex");
}

/* Answers each POST by the next row of a script: [status, body, replayed?], or "drop" = read the request, close without an answer. */
export class FalseFabric {
  constructor(script = [], { lastSeq } = {}) {
    Object.assign(this, {
      script,
      lastSeq,
      posts: [],
      gets: [],
      concurrent: 0,
      most: 0,
      path: path.join(os.tmpdir(), `ifab-js-${process.pid}-${Math.random()}`),
    });
    this.server = http.createServer((request, response) => this.#serve(request, response));
  }
  listen() {
    return new Promise((resolve) => this.server.listen(this.path, () => resolve(this)));
  }
  async #serve(request, response) {
    const parts = [];
    for await (const p of request) parts.push(p);
    const body = Buffer.concat(parts).toString();
    const answer = (status, value, extra = {}) =>
      response.writeHead(status, extra).end(typeof value === "string" ? value : JSON.stringify(value));
    if (request.method === "GET") return (this.gets.push(request.url), answer(...this.#get(request.url)));
    this.most = Math.max(this.most, ++this.concurrent);
    this.posts.push([request.headers["idempotency-key"], body]);
    await new Promise((done) => setTimeout(done, 5));
    this.concurrent--;
    const step = this.script.shift() ?? [200, { decision: "SHARE" }];
    if (step === "drop") return request.socket.destroy();
    if (step === "hang") return undefined;
    const [status, value, replayed] = step;
    const whole = value.decision ? { id: JSON.parse(body).id, reason: "r", message_digest: digestOf(body), ...value } : value;
    return answer(status, whole, replayed ? { "Idempotent-Replayed": "true" } : {});
  }
  #get(target) {
    const id = target.split("/")[3]?.split("?")[0];
    if (target.includes("/sequences") && this.lastSeq !== undefined)
      return [200, { items: [{ sender: "if://agent/Demo.A", epoch: 1, last_seq: this.lastSeq }], next: null }];
    if (target === "/v1/fabric") return [200, { origin: ORIGIN }];
    if (target.startsWith("/v1/decisions/")) return [200, { id, decision: this.decided ?? "SHARE", reason: "released", state: "x" }];
    if (target.startsWith("/v1/inbox")) {
      const envelope = {
        id: "msg-1",
        sender: "if://agent/Demo.A",
        conversation_id: "conv-01930000-0000-7000-8000-00000000c000",
        performative: "inform",
        topic_hash: "sha256:" + "00".repeat(32),
        content: { claim: "hello" },
      };
      const item = { cursor: "c1", envelope, decision: { decision: "SHARE" }, entry: { index: 1 } };
      return [200, { items: target.includes("after=c1") ? [] : [item], next: null }];
    }
    return [404, { error: { code: "IF_ERR_404", name: "NOT_FOUND", message: "no such thing", hint: "" } }];
  }
  close() {
    this.server.closeAllConnections();
    this.server.close();
  }
}
