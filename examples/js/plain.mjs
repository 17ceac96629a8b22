/*
 * A message from bytes (docs/formats/envelope.md): canonicalize and @noble/ed25519, no package of ours.
 * IFAB_ENDPOINT (unix:…), IFAB_AS, IFAB_KEY, [IFAB_TO].
 */
import { createHash, createPrivateKey, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import http from "node:http";
import canonicalize from "canonicalize";
import { getPublicKeyAsync, signAsync } from "@noble/ed25519";

const { IFAB_ENDPOINT, IFAB_AS, IFAB_KEY, IFAB_TO = "Demo.B" } = process.env;
const sha256 = (data) => createHash("sha256").update(data).digest("hex");
const b64url = (bytes) => Buffer.from(bytes).toString("base64url");

function uuid7() {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(Date.now(), 0, 6);
  bytes[6] = (bytes[6] & 0x0f) | 0x70;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

const seed = Buffer.from(createPrivateKey(readFileSync(IFAB_KEY)).export({ format: "jwk" }).d, "base64url");
const pub = await getPublicKeyAsync(seed);
const message = {
  v: "2.1",
  id: "msg-" + uuid7(),
  performative: "inform",
  conversation_id: "conv-" + uuid7(),
  topic_hash: "sha256:" + sha256("builds"),
  sender: `if://agent/${IFAB_AS}/js-plain`,
  receiver: `if://agent/${IFAB_TO}`,
  issued_at: new Date().toISOString(),
  ttl_s: 60,
  seq: Date.now() * 1000,
  nonce: b64url(randomBytes(16)),
  content: { claim: "plain JavaScript says: the build is green", scope: { branch: "main" }, confidence: { raw: 0.9, normalized: 0.9 } },
  signature: { algorithm: "ed25519", key_id: "k-" + sha256(pub).slice(0, 16), pubkey: b64url(pub) },
};
/* Signed is the domain line and the canonical form without the signature itself. */
message.signature.sig = b64url(await signAsync(Buffer.from("IF-CONNECT-v2.1\n" + canonicalize(message)), seed));

const headers = { "content-type": "application/json", "idempotency-key": message.id };
const request = http.request(
  { socketPath: IFAB_ENDPOINT.slice(5), host: "localhost", method: "POST", path: "/v1/messages", headers },
  async (response) => {
    const parts = [];
    for await (const part of response) parts.push(part);
    const answer = JSON.parse(Buffer.concat(parts).toString());
    console.log(answer.decision ?? answer.error);
    process.exitCode = answer.decision === "SHARE" ? 0 : 1;
  },
);
request.end(canonicalize(message));
