/* What a browser loads names nothing of Node; its transport keeps the sending rules. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";
import { Fabric, OutcomeUnknown } from "../src/browser.js";
import { AGENT, FalseFabric } from "./support.mjs";

const src = path.join(path.dirname(fileURLToPath(import.meta.url)), "..", "src");

test("the browser's modules import nothing of Node", () => {
  const seen = new Set(),
    todo = ["browser.js"];
  for (let file; (file = todo.pop()); ) {
    if (seen.has(file)) continue;
    seen.add(file);
    const text = readFileSync(path.join(src, file), "utf8");
    for (const [, name] of text.matchAll(/^(?:import|export)\b[^;]*?from "([^"]+)";/gm)) {
      if (name.startsWith("./")) todo.push(name.slice(2));
      else assert.ok(["canonicalize", "@noble/ed25519"].includes(name), `${file} imports ${name}`);
    }
    assert.doesNotMatch(text, /\b(process|Buffer|require)\b\s*[.(]/, file);
  }
  assert.ok(seen.size >= 9 && !seen.has("node.js") && !seen.has("context.js"), [...seen].join());
});

async function start(t, script, options) {
  const server = new FalseFabric(script);
  await new Promise((resolve) => server.server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  return {
    server,
    fabric: new Fabric({
      endpoint: `http://127.0.0.1:${server.server.address().port}`,
      talent: "Demo.A",
      key: AGENT.seed,
      delays: [1],
      ...options,
    }),
  };
}

test("fetch: a lost answer, a redirect, a hang: the same bytes again", async (t) => {
  const { server, fabric } = await start(t, ["drop", "hang", [200, "{"], [200, { decision: "SHARE" }, "replayed"]], { timeout: 0.2 });
  const receipt = await fabric.send("x", { confidence: 0.9 });
  assert.ok(receipt.shared && receipt.replayed);
  assert.equal(server.posts.length, 4);
  assert.equal(new Set(server.posts.map(String)).size, 1);
  assert.equal((await fabric.inbox())[0].claim, "hello");
  assert.doesNotMatch(server.gets.at(-1), /as=/); /* over TCP a token says who asks */
});

test("fetch: nobody there is an unknown outcome, with the bytes to go on", async () => {
  const fabric = new Fabric({
    endpoint: "http://127.0.0.1:9",
    talent: "Demo.A",
    key: AGENT.private.export({ type: "pkcs8", format: "pem" }),
    retries: 1,
    delays: [1],
  });
  await assert.rejects(fabric.send("x"), (e) => e instanceof OutcomeUnknown && JSON.parse(new TextDecoder().decode(e.body)).id === e.id);
});

test("index.d.ts names what the package exports", async () => {
  const types = readFileSync(path.join(src, "..", "index.d.ts"), "utf8"),
    named = [...types.matchAll(/^export (?:class|function) (\w+)/gm)].map((m) => m[1]);
  for (const entry of ["node.js", "browser.js"]) {
    const exported = Object.keys(await import(path.join(src, entry))).filter((name) => name !== "default");
    assert.deepEqual(exported.sort(), [...new Set(named)].sort(), entry);
  }
});
