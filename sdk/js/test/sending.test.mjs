/* The sending rules against a small false fabric on a Unix socket; contexts, endpoints and key files. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import test from "node:test";
import canonicalize from "canonicalize";
import { check, Fabric, InvalidMessage, OutcomeUnknown, Refused, sign, Unreachable, verifySignature } from "../src/node.js";
import { Fabric as BrowserFabric } from "../src/browser.js";
import { fromContext } from "../src/context.js";
import { AGENT, FalseFabric, tmp } from "./support.mjs";

const error = (code, more) => ({ error: { code: `IF_ERR_${code}`, name: "N", message: "m", hint: "h", ...more } });

async function start(t, script, options = {}) {
  const server = await new FalseFabric(script, options).listen();
  t.after(() => server.close());
  const fabric = new Fabric({ endpoint: "unix:" + server.path, talent: "Demo.A", key: AGENT.seed, delays: [1], ...options });
  return { server, fabric };
}

test("sends a whole signed envelope", async (t) => {
  const { server, fabric } = await start(t);
  const receipt = await fabric.send("hello", { confidence: 0.9, to: ["Demo.B", "if://topic/x"], scope: { a: 1 } });
  assert.ok(receipt.shared && !receipt.denied && receipt.raw.decision === "SHARE");
  const [key, body] = server.posts[0],
    message = JSON.parse(body);
  await check(message, AGENT.pub);
  assert.equal(canonicalize(message), body);
  assert.deepEqual([message.id, message.receiver, message.ttl_s], [key, ["if://agent/Demo.B", "if://topic/x"], 60]);
  assert.deepEqual(message.content, { claim: "hello", confidence: { raw: 0.9, normalized: 0.9 }, scope: { a: 1 } });
  assert.match(message.issued_at, /^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
});

test("decisions are values, refusals are thrown", async (t) => {
  const { server, fabric } = await start(t, [
    [403, { decision: "DENY" }],
    [202, { decision: "HOLD" }],
    [202, { decision: "ESCALATE" }],
    [401, error(106, { field: "sender" })],
  ]);
  assert.ok((await fabric.send("x")).denied);
  assert.ok((await fabric.send("x")).held);
  assert.ok((await fabric.send("x")).escalated);
  await assert.rejects(
    fabric.send("x"),
    (e) => e instanceof Refused && e.code === "106" && e.errorName === "N" && e.hint === "h" && e.field === "sender" && !e.retryable,
  );
  assert.equal(server.posts.length, 4);
});

test("a lost connection: the same bytes again", async (t) => {
  const { server, fabric } = await start(t, ["drop", "drop", [200, { decision: "SHARE" }, "replayed"]]);
  const receipt = await fabric.send("x");
  assert.ok(receipt.shared && receipt.replayed);
  assert.equal(server.posts.length, 3);
  assert.equal(new Set(server.posts.map(String)).size, 1);
});

test("a cost is reported once, with whole numbers, and a passed budget is no error", async (t) => {
  const told = { cost: { usd_micro: 5 }, entry: { index: 7 }, budgets: [], over: [] };
  const { server, fabric } = await start(t, ["drop", [503, error(304, { retryable: true, retry_after_ms: 1 })], [201, told]]);
  const trace = "01930000-0000-7000-8000-000000000001";
  assert.equal((await fabric.cost({ usdMicro: 5, tokensIn: 3, provider: "openai", swarm: "data", operation: "chat", trace })).entry.index, 7);
  assert.equal(server.posts.length, 3);
  assert.equal(new Set(server.posts.map(String)).size, 1);
  assert.match(server.posts[0][0], /^cost-/);
  assert.deepEqual(JSON.parse(server.posts[0][1]), {
    cost: { usd_micro: 5, tokens_in: 3 },
    provider: "openai",
    swarm: "data",
    operation: "chat",
    talent: "Demo.A",
  });
  server.script.push([402, { ...told, over: ["a"], ...error(301) }], [402, error(301)], "drop", "drop");
  assert.deepEqual((await fabric.cost({ calls: 1 })).over, ["a"]);
  await assert.rejects(fabric.cost({ calls: 1 }), Refused);
  for (const bad of [0.5, -1, NaN, Infinity, 2 ** 53, "5", 5n]) await assert.rejects(fabric.cost({ usdMicro: bad }), TypeError);
  assert.equal(server.posts.length, 5);
  fabric.retries = 1;
  await assert.rejects(fabric.cost({ calls: 1 }), OutcomeUnknown);
});

test("an answer that is no answer is a lost one", async (t) => {
  const { server, fabric } = await start(
    t,
    [[200, "{"], [200, '{"decision":"DENY","decision":"SHARE"}'], [200, "[]"], [200, "{}"], "hang"],
    { timeout: 0.2, retries: 6 },
  );
  assert.ok((await fabric.send("x")).shared);
  assert.equal(server.posts.length, 6);
});

test("an answer about another message is no answer to this one", async (t) => {
  const other = [
    [200, { decision: "SHARE", id: "msg-01930000-0000-7000-8000-000000000000" }],
    [200, { decision: "SHARE", message_digest: "sha256:" + "00".repeat(32) }],
    [200, { decision: "share" }],
    [200, { decision: "SHARE", ...error(3) }],
  ];
  for (const one of other) {
    const { server, fabric } = await start(t, [one, one, [202, { decision: "HOLD" }]], { retries: 2 });
    const outcome = await fabric.send("x").catch((e) => e);
    if (one[1].error) assert.ok(outcome instanceof Refused);
    else assert.ok(outcome.held, String(outcome));
    assert.equal(server.posts.length, one[1].error ? 1 : 3);
  }
});

test("retryable refusals are retried, others are not", async (t) => {
  for (const code of [302, 303, 304, 305, 500, 502, 503, 504]) {
    const { server, fabric } = await start(t, [[503, error(code, { retryable: true, retry_after_ms: 1 })]]);
    assert.ok((await fabric.send("x")).shared);
    assert.equal(new Set(server.posts.map(String)).size, 1);
  }
});

test("gives up with what is needed to go on", async (t) => {
  const { server, fabric } = await start(t, ["drop", "drop", "drop"], { retries: 2 });
  const unknown = await fabric.send("x").catch((e) => e);
  assert.ok(unknown instanceof OutcomeUnknown);
  assert.deepEqual([unknown.id, Buffer.from(unknown.body).toString()], server.posts[0]);
  assert.ok((await fabric.sendBytes(unknown.id, unknown.body)).shared);
  assert.equal(String(server.posts[3]), String(server.posts[0]));
});

test("a refusal after a lost answer may hide an acceptance: unknown, unless it settles it", async (t) => {
  for (const code of [102, 4, 304]) {
    const refusals = Array(3).fill([400, error(String(code).padStart(3, "0"), { retryable: code === 304, retry_after_ms: 1 })]);
    const { fabric } = await start(t, ["drop", ...refusals], { retries: 2 });
    await assert.rejects(fabric.send("x"), OutcomeUnknown, String(code));
  }
  const { fabric } = await start(t, ["drop", [409, error(105)]]);
  await assert.rejects(fabric.send("x"), Refused);
});

test("abort: before it leaves nothing is sent, afterwards the outcome is unknown", async (t) => {
  const { server, fabric } = await start(t, ["hang"]);
  await assert.rejects(fabric.send("x", { signal: AbortSignal.abort() }), { name: "AbortError" });
  assert.equal(server.posts.length, 0);
  const unknown = await fabric.send("x", { signal: AbortSignal.timeout(100) }).catch((e) => e);
  assert.ok(unknown instanceof OutcomeUnknown, String(unknown));
  assert.equal(server.posts[0][0], unknown.id);
});

test("nobody there is said, and a mistake of ours leaves nothing", async (t) => {
  const absent = new Fabric({ endpoint: `unix:${tmp()}/ifab-none`, talent: "Demo.A", key: AGENT.seed });
  await assert.rejects(absent.send("x"), (e) => e instanceof Unreachable && /No fabric answers at unix:/.test(e.message));
  const { server, fabric } = await start(t);
  await assert.rejects(fabric.send("x", { confidence: 2 }), (e) => e instanceof InvalidMessage && e.field === "content.confidence.raw");
  await assert.rejects(fabric.send("x", { data: { n: -0 } }), InvalidMessage);
  await assert.rejects(fabric.sendBytes("msg-1", "{}"), InvalidMessage);
  await assert.rejects(new Fabric({ endpoint: "unix:" + server.path }).send("x"), TypeError);
  assert.equal(server.posts.length, 0);
});

test("the sequence grows over concurrent calls, objects and what the fabric saw; one at a time", async (t) => {
  const last = 2 ** 52,
    { server, fabric } = await start(t, [], { lastSeq: last });
  await Promise.all(Array.from({ length: 8 }, () => fabric.send("x")));
  await new Fabric({ endpoint: "unix:" + server.path, talent: "Demo.A", key: AGENT.seed }).send("y");
  assert.deepEqual(
    server.posts.map(([, body]) => JSON.parse(body).seq),
    Array.from({ length: 9 }, (_, i) => last + 1 + i),
  );
  assert.equal(server.most, 1);
  const { server: clock, fabric: plain } = await start(t),
    before = Date.now() * 1000;
  await plain.send("x");
  assert.ok(JSON.parse(clock.posts[0][1]).seq >= before);
});

test("another process was ahead (104): the fabric is asked, a new number signed", async (t) => {
  const { server, fabric } = await start(t, [
    [409, error(104)],
    [409, error(104, { last_seq: 2 ** 52 + 7 })],
  ]);
  server.lastSeq = undefined;
  const sending = fabric.send("x");
  server.lastSeq = 2 ** 52;
  assert.ok((await sending).shared);
  const sent = server.posts.map(([, body]) => JSON.parse(body));
  assert.ok(sent[1].seq > 2 ** 52 && sent[2].seq > Math.max(sent[1].seq, 2 ** 52 + 7), String(sent.map((m) => m.seq)));
  assert.equal(new Set(sent.map((m) => m.id)).size, 1); /* one id: however late the first arrives, one of them at most is accepted */
  for (const m of sent) await check(m, AGENT.pub);
  const { fabric: stuck } = await start(t, Array(99).fill([409, error(104)]));
  await assert.rejects(stuck.send("x"), (e) => e instanceof Refused && e.code === "104");
});

