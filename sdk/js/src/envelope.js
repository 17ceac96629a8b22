/* Envelope v2.1: build, sign, read, check. docs/formats/envelope.md. The rows below say what the daemon's own rows say (101). */
import canonicalize from "canonicalize";
import { concat, fromBase64url, fromHex, sha256, toBase64url, toHex, utf8 } from "./bytes.js";
import { goodKey, keyId, verifySignature, withoutSig } from "./ed25519.js";
import { InvalidMessage, VerifyError } from "./errors.js";
import { parse, plain } from "./json.js";

export const DOMAIN = "IF-CONNECT-v2.1\n";
export const MESSAGE_MAX = 65536;
const PERFORMATIVES = new Set([
  "inform",
  "request",
  "agree",
  "refuse",
  "query-if",
  "query-ref",
  "propose",
  "accept-proposal",
  "reject-proposal",
  "contradict",
  "escalate",
  "share",
  "hold",
]);

export const agent = (name) => (/^if:\/\//.test(name) ? name : "if://agent/" + name);

const isName = (text) => /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(text) && !text.includes("..");
const isObject = (v) => v !== null && typeof v === "object" && !Array.isArray(v);
const isSender = (v) => typeof v === "string" && /^if:\/\/agent\/[^/]+(\/[^/]+)?$/.test(v) && v.slice(11).split("/").every(isName);
const isReceiver = (v) =>
  isSender(v) ||
  (typeof v === "string" &&
    v.length <= 512 &&
    /^if:\/\/(topic|fabric)\/./.test(v) &&
    v.split("/").length <= 11 &&
    v.split("/").slice(3).every(isName));
const isUuid = (text) => /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/.test(text);
const isId = (prefix) => (v) =>
  typeof v === "string" && v.startsWith(prefix) && isUuid(v.slice(prefix.length)) && /^.{14}7.{4}[89ab]/.test(v.slice(prefix.length));
const isDigest = (v) => typeof v === "string" && v.startsWith("sha256:") && fromHex(v.slice(7), 32) !== undefined;
const isKeyId = (v) => typeof v === "string" && v.startsWith("k-") && fromHex(v.slice(2), 8) !== undefined;
const isInteger = (min, max) => (v) => Number.isSafeInteger(v) && v >= min && v <= max;
const isText = (min, max) => (v) => typeof v === "string" && utf8(v).length >= min && utf8(v).length <= max;
const isBase64url = (min, max) => (v) => {
  const size = fromBase64url(v)?.length ?? -1;
  return size >= min && size <= max;
};
const isShare = (v) => typeof v === "number" && v >= 0 && v <= 1;
const isList = (min, max, item) => (v) => Array.isArray(v) && v.length >= min && v.length <= max && v.every(item);

function isTime(v) {
  const m = typeof v === "string" && /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{3})?Z$/.exec(v);
  const ms = m ? Date.parse(v) : NaN; /* Date.parse takes 24:00:00 and 30 February, so what it read must be what was written */
  return ms >= 0 && new Date(ms).toISOString() === m[1] + (m[2] ?? ".000") + "Z";
}

/* name: [required, expected, check]; a Map inside is an object with rows of its own. */
const EVIDENCE = {
  type: [1, "a word", isText(1, 64)],
  url: [0, "a URL of 1 to 2048 bytes", isText(1, 2048)],
  hash: [0, "sha256: and 64 hex digits", isDigest],
  retrieved_at: [0, "a time", isTime],
};
const DIVERSITY = {
  domain_unique: [0, "true or false", (v) => typeof v === "boolean"],
  type_mix: [0, "up to 32 words", isList(0, 32, isText(1, 64))],
};
const CONFIDENCE = {
  raw: [0, "a number from 0 to 1", isShare],
  normalized: [0, "a number from 0 to 1", isShare],
  basis: [0, "up to 32 texts", isList(0, 32, isText(1, 256))],
};
const CONTENT = {
  claim_id: [0, "a text of 1 to 128 bytes", isText(1, 128)],
  claim: [0, "a text of at most 8192 bytes", isText(0, 8192)],
  scope: [0, "an object", isObject],
  evidence: [0, "up to 64 objects", isList(0, 64, isObject)],
  source_diversity: [0, "an object", isObject, DIVERSITY],
  confidence: [0, "an object", isObject, CONFIDENCE],
  hazards: [0, "up to 16 words", isList(0, 16, isText(1, 64))],
  data: [0, "an object", isObject],
};
const SIGNATURE = {
  algorithm: [1, '"ed25519"', (v) => v === "ed25519"],
  key_id: [0, "k- and 16 hex digits", isKeyId],
  pubkey: [1, "32 bytes in base64url", isBase64url(32, 32)],
  sig: [1, "64 bytes in base64url", isBase64url(64, 64)],
};
const ENVELOPE = {
  v: [0, '"2.1"', (v) => v === "2.1"],
  id: [1, "msg- and a UUIDv7", isId("msg-")],
  performative: [1, "one of " + [...PERFORMATIVES].join(" "), (v) => PERFORMATIVES.has(v)],
  conversation_id: [1, "conv- and a UUIDv7", isId("conv-")],
  topic_hash: [1, "sha256: and 64 hex digits", isDigest],
  sender: [1, "if://agent/NAME or if://agent/NAME/INSTANCE", isSender],
  receiver: [0, "a URI of an agent, topic or fabric, or 1 to 64 of them", (v) => isReceiver(v) || isList(1, 64, isReceiver)(v)],
  issued_at: [1, "a time such as 2025-11-12T10:21:00Z", isTime],
  ttl_s: [1, "1 to 3600", isInteger(1, 3600)],
  seq: [1, "1 to 2^53-1", isInteger(1, Number.MAX_SAFE_INTEGER)],
  nonce: [1, "12 to 64 bytes in base64url", isBase64url(12, 64)],
  trace: [0, "a UUID, not all zero", (v) => typeof v === "string" && isUuid(v) && /[1-9a-f]/.test(v)],
  content: [1, "an object", isObject, CONTENT],
  signature: [1, "an object", isObject, SIGNATURE],
};

