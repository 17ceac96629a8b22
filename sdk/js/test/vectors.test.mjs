/* tests/vectors: what the package signs, what it refuses to sign or believe, byte for byte. */
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import path from "node:path";
import test from "node:test";
import canonicalize from "canonicalize";
import { check, InvalidMessage, makeSigner, readEnvelope, sign, signedBytes, verifySignature, VerifyError } from "../src/node.js";
import { fromBase64url, uuid7 } from "../src/bytes.js";
import { parse, plain } from "../src/json.js";
import { AGENT, readVectors, sha256, vectors } from "./support.mjs";

const hex = (text) => Uint8Array.from(Buffer.from(text, "hex"));

test("good envelopes: signed bytes and signature are those of the vectors", async () => {
  const good = readVectors("envelope", "good.json");
  assert.ok(good.cases.length > 10);
  for (const c of good.cases) {
    const message = readEnvelope(c.envelope),
      bytes = signedBytes(message);
    assert.equal(Buffer.from(bytes).toString("base64"), c.signed_bytes_base64, c.name);
    assert.equal(sha256(bytes).toString("hex"), c.signed_bytes_sha256, c.name);
    await check(message, message.signature.pubkey);
    const key = good.keys.find((k) => k.pubkey === message.signature.pubkey),
      signer = await makeSigner(hex(key.seed_hex));
    assert.equal(Buffer.from(await signer.sign(bytes)).toString("base64url"), message.signature.sig, c.name);
  }
});

test("bad envelopes: malformed ones are not read, forged ones do not check", async () => {
  /* INV-02, INV-15 */
  const bad = readVectors("envelope", "bad.json"),
    own = bad.keys[0].pubkey,
    left = new Set();
  let malformed = 0,
    forged = 0;
  for (const c of bad.cases) {
    const bytes = Uint8Array.from(Buffer.from(c.envelope_base64, "base64"));
    if (c.error === "IF_ERR_101") {
      assert.throws(
        () => readEnvelope(bytes),
        (e) => e instanceof InvalidMessage && e.code === "101",
        c.name,
      );
      malformed++;
    } else if (c.error === "IF_ERR_001") {
      await assert.rejects(async () => check(readEnvelope(bytes), own), VerifyError, c.name);
      forged++;
    } else {
      left.add(c.error); /* time and registry: the daemon's alone */
      readEnvelope(bytes);
    }
  }
  assert.deepEqual([...left].sort(), ["IF_ERR_102", "IF_ERR_106", "IF_ERR_107"]);
  assert.ok(malformed > 60 && forged >= 6, `${malformed} ${forged}`);
});

test("Ed25519: Wycheproof and speccheck, the verdicts of the fabric", async () => {
  let count = 0;
  for (const group of readVectors("ed25519", "wycheproof_ed25519_test.json").testGroups)
    for (const t of group.tests) {
      const good = await verifySignature(hex(t.sig), hex(t.msg), hex(group.publicKey.pk));
      assert.equal(good, t.result === "valid", `tcId ${t.tcId}: ${t.comment}`);
      count++;
    }
  assert.ok(count > 100);
  const cases = readVectors("ed25519", "speccheck_cases.json");
  const accepted = [];
  for (const [i, c] of cases.entries()) if (await verifySignature(hex(c.signature), hex(c.message), hex(c.pub_key))) accepted.push(i);
  assert.deepEqual(accepted, [
    3,
  ]); /* small order, S not reduced, non-canonical, and what only the cofactored equation accepts: all refused */
});

test("canonical form: the JCS vectors", () => {
  const folder = path.join(vectors, "jcs");
  for (const file of readdirSync(folder).filter((n) => n.endsWith(".input.json")))
    assert.equal(
      canonicalize(parse(readFileSync(path.join(folder, file)))),
      readFileSync(path.join(folder, file.replace("input", "output")), "utf8"),
      file,
    );
});

test("numbers: written as RFC 8785 says, refused where a reader could round otherwise", () => {
  for (const [value, text] of [
    [1e-7, "1e-7"],
    [0.000001, "0.000001"],
    [333333333.33333329, "333333333.3333333"],
    [9007199254740991, "9007199254740991"],
    [5e-324, "5e-324"],
    [0.1 + 0.2, "0.30000000000000004"],
    [-1.5, "-1.5"],
    [0, "0"],
  ])
    assert.equal(canonicalize(plain(value)), text);
  for (const value of [
    -0,
    NaN,
    Infinity,
    2 ** 53,
    -(2 ** 53),
    1e300,
    1n,
    undefined,
    () => 0,
    Symbol("x"),
    new Map(),
    new Date(),
    "\ud800",
    [undefined],
  ])
    assert.throws(() => plain({ a: { b: value === undefined ? [value] : value } }), /^TypeError: a\.b/);
  for (const text of ["-0", "-0.0", "-0e5", "1e-400", "0.0e1 1", "1e400", "01", "1.", ".5", "+1", "9007199254740992", "1e", "0x1", "NaN"])
    assert.throws(() => parse(text), SyntaxError, text);
  assert.equal(parse("1e20"), 1e20);
  assert.throws(() => parse("1e20", { signed: true }), SyntaxError);
});