test("waits for a decision", async (t) => {
  const { fabric } = await start(t, [[202, { decision: "ESCALATE" }]]);
  const receipt = await fabric.send("x", { wait: 5 });
  assert.deepEqual([receipt.decision, receipt.reason], ["SHARE", "released"]);
  const { server, fabric: slow } = await start(t, [
    [202, { decision: "HOLD" }],
    [202, { decision: "HOLD" }],
  ]);
  server.decided = "HOLD";
  assert.ok((await slow.send("x", { wait: 0.3 })).held);
  assert.ok((await slow.send("x", { wait: 60, signal: AbortSignal.timeout(300) })).held);
  assert.ok(server.gets.length < 30, `${server.gets.length}`); /* a fabric that does not wait makes no busy loop */
});

test("inbox, follow, reply", async (t) => {
  const { server, fabric } = await start(t);
  const [message] = await fabric.inbox();
  assert.deepEqual([message.claim, message.sender, message.decision, message.cursor], ["hello", "if://agent/Demo.A", "SHARE", "c1"]);
  assert.deepEqual(await fabric.inbox({ after: "c1" }), []);
  for await (const m of fabric.inbox({ follow: true })) {
    assert.equal(m.cursor, "c1");
    break;
  }
  assert.match(server.gets[0], /as=Demo\.A/);
  await fabric.send("thanks", { replyTo: message, performative: "agree" });
  const reply = JSON.parse(server.posts[0][1]);
  assert.deepEqual([reply.conversation_id, reply.receiver], [message.conversation, "if://agent/Demo.A"]);
});

