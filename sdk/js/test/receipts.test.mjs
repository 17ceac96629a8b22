/* Offline verification: every place of small trees, and whatever a hostile daemon or courier may hand over. */
import assert from "node:assert/strict";
import test from "node:test";
import canonicalize from "canonicalize";
import { makeSigner, messageDigest, Receipt, sign, verify, VerifyError } from "../src/node.js";
import { uuid7 } from "../src/bytes.js";
import { readCheckpoint, readVkey, rootFrom } from "../src/verify.js";
import { AGENT, LOG, makeNote, makeReceipt, makeVkey, ORIGIN, proofPath, range, sha256, tree } from "./support.mjs";

const clone = (value) => JSON.parse(JSON.stringify(value));
const refused = (receipt, options, vkey = makeVkey()) => assert.rejects(verify(receipt, vkey, options), VerifyError);

test("every place of small trees verifies", async () => {
  for (let size = 1; size < 20; size++)
    for (let index = 0; index < size; index++) assert.equal((await verify(makeReceipt(index, size), makeVkey())).index, index);
  assert.equal((await verify(new Receipt(makeReceipt()), makeVkey())).index, 3);
  assert.equal((await verify(JSON.stringify(makeReceipt()), makeVkey())).index, 3);
});

test("any change fails", async () => {
  /* INV-05: alteration is noticed */
  const good = makeReceipt(),
    steps = good.proof.path,
    text = good.proof.entry;
  for (const [name, value] of [
    ["decision", "DENY"],
    ["id", "msg-x"],
    ["message_digest", "sha256:" + "ac".repeat(32)],
    ["reason", "other"],
    ["rule", "other"],
    ["policy_digest", undefined],
    ["expires_at", "2025-11-12T10:21:00Z"],
    ["trace", "other"],
    ["checkpoint", good.checkpoint.replace("\n7\n", "\n8\n")],
    ["checkpoint", makeNote(7, new Uint8Array(32))],
    ["checkpoint", ""],
    ["checkpoint", undefined],
    ["proof", {}],
    ["proof", undefined],
    ["entry", undefined],
    ["proof", "x"],
  ])
    await refused({ ...good, [name]: value });
  for (const [part, name, value] of [
    ["proof", "index", 2],
    ["proof", "size", 8],
    ["proof", "leaf", "00".repeat(32)],
    ["proof", "path", steps.slice(1)],
    ["proof", "path", [...steps, "00".repeat(32)]],
    ["proof", "path", [...steps].reverse()],
    ["proof", "path", steps.map((s) => s.toUpperCase())],
    ["proof", "path", "x"],
    ["proof", "path", Array(65).fill("00".repeat(32))],
    ["proof", "entry", text.replace("SHARE", "DENY")],
    ["proof", "entry", text + " "],
    ["entry", "index", 2],
    ["entry", "log", "other"],
    ["entry", "hash", "sha256:" + "00".repeat(32)],
  ]) {
    const bad = clone(good);
    bad[part][name] = value;
    await refused(bad);
  }
});

test("a true entry of another message does not vouch for this one", async () => {
  const mine = makeReceipt(3, 7, { decision: "DENY" }),
    other = makeReceipt(3, 7, { id: "msg-01930000-0000-7000-8000-000000000001" });
  await refused({ ...other, id: mine.id });
  await refused({ ...mine, decision: "SHARE" });
  await refused({ ...mine, decision: "SHARE", raw: makeReceipt() }); /* what is looked at is what the caller reads */
  const inherited = Object.assign(Object.create(makeReceipt()), { decision: "SHARE" });
  await refused(inherited);
});

test("a name twice in a receipt's or entry's text is refused", async () => {
  const text = JSON.stringify(makeReceipt());
  await refused(text.replace('"decision":"SHARE"', '"decision":"DENY","decision":"SHARE"'));
  await refused(text.replace("{", '{"decision":"DENY",'));
  await refused(text + "{}");
  /* The same inside an entry that is really in the log: JSON.parse would take the last one. */
  const good = makeReceipt(0, 1),
    entry = good.proof.entry.replace('"decision":"SHARE"', '"decision":"DENY","decision":"SHARE"');
  assert.notEqual(entry, good.proof.entry);
  const leaf = sha256(Buffer.of(0), entry),
    hash = "sha256:" + sha256(entry).toString("hex");
  await refused({
    ...good,
    checkpoint: makeNote(1, leaf),
    proof: { ...good.proof, entry, leaf: leaf.toString("hex") },
    entry: { ...good.entry, hash },
  });
});

