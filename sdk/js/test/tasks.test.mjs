/* Tasks against a false fabric that plays the daemon's part: claims, renewals, endings, a fabric that goes away. */
import assert from "node:assert/strict";
import http from "node:http";
import os from "node:os";
import path from "node:path";
import test from "node:test";
import { Fabric, OutcomeUnknown, Refused, TaskLost } from "../src/node.js";
import { AGENT } from "./support.mjs";

const error = (code, more) => ({ error: { code: `IF_ERR_${code}`, name: "N", message: "m", hint: "h", ...more } });
const place = { log: "main", index: 9, hash: "sha256:00" };
const given = (id, more) => [200, { fence: 7, entry: place, task: { id, type: "job", attempt: 1, payload: { n: 1 }, ...more } }];
const none = [204, ""];
const done = [200, { entry: place, state: "x" }];

/* answers: verb -> rows, the last for all further requests; [status, body], "drop", "hang" (no answer, ever). */
async function start(t, answers, options = {}) {
  const asked = [],
    waiting = [],
    name = path.join(os.tmpdir(), `ifab-js-tasks-${process.pid}-${Math.random()}`);
  const server = http.createServer(async (request, response) => {
    const parts = [];
    for await (const p of request) parts.push(p);
    const verb = request.url.split("/").at(-1),
      body = JSON.parse(Buffer.concat(parts).toString());
    asked.push({ url: request.url, verb, body, key: request.headers["idempotency-key"] });
    for (const look of [...waiting]) look();
    const rows = answers[verb] ?? [done],
      row = rows.length > 1 ? rows.shift() : rows[0];
    if (row === "drop") return request.socket.destroy();
    if (row === "hang") return undefined;
    return response.writeHead(row[0]).end(row[1] === "" ? undefined : JSON.stringify(row[1]));
  });
  await new Promise((resolve) => server.listen(name, resolve));
  t.after(() => (server.closeAllConnections(), server.close()));
  const fabric = new Fabric({ endpoint: "unix:" + name, talent: "Demo.A", key: AGENT.seed, delays: [1], ...options });
  const of = (verb) => asked.filter((a) => a.verb === verb);
  const until = (true_) =>
    new Promise((resolve) => {
      const look = () => true_() && (waiting.splice(waiting.indexOf(look), 1), resolve());
      waiting.push(look);
      look();
    });
  return { fabric, asked, of, until, server };
}
const aborted = (signal) => new Promise((resolve) => (signal.aborted ? resolve() : signal.addEventListener("abort", resolve)));

test("tasks come one after the other and are completed with result and cost", async (t) => {
  const { fabric, of } = await start(t, { claim: [none, given("a"), given("b"), none] });
  const seen = [];
  for await (const task of fabric.nextTask({ swarm: "data", skills: ["sql"], wait: 0.2, lease: 5 })) {
    seen.push([task.id, task.payload.n, task.fence, task.entry.index]);
    await task.progress(50, "half");
    const value = await task.complete({ rows: 3 }, { cost: { usdMicro: 5, tokensIn: 2, model: "m" } });
    assert.equal(value.entry.index, 9);
    assert.ok(!task.open);
    await assert.rejects(task.complete(), TypeError);
  }
  assert.deepEqual(seen, [
    ["a", 1, 7, 9],
    ["b", 1, 7, 9],
  ]);
  const [first] = of("claim");
  assert.deepEqual([first.body.swarm, first.body.skills, first.body.lease_ms, first.key], ["data", ["sql"], 5000, undefined]);
  assert.ok(first.body.wait_ms > 0 && first.body.wait_ms <= 200);
  assert.deepEqual(of("progress")[0].body, { fence: 7, percent: 50, note: "half" });
  assert.deepEqual(of("complete")[0].body, { fence: 7, result: { rows: 3 }, cost: { usd_micro: 5, tokens_in: 2, model: "m" } });
  assert.equal(of("complete").length, 2);
  assert.equal(of("fail").length, 0);
});

test("a claim goes on over lost answers; a refusal ends it", async (t) => {
  const { fabric, of } = await start(t, { claim: ["drop", [503, error(304, { retryable: true, retry_after_ms: 1 })], given("a"), [403, error("003")]] });
  const got = [];
  await assert.rejects(
    async () => {
      for await (const task of fabric.nextTask({ swarm: "data" })) got.push(task.id), await task.complete();
    },
    (e) => e instanceof Refused && e.code === "003",
  );
  assert.deepEqual([got, of("claim").length], [["a"], 4]);
});

