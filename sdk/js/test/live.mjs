/*
 * The package against a running fabric: send, every decision, refusals, receive, verify, tamper. Prints TAP.
 *   IFAB_ENDPOINT=unix:PATH IFAB_AS=Demo.A IFAB_KEY=a.pem [IFAB_TO=Demo.B] [IFAB_VKEY=…] [IFAB_BUILD: where if-verify is] node live.mjs
 */
import { execFile, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { Fabric, makeSigner, Refused, sign, verify } from "../src/node.js";
import { uuid7 } from "../src/bytes.js";
import { tmp } from "./support.mjs";

let count = 0,
  failed = 0;
function check(condition, name) {
  if (!condition) failed++;
  console.log(`${condition ? "ok" : "not ok"} ${++count} - ${name}`);
}
const codeOf = (promise) =>
  promise.then(
    () => undefined,
    (e) => (e instanceof Refused ? e.code : String(e)),
  );
const noticed = (...args) =>
  verify(...args).then(
    () => false,
    (e) => e.name === "VerifyError",
  );

/* Changed anywhere: bytes lost, flipped or put in, members swapped. Seeded, so that a difference can be looked at again. */
function* mutants(text, count, seed) {
  const tokens = [
    '"',
    ",",
    "{",
    "}",
    "[",
    "]",
    ":",
    "0",
    "-",
    "1.0",
    "e1",
    " ",
    "\\",
    "\\n",
    "=",
    "A",
    "+",
    "null",
    "\u2014",
    "\ufeff",
    '"a":1,',
    "\n",
  ];
  const random = (n) => (seed = (seed * 48271) % 2147483647) % n;
  for (let i = 0; i < count; i++) {
    const bytes = Buffer.from(text),
      at = random(bytes.length),
      how = random(4),
      [head, tail] = [bytes.subarray(0, at), bytes.subarray(at)];
    if (how === 0) bytes[at] ^= 1 << random(8);
    if (how === 0) yield bytes;
    else if (how === 1) yield Buffer.concat([head, tail.subarray(1 + random(3))]);
    else if (how === 2) yield Buffer.concat([head, Buffer.from(tokens[random(tokens.length)]), tail]);
    else {
      const copy = JSON.parse(text),
        names = Object.keys(copy),
        [a, b] = [random(names.length), random(names.length)].map((n) => names[n]);
      [copy[a], copy[b]] = [copy[b], copy[a]];
      yield Buffer.from(JSON.stringify(copy));
    }
  }
}

function namedCases({ raw }) {
  const text = JSON.stringify(raw),
    steps = raw.proof.path;
  const changed = (part, name, value) =>
    JSON.stringify(part ? { ...raw, [part]: { ...raw[part], [name]: value } } : { ...raw, [name]: value });
  const words = ["id", "decision", "message_digest", "policy_digest", "reason", "rule", "trace", "expires_at"];
  return [
    text,
    text.replace("{", '{"decision":"DENY",'),
    text.slice(1),
    changed("proof", "path", steps.slice(1)),
    changed("proof", "path", [...steps, steps[0]]),
    changed("proof", "index", raw.proof.index - 1),
    changed("proof", "size", raw.proof.size + 1),
    changed("proof", "leaf", steps[0]),
    changed("proof", "entry", raw.proof.entry.replace("SHARE", "DENY")),
    changed("entry", "index", 0),
    changed("entry", "log", "x"),
    changed("entry", "hash", "00"),
    changed(
      "",
      "checkpoint",
      raw.checkpoint.replace(/\d+\n/, (n) => n + n),
    ),
    changed("", "checkpoint", raw.checkpoint.replace("infrafabric", "elsewhere")),
    ...words.flatMap((name) => [changed("", name, "x"), changed("", name, undefined), changed("", name, 7)]),
  ];
}

/* The package says what if-verify says. */
async function sameVerdicts(receipt, vkey) {
  const program = path.join(process.env.IFAB_BUILD ?? "", "if-verify");
  if (!existsSync(program)) return console.log(`# no ${program}: verdicts not compared`);
  const seed = Number(process.env.IFAB_SEED ?? (Date.now() % 1000000) + 1),
    folder = mkdtempSync(path.join(tmp(), "ifab-js-")),
    file = path.join(folder, "r.json");
  const cases = [...namedCases(receipt), ...mutants(JSON.stringify(receipt.raw), 200, seed)];
  let good = 0;
  for (const [i, one] of cases.entries()) {
    writeFileSync(file, one);
    const theirs = spawnSync(program, ["receipt", file, "--vkey", vkey]).status === 0,
      ours = !(await noticed(one, vkey));
    good += theirs;
    if (theirs !== ours) check(false, `seed ${seed}, case ${i}: if-verify says ${theirs}, the package ${ours}`);
  }
  rmSync(folder, { recursive: true });
  check(
    good >= 1 && good < cases.length / 2,
    `if-verify and the package agree on ${cases.length} receipts, ${good} of them good (seed ${seed})`,
  );
}

/* A key as `ifctl key new` encrypts it. Nobody enrolled it, so 001 says that it was opened and has signed. */
async function encryptedKey(talent) {
  const program = path.join(process.env.IFAB_BUILD ?? "", "ifctl");
  if (!existsSync(program)) return console.log(`# no ${program}: no encrypted key of its making`);
  const folder = mkdtempSync(path.join(tmp(), "ifab-js-")),
    key = path.join(folder, "k.pem"),
    words = path.join(folder, "words");
  writeFileSync(words, "two words\n");
  const made = spawnSync("sh", ["-c", '"$1" key new --out "$2" --passphrase-fd 3 3<"$3"', "-", program, key, words]);
  const using = async (passphrase) => codeOf((await Fabric.context({ talent, key, passphrase })).send("x", { confidence: 0.9 }));
  check(made.status === 0 && (await using("two words")) === "001", "an encrypted key of ifctl's making signs");
  check(/wrong passphrase/.test(await using("no")) && /give its passphrase/.test(await using()), "not without its passphrase");
  rmSync(folder, { recursive: true });
}

/* Three processes that all speak as one instance: each is overtaken now and then (104), none of them fails. */
async function oneNameThreeTimes(talent) {
  const program = path.join(path.dirname(fileURLToPath(import.meta.url)), "agents.mjs");
  const job = JSON.stringify({
    endpoint: (await Fabric.context()).wire.endpoint,
    agents: [{ talent, key: process.env.IFAB_KEY }],
    seconds: 2,
    calm: true,
  });
  const runs = await Promise.all(
    [1, 2, 3].map(
      () =>
        new Promise((resolve) => {
          const child = execFile(process.execPath, [program], (error, stdout, stderr) => resolve([error, stdout, stderr]));
          child.stdin.end(job);
        }),
    ),
  );
  const rows = runs.flatMap(([error, stdout, stderr]) =>
    error
      ? (console.log("# " + stderr.replace(/\n/g, "\n# ")), [])
      : stdout
          .trim()
          .split("\n")
          .map((l) => JSON.parse(l)),
  );
  const sent = rows.filter((r) => r.id),
    resigned = sent.reduce((n, r) => n + r.resigned, 0);
  check(
    runs.every(([error]) => !error) && new Set(sent.map((r) => r.index)).size === sent.length && sent.length > 30,
    `three processes speak as one instance: ${sent.length} messages, ${resigned} signed again`,
  );
  check(resigned > 0, "they really got in each other's way");
}

/* The socket is an operator: it may make a swarm and work for it. */
async function tasks(f) {
  const swarm = "live-js-" + uuid7().slice(-12),
    body = Buffer.from(JSON.stringify({ id: swarm, skills: ["js"], members: [], why: "live check" }));
  const { status } = await f.wire.call("POST", "/v1/swarms", { body });
  const make = (id, more) => f.createTask({ id, type: "job", swarm, needs: ["js"], why: "live check", ...more });
  const [a, b] = [await make(swarm + ".a", { payload: { n: "café" }, priority: "P0" }), await make(swarm + ".b", { maxAttempts: 2 })];
  check(status === 201 && a.state === "queued" && b.entry.index > a.entry.index, "tasks are made");
  check((await codeOf(make(swarm + ".a"))) === "409", "an id is taken once");
  const seen = [];
  for await (const task of f.nextTask({ swarm, wait: 3, lease: 1.5 })) {
    seen.push(`${task.id.slice(-1)}${task.attempt}`);
    if (task.payload) check(task.payload.n === "café" && task.fence === task.entry.index, "a task comes with its payload and fence");
    if (task.payload) await new Promise((resolve) => setTimeout(resolve, 2000)); /* longer than the lease */
    if (task.payload) check((await task.progress(50, "half")).percent === 50 && task.open, "its lease was renewed meanwhile");
    await task.run(() => (task.attempt === 1 && !task.payload ? Promise.reject(new Error("not yet")) : { ok: true })).catch(() => {});
  }
  check(seen.join() === "a1,b1,b2", `completed, failed, tried again (${seen})`);
  const ended = await f.wire.get(`/v1/tasks/${swarm}.b`);
  check(ended.state === "done", "what was completed is done");
  await make(swarm + ".c");
  for await (const task of f.nextTask({ swarm, wait: 1, lease: 60 })) {
    await f.wire.call("POST", `/v1/tasks/${task.id}/cancel`, { body: Buffer.from('{"why":"live check"}') });
    const lost = await task.complete(1).catch((e) => e);
    check(lost instanceof Error && lost.name !== "TypeError", `the result of a cancelled task is refused (${lost.message})`);
    break;
  }
}

async function main() {
  const to = process.env.IFAB_TO ?? "Demo.B",
    name = process.env.IFAB_AS.split("/")[0];
  const f = await Fabric.context({ talent: `${name}/live-js` }),
    vkey = process.env.IFAB_VKEY ?? (await f.fabric()).vkey;
  const claim = `live check ${uuid7()}`,
    scope = { check: "live" },
    data = { n: 1e-7, text: "café 東京 🚀", "\u20ac": [9007199254740991, 333333333.3333333] };
  const evidence = [{ type: "web", url: "https://example.org/a", hash: "sha256:" + "a5".repeat(32) }];
  const receipt = await f.send(claim, { confidence: 0.9, to, scope, evidence, data });
  check(receipt.shared, `a complete claim is shared (${receipt.decision}: ${receipt.reason})`);
  const entry = await verify(receipt, vkey, { envelope: receipt.envelope });
  check(entry.subject === receipt.id, `its receipt verifies offline (entry ${entry.index})`);
  check(await noticed(receipt, vkey, { envelope: { ...receipt.envelope, content: { claim: "other" } } }), "another message is noticed");
  await sameVerdicts(receipt, vkey);
  if (f.wire.isUnix) check((await f.receipt(receipt.id)).message_digest === receipt.message_digest, "the receipt can be read again");

  check((await f.send("hardly believed", { confidence: 0.25, to, scope })).held, "low confidence is held");
  check((await f.send("not believed", { confidence: 0.1, to, scope })).escalated, "lower confidence is escalated");
  check((await f.send("danger", { confidence: 0.9, to, scope, hazards: ["safety"] })).escalated, "a safety hazard is escalated");
  check((await f.send("still open", { confidence: 0.1, to, scope, wait: 1 })).escalated, "waiting ends in time with the open receipt");
  const denied = await f.send("a secret", { confidence: 0.9, to, scope, data: { password: "hunter2-hunter2-hunter2" } });
  check(denied.denied, `a secret is denied, which is a value (${denied.decision}: ${denied.reason})`);
  await verify(denied, vkey);

  const { id } = receipt,
    body = JSON.stringify(receipt.envelope),
    again = await f.sendBytes(id, body);
  check(again.replayed && again.entry.index === receipt.entry.index, "the same message again gives the first receipt"); /* INV-03 */
  const bare = await f.wire.call("POST", "/v1/messages", { body: Buffer.from(body) });
  check(bare.status === 409 && bare.value.error.code === "IF_ERR_103", "without its key it is a replay: 103");
  const changed = JSON.stringify({ ...receipt.envelope, content: { claim: "forged" } });
  check((await codeOf(f.sendBytes(id, changed))) === "001", "changed bytes are 001"); /* INV-01 */
  const { signature: _, ...draft } = receipt.envelope,
    signer = await makeSigner(new Uint8Array(32).fill(9));
  const foreign = await sign({ ...draft, id: "msg-" + uuid7() }, signer);
  check((await codeOf(f.sendBytes(foreign.envelope.id, foreign.body))) === "001", "another key's signature is 001"); /* INV-02 */
  const stranger = await Fabric.context({ talent: "Nobody.Here", key: process.env.IFAB_KEY });
  check((await codeOf(stranger.send("x", { confidence: 0.9, scope }))) === "106", "an unknown sender is 106");
  const late = new Date(Date.now() + 3600e3).toISOString(),
    RealDate = Date;
  globalThis.Date = class extends RealDate {
    toISOString() {
      return late;
    }
  };
  check((await codeOf(f.send("from the future", { confidence: 0.9, scope }))) === "107", "a message from the future is 107");
  globalThis.Date = RealDate;

  const spent = await f.cost({ usdMicro: 5, operation: "live-js", trace: receipt.trace });
  check(spent.cost.usd_micro === 5 && spent.entry.index > 0 && spent.over.length === 0, "a cost is recorded");
  check((await codeOf(f.cost({ tokensIn: 5, model: "no-such-model" }))) === "208", "and refused where no price holds");

  await encryptedKey(`${name}/live-js`);
  if (f.wire.isUnix) {
    await tasks(f);
    const inbox = await Fabric.context({ talent: to });
    let found = [],
      after;
    for (let page; !found.length && (page = await inbox.inbox({ after, wait: 2 })).length; after = page.at(-1).cursor)
      found = page.filter((m) => m.claim === claim);
    check(found.length === 1 && found[0].decision === "SHARE", "the receiver finds it once in the inbox");
    await found[0].check(receipt.envelope.signature.pubkey);
    await oneNameThreeTimes(`${name}/live-js-shared`);
    check(
      JSON.stringify(found[0].data.n) === "1e-7" && found[0].data.text === data.text,
      "and its signature is good under the sender's key",
    );
  } else console.log("# inbox not run: over TCP it needs the receiver's token");
  console.log(`1..${count}`);
  process.exitCode = failed ? 1 : 0;
}

if (!process.env.IFAB_AS) console.log("1..0 # SKIP no fabric named: set IFAB_ENDPOINT, IFAB_AS, IFAB_KEY");
else await main();