test("endpoints: nothing travels in the clear beyond this machine", () => {
  for (const bad of [
    "http://example.org:1",
    "http://10.0.0.1:8474",
    "ftp://h",
    "/path",
    "http://127.0.0.1:1/x",
    "http://u:p@127.0.0.1:1",
    "unix:",
    "unix:/" + "x".repeat(107),
    "http://localhost.example.org",
  ])
    assert.throws(() => new Fabric({ endpoint: bad }), TypeError, bad);
  for (const good of ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1", "https://example.org", "unix:/run/ifd.sock"])
    new Fabric({ endpoint: good });
  assert.throws(() => new BrowserFabric({ endpoint: "unix:/x" }), TypeError);
});

test("a token is shown by no inspection", async () => {
  const { inspect } = await import("node:util");
  const fabric = new Fabric({ endpoint: "https://example.org", token: "s3cret", talent: "A", key: AGENT.seed, passphrase: "pa55" });
  assert.doesNotMatch(inspect(fabric, { depth: 9, showHidden: false }) + JSON.stringify(fabric), /s3cret|pa55|32, *33|"32":/);
});

test("key files: 0600, PKCS#8, encrypted or not; in a browser PEM text or {pub, sign}", async (t) => {
  const folder = mkdtempSync(path.join(tmp(), "ifab-js-")),
    file = path.join(folder, "k.pem");
  t.after(() => rmSync(folder, { recursive: true }));
  const { server } = await start(t),
    endpoint = "unix:" + server.path;
  const using = (key, passphrase) => new Fabric({ endpoint, talent: "Demo.A", key, passphrase }).send("x");
  const write = (text, mode) => (writeFileSync(file, text), chmodSync(file, mode));
  const pem = AGENT.private.export({ type: "pkcs8", format: "pem" }),
    locked = AGENT.private.export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "words" });
  for (const [text, words] of [[pem], [locked, "words"], [locked, () => "words"]]) {
    write(text, 0o600);
    await using(file, words);
    await check(JSON.parse(server.posts.at(-1)[1]), AGENT.pub);
  }
  const rsa = generateKeyPairSync("x25519").privateKey.export({ type: "pkcs8", format: "pem" });
  for (const [text, mode, words, why] of [
    [pem, 0o644, undefined, /chmod 600/],
    [locked, 0o600, undefined, /passphrase/],
    [locked, 0o600, "no", /wrong passphrase/],
    [rsa, 0o600, undefined, /not an Ed25519/],
    ["", 0o600, undefined, /not an Ed25519/],
    [pem.replace("MC4C", "MC4D"), 0o600, undefined, /not an Ed25519/],
  ]) {
    write(text, mode);
    await assert.rejects(using(file, words), why);
  }
  const count = server.posts.length;
  await using({ pub: AGENT.pub, sign: async (bytes) => AGENT.sign(bytes) });
  await assert.rejects(using({ pub: AGENT.pub, sign: async () => new Uint8Array(64) }), /does not verify/);
  assert.equal(server.posts.length, count + 1);
  assert.ok(await verifySignature(AGENT.sign(Buffer.from("x")), Buffer.from("x"), AGENT.pub));
  await assert.rejects(sign({}, { pubkey: "", keyId: "" }), InvalidMessage);
});

