/*
 * Offline check of a receipt: entry, inclusion (RFC 9162 2.1.3.2), checkpoint (C2SP signed note). docs/formats/checkpoint-tiles.md. Says
 * yes exactly where if-verify does; every check that fails says why.
 */
import canonicalize from "canonicalize";
import { equal, fromBase64, fromBase64url, fromHex, sha256, toHex, utf8 } from "./bytes.js";
import { verifySignature } from "./ed25519.js";
import { checkEnvelope, messageDigest, signedBytes } from "./envelope.js";
import { VerifyError } from "./errors.js";
import { Receipt } from "./fabric.js";
import { loneSurrogate, parse, plain } from "./json.js";

const NOTE_MAX = 65536,
  SIGNATURES_MAX = 100,
  PATH_MAX = 64,
  ENTRY_MAX = 65535;
const SAME = { id: true, decision: true, message_digest: true, policy_digest: false, reason: false, rule: false, expires_at: false };

function need(condition, why) {
  if (!condition) throw new VerifyError(why);
}

const goodName = (name) => /^[^\s\u0000-\u0020\u007f\u0085+]{1,255}$/u.test(name) && utf8(name).length <= 255 && !loneSurrogate(name);

/** `<name>+<hex8>+<base64(0x01 || key)>` -> {name, hash, key}. */
export async function readVkey(vkey) {
  need(typeof vkey === "string", "not a verifier key");
  const [name, short, blob64] = vkey.trim().split(/\+(.{8})\+(.*)/s);
  const blob = fromBase64(blob64);
  need(blob?.length === 33 && blob[0] === 1 && goodName(name), "not an Ed25519 verifier key");
  const hash = (await sha256(utf8(name + "\n"), blob)).slice(0, 4);
  need(short === toHex(hash), "verifier key does not match its own id");
  return { name, hash, key: blob.slice(1) };
}

/** Checks the signature and returns {origin, size, root}. */
export async function readCheckpoint(note, vkey) {
  const { name, hash, key } = await readVkey(vkey);
  need(typeof note === "string" && utf8(note).length <= NOTE_MAX && !loneSurrogate(note), "not a checkpoint");
  need(!/[\u0000-\u0009\u000b-\u001f]/.test(note) && note.endsWith("\n"), "checkpoint: not lines of text");
  const cut = note.lastIndexOf("\n\n");
  need(cut > 0, "checkpoint: no empty line before its signatures");
  const text = note.slice(0, cut + 1),
    lines = note.slice(cut + 2, -1).split("\n");
  need(lines.length <= SIGNATURES_MAX, "checkpoint: too many signatures");
  let good = false;
  for (const line of lines) {
    const [dash, who, sig64, ...more] = line.split(" "),
      sig = fromBase64(sig64);
    need(
      dash === "\u2014" && more.length === 0 && goodName(who) && sig?.length >= 5 && sig.length <= 256,
      "checkpoint: malformed signature line",
    );
    if (who !== name || !equal(sig.slice(0, 4), hash)) continue;
    need(await verifySignature(sig.slice(4), utf8(text), key), "checkpoint: bad signature");
    good = true; /* the rest must still be well formed */
  }
  need(good, "checkpoint: not signed by that key");
  const parts = /^([^\n]{1,255})\n(0|[1-9][0-9]{0,15})\n([A-Za-z0-9+/]{43}=)\n$/.exec(text);
  need(parts !== null && parts[1] === name, "not a checkpoint of this log");
  const size = Number(parts[2]),
    root = fromBase64(parts[3]);
  need(Number.isSafeInteger(size) && root?.length === 32, "checkpoint: malformed");
  return { origin: name, size, root };
}