function checkRows(object, rows, where) {
  for (const name of Object.keys(object)) if (!Object.hasOwn(rows, name)) throw new InvalidMessage(where + name, "unknown name");
  for (const [name, [required, expected, good, sub]] of Object.entries(rows)) {
    if (!Object.hasOwn(object, name)) {
      if (required) throw new InvalidMessage(where + name, `missing: ${expected}`);
    } else if (!good(object[name])) {
      throw new InvalidMessage(where + name, `${expected} is expected`);
    } else if (sub) {
      checkRows(object[name], sub, `${where}${name}.`);
    }
  }
}

/** Throws InvalidMessage where the daemon would answer 101 or 110. */
export function checkEnvelope(envelope) {
  if (!isObject(envelope)) throw new InvalidMessage("", "an object is expected");
  if (typeof envelope.v === "string" && envelope.v !== "2.1") throw new InvalidMessage("v", "another version", "110");
  checkRows(envelope, ENVELOPE, "");
  envelope.content.evidence?.forEach((item, i) => checkRows(item, EVIDENCE, `content.evidence[${i}].`));
}

/** Strict reading of a whole envelope (string or bytes). */
export function readEnvelope(input) {
  const bytes = typeof input === "string" ? utf8(input) : input;
  if (bytes.length > MESSAGE_MAX) throw new InvalidMessage("", `more than ${MESSAGE_MAX} bytes`, "109");
  let envelope;
  try {
    envelope = parse(bytes, { signed: true });
  } catch (e) {
    throw new InvalidMessage("", e.message);
  }
  checkEnvelope(envelope);
  return envelope;
}

/** What the signature covers: domain, then the canonical form without signature.sig. */
export const signedBytes = (envelope) => utf8(DOMAIN + canonicalize({ ...envelope, signature: withoutSig(envelope.signature) }));
export const messageDigest = async (envelope) => "sha256:" + toHex(await sha256(signedBytes(envelope)));

/** A signed copy and its canonical bytes. Nothing comes out that the daemon's reader would refuse. */
export async function sign(draft, signer) {
  let envelope;
  try {
    envelope = plain(draft);
  } catch (e) {
    throw new InvalidMessage("", e.message);
  }
  envelope.signature = { algorithm: "ed25519", key_id: signer.keyId, pubkey: signer.pubkey };
  checkEnvelope({ ...envelope, signature: { ...envelope.signature, sig: toBase64url(new Uint8Array(64)) } });
  envelope.signature.sig = toBase64url(await signer.sign(signedBytes(envelope)));
  const body = utf8(canonicalize(envelope));
  if (body.length > MESSAGE_MAX) throw new InvalidMessage("", `${body.length} bytes, at most ${MESSAGE_MAX} are taken`, "109");
  return { envelope, body };
}

/** Signature under a key the caller knows (32 bytes or base64url). Throws VerifyError. */
export async function check(envelope, pubkey) {
  try {
    const given = plain(envelope);
    checkEnvelope(given);
    const pub = typeof pubkey === "string" ? fromBase64url(pubkey) : pubkey,
      { signature } = given;
    if (!goodKey(pub)) throw new VerifyError("not an Ed25519 public key that may be used");
    if (signature.pubkey !== toBase64url(pub)) throw new VerifyError("signed under another key");
    if (signature.key_id !== undefined && signature.key_id !== (await keyId(pub))) throw new VerifyError("key_id of another key");
    if (!(await verifySignature(fromBase64url(signature.sig), signedBytes(given), pub))) throw new VerifyError("bad signature");
  } catch (e) {
    throw e instanceof VerifyError ? e : new VerifyError(`malformed message: ${e.message}`, { cause: e });
  }
}

/** topic_hash when none is given: the seed citations in their order, as ifctl and the Python package compute it. */
export const topicOf = async (seeds) => "sha256:" + toHex(await sha256(concat(...seeds.map(utf8))));
export const evidenceSeeds = (evidence) => (evidence ?? []).flatMap((e) => [`${e.url ?? ""}\n${e.hash ?? ""}\n`]);

/** The body of POST /v1/enroll: the new key signs code, itself and the fabric's origin. docs/formats/token-invite.md. */
export async function enrolment(code, log, { pubkey, sign: signBytes }) {
  const letters = String(code).toUpperCase().replace(/[- ]/g, "");
  if (!/^[A-Z2-7]{32}$/.test(letters)) throw new TypeError("not a code: eight groups of four of A-Z and 2-7");
  const signed = { code: letters.match(/..../g).join("-"), log, pubkey, v: 1 };
  const proof = toBase64url(await signBytes(utf8("IF-ENROLL-v1\n" + canonicalize(signed))));
  return utf8(canonicalize({ code: signed.code, pubkey, proof }));
}