test("a key that is not there is named with the place it was looked for", async (t) => {
  const d = mkdtempSync(path.join(tmp(), "ifab-js-")),
    saved = { ...process.env };
  t.after(() => (rmSync(d, { recursive: true }), Object.assign(process.env, saved)));
  for (const name of ["IFAB_ENDPOINT", "IFAB_AS", "IFAB_KEY", "IFAB_TOKEN_FILE"]) delete process.env[name];
  Object.assign(process.env, { XDG_CONFIG_HOME: d, IFAB_DIR: d });
  const said = async (options) => (await Fabric.context(options)).send("x").then(String, (e) => e.message);
  assert.equal(await said({ talent: "A" }), `${path.join(d, "keys", "A.pem")}: no such file; IFAB_DIR is ${d}`);
  assert.equal(await said({ talent: "A", key: path.join(d, "b.pem") }), `${path.join(d, "b.pem")}: no such file; IFAB_DIR is ${d}`);
});

test("a key is enrolled in its default place, once", async (t) => {
  const d = mkdtempSync(path.join(tmp(), "ifab-js-")),
    saved = { ...process.env };
  t.after(() => (rmSync(d, { recursive: true }), Object.assign(process.env, saved)));
  for (const name of ["IFAB_AS", "IFAB_KEY", "IFAB_TOKEN_FILE", "IFAB_CA", "IFAB_CERT"]) delete process.env[name];
  const told = (name) => [201, { talent: { name } }];
  const { server } = await start(t, [[403, error("003")], "drop", [500, error("500")], told("A"), told("A"), told("../B")]);
  Object.assign(process.env, { XDG_CONFIG_HOME: d, IFAB_DIR: d, IFAB_ENDPOINT: "unix:" + server.path });
  const keys = path.join(d, "keys"),
    here = () => readdirSync(keys),
    code = "ABCD-EFGH-IJKL-MNOP-QRST-UVWX-YZ23-4567",
    sent = (i) => JSON.parse(server.posts.at(i)[1]).pubkey;
  await assert.rejects(Fabric.enroll("AAAA"), TypeError);
  await assert.rejects(Fabric.enroll(code), Refused);
  assert.deepEqual(here(), [], "no key is left behind");
  await assert.rejects(Fabric.enroll(code)); /* heard or not: the key stays, and the same code finds it */
  const [waits] = here();
  assert.match(waits, /^enrolling-[0-9a-f]{16}\.pem$/);
  await assert.rejects(Fabric.enroll(code), Refused);
  assert.deepEqual(here(), [waits]);
  const me = await Fabric.enroll(code.toLowerCase().replaceAll("-", " "));
  assert.deepEqual([me.talent, here(), statSync(path.join(keys, "A.pem")).mode & 0o777], ["A", ["A.pem"], 0o600]);
  assert.deepEqual([sent(1), sent(2)], [sent(3), sent(3)]);
  assert.notEqual(sent(0), sent(1));
  assert.equal((await fromContext({ talent: "A" })).key, path.join(keys, "A.pem"));
  const first = readFileSync(path.join(keys, "A.pem"), "ascii"),
    warned = new Promise((resolve) => process.once("warning", resolve));
  await Fabric.enroll(code); /* the name is taken: nothing is written over */
  assert.match((await warned).message, /the new key stays in .*enrolling-/);
  assert.deepEqual([readFileSync(path.join(keys, "A.pem"), "ascii"), here()], [first, ["A.pem", waits]]);
  await Fabric.enroll(code.replace("ABCD", "BBBB"));
  assert.deepEqual(here().sort(), ["A.pem", "B.pem", waits], "and a name is no path");
  await assert.rejects(BrowserFabric.enroll(code, { endpoint: "http://127.0.0.1:1" }), /say where the new key is to be/);
});