test("JSON: one document, no name twice, no way to a prototype", () => {
  for (const text of [
    '{"a":1,"a":2}',
    '{"a":1,"\\u0061":2}',
    "[1]]",
    "",
    " ",
    "{",
    '{"a"}',
    "[1,]",
    '"\\ud800"',
    '"\t"',
    '"\\x"',
    "\ufeff{}",
    "[".repeat(33) + "]".repeat(33),
    "nul",
    "tru",
    "{'a':1}",
  ])
    assert.throws(() => parse(text), SyntaxError, text);
  const tricky = parse('{"__proto__":{"admin":true},"constructor":1}');
  assert.equal(tricky.admin, undefined);
  assert.equal(canonicalize(tricky), '{"__proto__":{"admin":true},"constructor":1}');
  assert.equal(canonicalize(plain(tricky)), '{"__proto__":{"admin":true},"constructor":1}');
  assert.throws(() => parse(JSON.stringify(Object.fromEntries(Array.from({ length: 1025 }, (_, i) => [i, i])))), SyntaxError);
});

const draft = (content, more) => ({
  v: "2.1",
  id: "msg-" + uuid7(),
  performative: "inform",
  conversation_id: "conv-" + uuid7(),
  sender: "if://agent/Demo.A",
  topic_hash: "sha256:" + "00".repeat(32),
  issued_at: new Date().toISOString(),
  ttl_s: 60,
  seq: 1,
  nonce: "AAAAAAAAAAAAAAAAAAAAAA",
  content,
  ...more,
});

test("sizes: 64 KiB exactly are signed, one byte more is not", async () => {
  const signer = await makeSigner(AGENT.seed),
    one = (n) => draft({ data: { x: "y".repeat(n) } }, { id: "msg-01930000-0000-7000-8000-000000000000" });
  const room = 65536 - (await sign(one(0), signer)).body.length;
  const { envelope, body } = await sign(one(room), signer);
  assert.equal(body.length, 65536);
  await check(envelope, AGENT.pub);
  await assert.rejects(sign(one(room + 1), signer), (e) => e.code === "109");
});

test("a mistake is told with its field and nothing is signed", async () => {
  const signer = { pub: AGENT.pub, pubkey: "A".repeat(43), keyId: "k-0123456789abcdef", sign: () => assert.fail("signed") };
  for (const [field, message] of [
    ["content.confidence.raw", draft({ confidence: { raw: 1.1 } })],
    ["content.hazards", draft({ hazards: "legal" })],
    ["content.claims", draft({ claims: "x" })],
    ["content.evidence[1].hash", draft({ evidence: [{ type: "web" }, { type: "web", hash: "a5" }] })],
    ["ttl_s", draft({}, { ttl_s: 3601 })],
    ["receiver", draft({}, { receiver: [] })],
    ["sender", draft({}, { sender: "if://agent/a..b" })],
    ["content.claim", draft({ claim: "é".repeat(4097) })],
    ["performative", draft({}, { performative: "shout" })],
    ["nonce", draft({}, { nonce: "AAAA" })],
  ])
    await assert.rejects(sign(message, signer), (e) => e instanceof InvalidMessage && e.field === field, field);
});

test("any changed field fails the check", async () => {
  const { envelope } = await sign(draft({ claim: "a" }), await makeSigner(AGENT.seed));
  await check(envelope, AGENT.pub);
  await check(envelope, Buffer.from(AGENT.pub).toString("base64url"));
  const neutral = new Uint8Array(32);
  neutral[0] = 1;
  for (const [change, key] of [
    [{ seq: 2 }, AGENT.pub],
    [{ content: { claim: "b" } }, AGENT.pub],
    [{ more: 1 }, AGENT.pub],
    [{}, neutral],
    [{}, new Uint8Array(31)],
    [{}, "*"],
    [{ signature: { ...envelope.signature, key_id: "k-0123456789abcdef" } }, AGENT.pub],
  ])
    await assert.rejects(check({ ...envelope, ...change }, key), VerifyError);
  assert.equal(fromBase64url(envelope.nonce).length, 16);
});

test("ids have their form", () => {
  const seen = new Set(Array.from({ length: 1000 }, () => uuid7()));
  assert.equal(seen.size, 1000);
  for (const id of seen) assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.ok(Math.abs(parseInt(uuid7().replace("-", "").slice(0, 12), 16) - Date.now()) < 5000);
});