test("the receipt is bound to the message when it is given", async () => {
  const draft = {
    v: "2.1",
    id: "msg-" + uuid7(),
    performative: "inform",
    conversation_id: "conv-" + uuid7(),
    sender: "if://agent/Demo.A",
    ttl_s: 60,
    seq: 1,
    topic_hash: "sha256:" + "00".repeat(32),
    issued_at: new Date().toISOString(),
    nonce: "AAAAAAAAAAAAAAAAAAAAAA",
    content: { claim: "a" },
  };
  const { envelope, body } = await sign(draft, await makeSigner(AGENT.seed));
  const receipt = makeReceipt(1, 3, { id: envelope.id, digest: await messageDigest(envelope) });
  for (const given of [envelope, body, canonicalize(envelope)]) await verify(receipt, makeVkey(), { envelope: given });
  await refused(receipt, { envelope: { ...envelope, content: { claim: "b" } } });
  await refused(receipt, { envelope: { ...envelope, id: "msg-" + uuid7() } });
  await refused(receipt, {
    envelope: { ...envelope, signature: { ...envelope.signature, sig: "A".repeat(86) } },
  }); /* the digest does not cover sig */
  await refused(receipt, { envelope: canonicalize(envelope).replace('"seq":1', '"seq":2,"seq":1') });
  await refused(receipt, { envelope: null });
});

test("verifier keys", async () => {
  const { name, key } = await readVkey(makeVkey());
  assert.deepEqual([name, Buffer.from(key)], [ORIGIN, Buffer.from(LOG.pub)]);
  const good = makeVkey(),
    other = makeVkey(ORIGIN, AGENT);
  for (const bad of [
    "",
    "a+b",
    undefined,
    good.replace("0badcafe", "0badcaff"),
    good.slice(0, -8),
    good.slice(0, good.lastIndexOf("+")) + other.slice(other.lastIndexOf("+")),
    "+" + good,
  ])
    await assert.rejects(readVkey(bad), VerifyError);
  await refused(makeReceipt(), {}, other);
  /* the example of golang.org/x/mod/sumdb/note: same format, foreign signer */
  assert.equal((await readVkey("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")).name, "PeterNeumann");
});

test("checkpoints: of another origin, of a key of small order, malformed, with the witnesses of others", async () => {
  const root = new Uint8Array(32),
    note = makeNote(7, root),
    [text, line] = [note.slice(0, note.indexOf("\n\n") + 1), note.slice(note.indexOf("\n\n") + 2)];
  assert.equal((await readCheckpoint(note, makeVkey())).size, 7);
  const witness = makeNote(7, root, { name: "witness.example", key: AGENT, origin: ORIGIN }).slice(note.indexOf("\n\n") + 2);
  assert.equal((await readCheckpoint(note + witness, makeVkey())).size, 7);
  const small = { pub: Buffer.concat([Buffer.of(1), Buffer.alloc(31)]), sign: () => Buffer.concat([Buffer.of(1), Buffer.alloc(63)]) };
  await assert.rejects(readCheckpoint(makeNote(7, root, { key: small }), makeVkey(ORIGIN, small)), VerifyError);
  for (const bad of [
    makeNote(7, root, { origin: "elsewhere" }),
    makeNote(7, root, { key: AGENT }),
    text,
    text + "\n",
    note.replace("\n7\n", "\n07\n"),
    note.replace("\n7\n", "\n7.0\n"),
    note + "x",
    note + "\u2014 w !!\n",
    note.replace("\u2014", "-"),
    `${text}more\n\n${line}`,
    note.replace("\n", "\r\n"),
    text + "\n" + line.repeat(101),
    7,
    null,
    {},
  ])
    await assert.rejects(readCheckpoint(bad, makeVkey()), VerifyError, JSON.stringify(bad));
});

test("the root needs the whole path", async () => {
  const leaves = range(5).map((i) => sha256(Buffer.of(i)));
  assert.deepEqual(Buffer.from(await rootFrom(4, 5, leaves[4], proofPath(4, leaves))), tree(leaves));
  for (const bad of [[], [...proofPath(4, leaves), ...proofPath(4, leaves)]])
    await assert.rejects(rootFrom(4, 5, leaves[4], bad), VerifyError);
  for (const [index, size] of [
    [5, 5],
    [-1, 5],
    [0.5, 5],
    ["4", 5],
    [4, NaN],
    [2 ** 53, 2 ** 54],
  ])
    await assert.rejects(rootFrom(index, size, leaves[4], []), VerifyError);
});
