// A client that shares no code with the fabric: canonicalize (RFC 8785) and @noble/ed25519 over node's http and sha256.
// It builds, signs and sends one message, then verifies the receipt offline. Exit 0: all good; 1: something was not.
//
//   IFAB_ENDPOINT=unix:PATH|http://HOST:PORT IFAB_AS=Demo.A IFAB_KEY=key.pem|IFAB_SEED=64 hex [IFAB_TO=] [IFAB_VKEY=] node client.mjs
import { createHash, createPrivateKey, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import http from "node:http";
import canonicalize from "canonicalize";
import * as ed from "@noble/ed25519";

const env = process.env;
const sha256 = (...parts) => parts.reduce((h, p) => h.update(p), createHash("sha256")).digest();
const text = (s) => Buffer.from(s, "utf8");
const b64url = (bytes) => Buffer.from(bytes).toString("base64url");

function need(condition, why) {
  if (!condition) throw new Error(why);
  console.log(`# good: ${why}`);
}

function seed() {
  if (env.IFAB_SEED) return Buffer.from(env.IFAB_SEED, "hex");
  const key = createPrivateKey({ key: readFileSync(env.IFAB_KEY), passphrase: env.IFAB_PASSPHRASE });
  return Buffer.from(key.export({ format: "jwk" }).d, "base64url");
}

function uuid7() {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(Date.now(), 0, 6);
  bytes[6] = (bytes[6] & 0x0f) | 0x70;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

function call(method, path, body, headers = {}) {
  const where = env.IFAB_ENDPOINT.startsWith("unix:")
    ? { socketPath: env.IFAB_ENDPOINT.slice(5), host: "localhost" }
    : (({ hostname, port }) => ({ host: hostname, port }))(new URL(env.IFAB_ENDPOINT));
  return new Promise((resolve, reject) => {
    const request = http.request({ ...where, method, path, headers, timeout: 15000 }, (response) => {
      const parts = [];
      response.on("data", (p) => parts.push(p));
      response.on("end", () => {
        const json = JSON.parse(Buffer.concat(parts).toString() || "{}");
        resolve({ status: response.statusCode, headers: response.headers, json });
      });
    });
    request.on("error", reject);
    request.on("timeout", () => request.destroy(new Error("no answer in 15 s")));
    request.end(body);
  });
}

async function makeMessage(secret) {
  const pub = await ed.getPublicKeyAsync(secret);
  const conversation = "conv-" + uuid7();
  const message = {
    v: "2.1",
    id: "msg-" + uuid7(),
    performative: "inform",
    conversation_id: conversation,
    topic_hash: "sha256:" + sha256(conversation).toString("hex"),
    sender: `if://agent/${env.IFAB_AS}/js`,
    receiver: `if://agent/${env.IFAB_TO || "Demo.B"}`,
    issued_at: new Date().toISOString(),
    ttl_s: 60,
    seq: Date.now() * 1000,
    nonce: b64url(randomBytes(16)),
    content: {
      claim: "JavaScript says: café, 東京, 🚀, 1e-7 and 0.000001",
      claim_id: "JS-1",
      scope: { runtime: "node", numbers: [9007199254740991, 1e-7, 0.1, 333333333.3333333] },
      confidence: { raw: 0.9, normalized: 0.9 },
    },
    signature: { algorithm: "ed25519", key_id: "k-" + sha256(pub).toString("hex").slice(0, 16), pubkey: b64url(pub) },
  };
  const signed = Buffer.concat([text("IF-CONNECT-v2.1\n"), text(canonicalize(message))]);
  message.signature.sig = b64url(await ed.signAsync(signed, secret));
  return { message, digest: "sha256:" + sha256(signed).toString("hex") };
}

async function readCheckpoint(note, vkey) {
  const [, name, short, body] = /^([^+]+)\+([0-9a-f]{8})\+(.+)$/.exec(vkey.trim());
  const blob = Buffer.from(body, "base64");
  const id = sha256(name, "\n", blob).subarray(0, 4).toString("hex");
  need(blob.length === 33 && blob[0] === 1 && id === short, "verifier key carries its own id");
  const cut = note.lastIndexOf("\n\n");
  const body_ = note.slice(0, cut + 1);
  let good = false;
  for (const line of note.slice(cut + 2).trimEnd().split("\n")) {
    const [dash, who, sig] = line.split(" ");
    const raw = Buffer.from(sig, "base64");
    if (dash === "—" && who === name && raw.subarray(0, 4).toString("hex") === short)
      good = await ed.verifyAsync(raw.subarray(4), text(body_), blob.subarray(1), { zip215: false });
  }
  need(good, "checkpoint signature");
  const [origin, size, root] = body_.split("\n");
  need(origin === name, "checkpoint is of the log that the key names");
  return { size: Number(size), root: Buffer.from(root, "base64") };
}

function rootFrom(index, size, leaf, path) {
  let fn = index, sn = size - 1, r = leaf;
  for (const p of path) {
    if (sn === 0) throw new Error("proof too long");
    if (fn % 2 === 1 || fn === sn) {
      r = sha256(Buffer.of(1), p, r);
      while (fn % 2 === 0 && fn !== 0) [fn, sn] = [fn / 2, Math.floor(sn / 2)];
    } else r = sha256(Buffer.of(1), r, p);
    [fn, sn] = [Math.floor(fn / 2), Math.floor(sn / 2)];
  }
  if (sn !== 0) throw new Error("proof too short");
  return r;
}

async function verifyReceipt(receipt, vkey) {
  const { size, root } = await readCheckpoint(receipt.checkpoint, vkey);
  const { proof, entry: place } = receipt;
  const bytes = text(proof.entry);
  need(sha256(bytes).toString("hex") === place.hash.replace(/^sha256:/, ""), "entry has the hash that the receipt names");
  const leaf = sha256(Buffer.of(0), bytes);
  need(proof.size === size && proof.index === place.index && proof.leaf === leaf.toString("hex"), "proof is about this place");
  need(rootFrom(place.index, size, leaf, proof.path.map((h) => Buffer.from(h, "hex"))).equals(root), "entry is in the log");
  const entry = JSON.parse(proof.entry);
  need(canonicalize(entry) === proof.entry, "entry is in canonical form");
  const { decision, message_digest } = entry.payload;
  const same = decision === receipt.decision && message_digest === receipt.message_digest;
  need(same && entry.subject === receipt.id, "entry says what the receipt says");
}

async function main() {
  for (const name of ["IFAB_ENDPOINT", "IFAB_AS"]) if (!env[name]) throw new Error(`${name} is not set`);
  const { message, digest } = await makeMessage(seed());
  const body = canonicalize(message);
  const headers = { "content-type": "application/json", "idempotency-key": message.id };
  const first = await call("POST", "/v1/messages?proof=1", body, headers);
  need("decision" in first.json, `the answer is a decision: ${first.status} ${JSON.stringify(first.json.error ?? first.json.decision)}`);
  need(first.json.decision === "SHARE", "a complete claim is shared");
  need(first.json.id === message.id && first.json.message_digest === digest, "both sides computed the same digest");
  const again = await call("POST", "/v1/messages", body, headers);
  const same = again.headers["idempotent-replayed"] === "true" && again.json.entry.index === first.json.entry.index;
  need(same, "the same bytes again give the first receipt");
  const replay = await call("POST", "/v1/messages", body, { "content-type": "application/json" });
  need(replay.status === 409 && replay.json.error.code === "IF_ERR_103", "without the key they are a replay (103)"); // INV-03
  const forged = await call("POST", "/v1/messages", body.replace("café", "tea"), { "content-type": "application/json" });
  need(forged.status === 401 && forged.json.error.code === "IF_ERR_001", "a changed message is refused (001)"); // INV-01
  const vkey = env.IFAB_VKEY || (await call("GET", "/v1/fabric")).json.vkey;
  await verifyReceipt(first.json, vkey);
  let noticed = false;
  await verifyReceipt({ ...first.json, decision: "DENY" }, vkey).catch(() => (noticed = true));
  need(noticed, "a changed receipt does not verify");
}

main().then(() => console.log("verified"), (e) => { console.log(`not verified: ${e.message}`); process.exitCode = 1; });