test("a budget without room is waited for, and told when waiting ends so", async (t) => {
  const { fabric, of } = await start(t, { claim: [[402, error(301)], given("a"), [402, error(301)]] });
  const got = [];
  await assert.rejects(
    async () => {
      for await (const task of fabric.nextTask({ swarm: "data", wait: 0.05 })) got.push(task.id), await task.complete();
    },
    (e) => e instanceof Refused && e.code === "301",
  );
  assert.deepEqual([got, of("claim").length >= 4], [["a"], true]);
});

test("the loop that waits in vain says when that is because no fabric answers", async (t) => {
  const { fabric } = await start(t, { claim: ["drop"] });
  await assert.rejects(fabric.nextTask({ swarm: "data", wait: 0 }).next(), (e) => e.name === "Lost");
});

test("a lease is renewed until the task is ended, and no longer", async (t) => {
  const { fabric, of, until } = await start(t, { claim: [given("a"), none] });
  for await (const task of fabric.nextTask({ swarm: "data", wait: 0, lease: 1.5 })) {
    await until(() => of("renew").length >= 3);
    assert.ok(task.open);
    await task.complete();
  }
  const count = of("renew").length;
  assert.deepEqual(of("renew")[0].body, { fence: 7, lease_ms: 1500 });
  await new Promise((resolve) => setTimeout(resolve, 700));
  assert.equal(of("renew").length, count);
});

test("a stale fence tells the consumer, and nothing more is done to the task", async (t) => {
  const { fabric, of } = await start(t, { claim: [given("a"), none], renew: [[409, error(603)]] });
  for await (const task of fabric.nextTask({ swarm: "data", wait: 0, lease: 1.5 })) {
    await aborted(task.signal);
    assert.ok(task.signal.reason instanceof TaskLost && task.signal.reason.id === "a" && task.signal.reason.cause.code === "603");
    assert.ok(!task.open);
    await assert.rejects(task.complete(1), TaskLost);
    await assert.rejects(task.progress(1), TaskLost);
  }
  assert.deepEqual([of("renew").length, of("complete").length, of("progress").length, of("fail").length], [1, 0, 0, 0]);
});

test("renewals that are lost are tried again; when the lease is over the task is", async (t) => {
  const { fabric, of } = await start(t, { claim: [given("a"), given("b"), none], renew: ["drop", [503, error(304, { retryable: true })], done, "hang"] });
  const seen = [];
  for await (const task of fabric.nextTask({ swarm: "data", wait: 0, lease: 0.9 })) {
    await aborted(task.signal);
    seen.push(of("renew").length);
    assert.match(task.signal.reason.message, /lease is over/);
  }
  assert.ok(seen[0] >= 4, "dropped, refused, renewed, hung");
  assert.equal(of("fail").length, 0);
});

test("an ending that is lost is asked for again with its key; one too late is told", async (t) => {
  const { fabric, of } = await start(t, { claim: [given("a"), given("b"), given("c"), none], complete: ["drop", "drop", done, [409, error(603)], "drop"] }, { retries: 3 });
  const told = [];
  for await (const task of fabric.nextTask({ swarm: "data", wait: 0, lease: 60 })) await task.complete(1).catch((e) => told.push(e));
  const keys = of("complete").map((c) => c.key);
  assert.deepEqual(new Set(keys.slice(0, 3)).size, 1);
  assert.match(keys[0], /^task-/);
  assert.ok(told[0] instanceof TaskLost && told[1] instanceof OutcomeUnknown);
  assert.equal(told.length, 2);
  assert.equal(new Set(keys).size, 3);
});

test("what a loop leaves open is given back: never in silence", async (t) => {
  const { fabric, of } = await start(t, { claim: [given("a"), none] });
  for await (const _ of fabric.nextTask({ swarm: "data", wait: 0, lease: 60 })); /* forgets to complete */
  assert.deepEqual(of("fail")[0].body, { fence: 7, kind: "transient", error: "the worker ended without completing it" });
});

