/* Capabilities against a false fabric: what is asked, what comes back, what is unknown after a lost answer. */
import assert from "node:assert/strict";
import http from "node:http";
import os from "node:os";
import path from "node:path";
import test from "node:test";
import { Fabric, OutcomeUnknown, Refused } from "../src/node.js";
import { AGENT } from "./support.mjs";

const place = { log: "main", index: 9, hash: "sha256:00" };
const error = (code) => ({ error: { code: `IF_ERR_${code}`, name: "N", message: "m", hint: "h" } });
const hash = "sha256:" + "0".repeat(64);
const plan = { plan_id: "plan-1", plan_hash: hash, capability: "if://capability/vmix.switcher@1.0.0", operation: "cut", decision: "SHARE", approval: { state: "not needed" }, entry: place };
const receipt = { entry: place, fuel: 7, intent: 8, result: { on: true } };

async function start(t, answers = {}) {
  const asked = [],
    rows = { plan: [[201, plan]], apply: [[200, receipt]], ...answers },
    name = path.join(os.tmpdir(), `ifab-js-cap-${process.pid}-${Math.random()}`);
  const server = http.createServer(async (request, response) => {
    const parts = [];
    for await (const p of request) parts.push(p);
    const text = Buffer.concat(parts).toString(),
      verb = request.url.split("?")[0].split("/").at(-1);
    asked.push({ verb, url: request.url, key: request.headers["idempotency-key"], body: text ? JSON.parse(text) : undefined });
    const all = rows[verb] ?? [[404, error("404")]],
      row = all.length > 1 ? all.shift() : all[0];
    if (row === "drop") return request.socket.destroy();
    return response.writeHead(row[0]).end(JSON.stringify(row[1]));
  });
  await new Promise((resolve) => server.listen(name, resolve));
  t.after(() => (server.closeAllConnections(), server.close()));
  const fabric = new Fabric({ endpoint: "unix:" + name, talent: "Demo.A", key: AGENT.seed, token: "ift_x", delays: [1] });
  return { c: fabric.capability("if://capability/vmix.switcher"), of: (verb) => asked.filter((a) => a.verb === verb) };
}

test("planned and done once", async (t) => {
  const { c, of } = await start(t);
  const done = await c.apply("cut", { input: 2 }, { why: "show" });
  assert.ok(done.done && done.receipt.fuel === 7);
  assert.deepEqual(of("plan")[0].body, { operation: "cut", params: { input: 2 }, why: "show" });
  assert.equal(of("plan")[0].url, "/v1/capabilities/vmix.switcher/plan");
  assert.deepEqual(of("apply").map((a) => a.body), [{ plan_hash: hash }]);
});

test("a lost plan is asked again under its key, a lost apply never", async (t) => {
  const { c, of } = await start(t, { plan: ["drop", [201, plan]], apply: ["drop"] });
  await assert.rejects(c.apply("cut", {}, { why: "w" }), (e) => e instanceof OutcomeUnknown && e.id === "plan-1");
  assert.equal(of("plan").length, 2);
  assert.equal(of("plan")[0].key, of("plan")[1].key);
  assert.equal(of("apply").length, 1);
});

test("a failure comes with its receipt, a refusal without", async (t) => {
  const { c } = await start(t, { apply: [[503, { ...receipt, ...error("503") }]] });
  await assert.rejects(c.apply("cut", {}, { why: "w" }), (e) => e instanceof Refused && e.code === "503" && e.receipt.intent === 8);
  const other = await start(t, { plan: [[403, error("205")]] });
  await assert.rejects(other.c.apply("cut", {}, { why: "w" }), (e) => e instanceof Refused && e.code === "205");
  assert.equal(other.of("apply").length, 0);
});

test("denied is a value; what was approved goes on, what was refused does not", async (t) => {
  const denied = await start(t, { plan: [[403, { decision: "DENY", reason: "no", entry: place }]] });
  assert.deepEqual((await denied.c.apply("cut", {}, { why: "w" })).decision, "DENY");
  assert.equal(denied.of("apply").length, 0);
  const approved = await start(t, { [hash]: [[200, { ...plan, approval: { state: "approved" } }]] });
  assert.ok((await approved.c.apply(undefined, {}, { plan })).done);
  const refused = await start(t, { [hash]: [[200, { ...plan, approval: { state: "denied" } }]] });
  assert.deepEqual(await refused.c.apply(undefined, {}, { plan }).then((o) => [o.done, o.decision]), [false, "DENY"]);
  assert.equal(refused.of("apply").length, 0);
});