/** Root that an inclusion proof leads to. Numbers up to 2^53-1, so no bit operations. */
export async function rootFrom(index, size, leaf, path) {
  need(Number.isSafeInteger(index) && Number.isSafeInteger(size) && index >= 0 && index < size, "index outside the tree");
  let fn = index,
    sn = size - 1,
    r = leaf;
  for (const p of path) {
    need(sn > 0 && p?.length === 32, "proof too long, or not of hashes");
    const left = fn % 2 === 1 || fn === sn;
    r = left ? await sha256(Uint8Array.of(1), p, r) : await sha256(Uint8Array.of(1), r, p);
    while (left && fn % 2 === 0 && fn !== 0) [fn, sn] = [fn / 2, Math.floor(sn / 2)];
    [fn, sn] = [Math.floor(fn / 2), Math.floor(sn / 2)];
  }
  need(sn === 0, "proof too short");
  return r;
}

const own = (object, name) => (object !== null && typeof object === "object" && Object.hasOwn(object, name) ? object[name] : undefined);

function readEntry(text) {
  need(typeof text === "string" && utf8(text).length <= ENTRY_MAX, "proof.entry is missing or too long");
  const entry = parse(text);
  need(canonicalize(entry) === text, "proof.entry is not in canonical form");
  return entry;
}

function checkWords(receipt, entry) {
  const payload = own(entry, "payload");
  for (const [name, required] of Object.entries(SAME)) {
    const said = own(receipt, name),
      logged = own(payload, name);
    const same = typeof said === "string" ? said === logged : !required && said === undefined && logged === undefined;
    need(same, `${name} is not what the entry says`);
  }
  need((own(receipt, "trace") ?? "") === (own(entry, "trace") ?? ""), "trace is not what the entry says");
  need(entry.subject === receipt.id, "the entry is about another message");
}

/* The receipt is about these very bytes, and they are what their own key signed (whose key that is, is the caller's question). */
async function checkBound(receipt, given) {
  const envelope = typeof given === "string" || given instanceof Uint8Array ? parse(given, { signed: true }) : plain(given);
  checkEnvelope(envelope);
  need(envelope.id === receipt.id && (await messageDigest(envelope)) === receipt.message_digest, "the receipt is about another message");
  const { sig, pubkey } = envelope.signature;
  need(await verifySignature(fromBase64url(sig), signedBytes(envelope), fromBase64url(pubkey)), "the message's own signature is bad");
}

async function checkReceipt(receipt, vkey, envelope) {
  need(own(receipt, "checkpoint") && own(receipt, "proof"), "receipt without proof: ask for it with proof: true");
  const { size, root } = await readCheckpoint(receipt.checkpoint, vkey);
  const { proof } = receipt,
    place = own(receipt, "entry"),
    entry = readEntry(own(proof, "entry")),
    bytes = utf8(proof.entry);
  const leaf = await sha256(Uint8Array.of(0), bytes),
    path = own(proof, "path");
  need(Array.isArray(path) && path.length <= PATH_MAX, "proof: malformed");
  need(proof.size === size && proof.leaf === toHex(leaf), "proof is about another tree or entry");
  need(
    equal(
      await rootFrom(
        proof.index,
        size,
        leaf,
        path.map((p) => fromHex(p, 32)),
      ),
      root,
    ),
    "entry is not in the log",
  );
  need(own(place, "index") === proof.index && entry.index === proof.index, "entry.index is not the one of the entry");
  need(typeof place.log === "string" && place.log === entry.log, "entry.log is another log");
  need(place.hash === "sha256:" + toHex(await sha256(bytes)), "entry.hash is not the hash of the entry");
  checkWords(receipt, entry);
  if (envelope !== undefined) await checkBound(receipt, envelope);
  return entry;
}

/**
 * Throws VerifyError, or resolves to the entry (an object) that the log's key vouches for. receipt: a Receipt, its raw object, or its JSON
 * text (then read strictly). envelope: the message that was sent; binds the receipt to it.
 */
export async function verify(receipt, vkey, { envelope } = {}) {
  try {
    const isText = typeof receipt === "string" || receipt instanceof Uint8Array;
    return await checkReceipt(isText ? parse(receipt) : receipt instanceof Receipt ? receipt.raw : receipt, vkey, envelope);
  } catch (e) {
    throw e instanceof VerifyError ? e : new VerifyError(`malformed receipt: ${e.message}`, { cause: e });
  }
}