test("the order of places is ifctl's", async (t) => {
  const d = mkdtempSync(path.join(tmp(), "ifab-js-")),
    saved = { ...process.env };
  t.after(() => (rmSync(d, { recursive: true }), Object.assign(process.env, saved)));
  mkdirSync(path.join(d, "infrafabric"));
  mkdirSync(path.join(d, "four", "keys"), { recursive: true });
  writeFileSync(
    path.join(d, "infrafabric", "contexts.json"),
    JSON.stringify({ current: "one", contexts: { one: { dir: "/one", as: "A", key: "/k", token_file: path.join(d, "t") } } }),
  );
  writeFileSync(path.join(d, "t"), "token-1\n");
  for (const name of ["IFAB_ENDPOINT", "IFAB_DIR", "IFAB_AS", "IFAB_KEY", "IFAB_TOKEN_FILE"]) delete process.env[name];
  Object.assign(process.env, { XDG_CONFIG_HOME: d, XDG_DATA_HOME: "/data" });
  const seen = async (options) => (({ endpoint, talent, key, token }) => [endpoint, talent, key, token])(await fromContext(options));
  assert.deepEqual(await seen(), ["unix:/one/run/ifd.sock", "A", "/k", "token-1"]);
  Object.assign(process.env, { IFAB_DIR: "/two", IFAB_AS: "B", IFAB_KEY: "/b", IFAB_ENDPOINT: "" });
  assert.deepEqual((await seen()).slice(0, 3), ["unix:/two/run/ifd.sock", "B", "/b"]);
  assert.deepEqual((await seen({ talent: "B/1" })).slice(1, 3), ["B/1", "/b"]);
  assert.deepEqual((await seen({ talent: "C" })).slice(1, 3), ["C", undefined]); /* B's key is not C's */
  process.env.IFAB_ENDPOINT = "http://127.0.0.1:1";
  assert.equal((await seen())[0], "http://127.0.0.1:1");
  assert.equal((await seen({ dir: "/three" }))[0], "unix:/three/run/ifd.sock");
  delete process.env.IFAB_KEY;
  const four = path.join(d, "four");
  writeFileSync(path.join(four, "keys", "D.pem"), "");
  for (const [yaml, run] of [
    ["name: x\nrun:\n  dir: /r\n", "/r"],
    ['run:   # sockets\n  # where\n  dir: "r/s"  # here\nhttp:\n  dir: no\n', path.join(four, "r/s")],
    ["run: {}\nhttp:\n  dir: no\n", path.join(four, "run")],
    ["http:\n  dir: no\n", path.join(four, "run")],
  ]) {
    writeFileSync(path.join(four, "ifd.yaml"), yaml);
    assert.deepEqual((await seen({ dir: four, talent: "D/2" })).slice(0, 3), [
      `unix:${run}/ifd.sock`,
      "D/2",
      path.join(four, "keys", "D.pem"),
    ]);
  }
  process.env.XDG_CONFIG_HOME = "/nowhere";
  for (const name of ["IFAB_DIR", "IFAB_ENDPOINT", "IFAB_AS"]) delete process.env[name];
  assert.deepEqual(await seen(), ["unix:/data/infrafabric/run/ifd.sock", undefined, undefined, undefined]);
  process.env.XDG_DATA_HOME = "relative";
  assert.match((await seen())[0], /^unix:\/.*\/\.local\/share\/infrafabric\/run\/ifd\.sock$/);
});