test("an exception in the body fails the task as transient and goes on to the caller", async (t) => {
  const { fabric, of } = await start(t, { claim: [given("a")] });
  await assert.rejects(async () => {
    for await (const _ of fabric.nextTask({ swarm: "data", lease: 60 })) throw new Error("broken");
  }, /broken/);
  assert.equal(of("fail")[0].body.kind, "transient");
  assert.equal(of("claim").length, 1);
});

test("run completes with the result, fails with the reason, and leaves alone what the work has ended", async (t) => {
  const { fabric, of } = await start(t, { claim: [given("a"), given("b"), given("c"), none] });
  const told = [];
  for await (const task of fabric.nextTask({ swarm: "data", wait: 0, lease: 60 }))
    await task
      .run(async ({ id, fail }) => {
        if (id === "a") return { ok: 1 };
        if (id === "c") throw new Error("käse\n" + "x".repeat(5000));
        assert.equal(typeof fail, "function");
        await task.fail("bad", { kind: "poison", cost: { calls: 1 } });
        return 1;
      })
      .catch((e) => told.push(e.message.slice(0, 4)));
  assert.deepEqual(
    of("complete").map((c) => c.body),
    [{ fence: 7, result: { ok: 1 } }],
  );
  assert.deepEqual(of("fail")[0].body, { fence: 7, kind: "poison", error: "bad", cost: { calls: 1 } });
  assert.equal(of("fail")[1].body.kind, "transient");
  assert.match(of("fail")[1].body.error, /^käse x+$/);
  assert.ok(Buffer.byteLength(of("fail")[1].body.error) <= 1024);
  assert.deepEqual(told, ["käse"]);
});

test("an aborted signal gives the task back as shutdown, and ends the waiting for the next", async (t) => {
  const { fabric, of, until } = await start(t, { claim: [given("a"), "hang"] });
  const going = new AbortController();
  for await (const _ of fabric.nextTask({ swarm: "data", lease: 60, signal: going.signal })) going.abort();
  assert.deepEqual([of("fail")[0].body.kind, of("claim").length], ["shutdown", 1]);
  const later = new AbortController(),
    waiting = fabric.nextTask({ swarm: "data", lease: 60, signal: later.signal }).next();
  await until(() => of("claim").length === 2);
  later.abort();
  assert.deepEqual(await waiting, { done: true, value: undefined });
});

test("a blocked task stays in hand and is renewed", async (t) => {
  const { fabric, of, until } = await start(t, { claim: [given("a"), none] });
  for await (const task of fabric.nextTask({ swarm: "data", wait: 0, lease: 1.5 })) {
    await task.block(["rust"], "who knows");
    await until(() => of("renew").length >= 1);
    await task.complete();
  }
  assert.deepEqual(of("block")[0].body, { fence: 7, needs: ["rust"], note: "who knows" });
});

test("createTask says what the fabric understands, once", async (t) => {
  const { fabric, asked } = await start(t, { tasks: ["drop", [201, { id: "t", entry: place }]] });
  const when = new Date("2030-01-02T03:04:05.006Z");
  const made = await fabric.createTask({
    type: "job",
    why: "w",
    needs: ["sql"],
    priority: "P1",
    dependsOn: ["x"],
    maxAttempts: 2,
    notBefore: when,
    budget: { usdMicro: 5, tokens: 6 },
    payload: { a: [1] },
  });
  assert.equal(made.id, "t");
  assert.deepEqual([asked.length, asked[0].key, asked[0].url], [2, asked[1].key, "/v1/tasks"]);
  assert.deepEqual(asked[1].body, {
    type: "job",
    why: "w",
    needs: ["sql"],
    priority: "P1",
    depends_on: ["x"],
    max_attempts: 2,
    not_before: "2030-01-02T03:04:05.006Z",
    budget: { usd_micro: 5, tokens: 6 },
    payload: { a: [1] },
  });
  await assert.rejects(fabric.createTask({ type: "job", why: "w", need: ["sql"] }), /no need/);
  for (const bad of [0.5, -1, NaN, "5"])
    for (const name of ["usdMicro", "tokens", "calls"])
      await assert.rejects(fabric.createTask({ type: "job", why: "w", budget: { [name]: bad } }), TypeError);
  assert.equal(asked.length, 2);
});
