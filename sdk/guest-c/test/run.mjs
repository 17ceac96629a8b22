// run.mjs DIR [rust]: runs DIR/*.wasm as the fabric would. One line "ok …" a test; ends with 1 at the first that fails.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

const [dir, only] = process.argv.slice(2);
const text = new TextDecoder("utf-8", { fatal: true });
const bytes = (s) => new TextEncoder().encode(s);
const module = (name) => new WebAssembly.Module(readFileSync(`${dir}/${name}.wasm`));

// One call in a fresh instance, imports answered by `host`: a string is bytes, a BigInt the answer itself.
function call(mod, name, input, host = {}) {
  let instance;
  const memory = () => new Uint8Array(instance.exports.memory.buffer);
  const read = (ptr, len) => text.decode(memory().slice(ptr >>> 0, (ptr >>> 0) + (len >>> 0)));
  const give = (s) => {
    const b = bytes(s);
    const at = instance.exports.if_alloc(b.length) >>> 0;
    assert(at > 0 && at + b.length <= memory().length);
    memory().set(b, at);
    return (BigInt(at) << 32n) | BigInt(b.length);
  };
  const answer = (a) => (typeof a === "string" ? give(a) : a);
  const imports = {
    log: (level, ptr, len) => void host.log?.(level, read(ptr, len)),
    http: (ptr, len) => answer(host.http(JSON.parse(read(ptr, len)))),
    secret_ref: (ptr, len) => answer(host.secret_ref(read(ptr, len))),
    kv_get: (ptr, len) => answer(host.kv_get(read(ptr, len))),
    kv_put: (k, kl, v, vl) => host.kv_put(read(k, kl), read(v, vl)),
    now: () => answer(host.now()),
    random: (ptr, len) => host.random(memory().subarray(ptr, ptr + len)),
  };
  instance = new WebAssembly.Instance(mod, { if: imports });
  const packed = give(JSON.stringify(input));
  const out = BigInt.asUintN(64, instance.exports[name](Number(packed >> 32n), Number(packed & 0xffffffffn)));
  return JSON.parse(read(Number(out >> 32n), Number(out & 0xffffffffn)));
}

const input = (operation, params = {}) => ({ operation, params, context: { config: { url: "https://lamp.example" } } });

function lamp(name) {
  const seen = {};
  const host = {
    log: (level, message) => (seen.log = [level, message]),
    secret_ref: (secret) => `handle of ${secret}`,
    http: (request) => ((seen.request = request), JSON.stringify({ status: 200, headers: {}, body: '{"on":true}' })),
    kv_put: (key, value) => ((seen.kv = [key, value]), 0),
  };
  const mod = module(name);
  assert.deepEqual(call(mod, "if_plan", input("switch", { on: true })), {
    summary: "switch the lamp on",
    effects: [{ type: "http.post", target: "https://lamp.example/state" }],
  });
  assert.deepEqual(call(mod, "if_apply", input("switch", { on: true }), host), { result: { on: true } });
  assert.equal(seen.request.secret, "handle of lamp");
  assert.deepEqual(JSON.parse(seen.request.body), { on: true });
  assert.deepEqual(seen.kv, ["last", "on"]);
  assert.deepEqual(seen.log, [1, "the lamp answered"]);
  assert.deepEqual(call(mod, "if_health", input("health")), { result: null });
  assert.equal(call(mod, "if_apply", input("switch"), { ...host, http: () => -5n }).error.kind, "transient");
  assert.equal(call(mod, "if_apply", input("explode"), host).error.kind, "caller");
  console.log(`ok ${name} plans, applies and is healthy`);
}

if (only) {
  lamp(only);
} else {
  const exported = ["memory", "if_alloc", "if_free", "if_plan", "if_apply", "if_health"];
  assert.deepEqual(WebAssembly.Module.exports(module("lamp")).map((e) => e.name).sort(), exported.sort());
  assert.deepEqual(WebAssembly.Module.imports(module("lamp")).map((i) => `${i.module}.${i.name}`).sort(), ["if.http", "if.kv_put", "if.log", "if.secret_ref"]);
  assert.deepEqual(WebAssembly.Module.imports(module("empty")), []);
  console.log("ok a module exports the ABI and imports only what it uses");
  lamp("lamp");
  assert.deepEqual(call(module("deep"), "if_apply", input("x", { depth: 10 })), { result: 0 });
  assert.throws(() => call(module("deep"), "if_apply", input("x")), WebAssembly.RuntimeError);
  console.log("ok a stack that overflows traps before it reaches data");
  assert.throws(() => call(module("deep"), "if_health", input("health")), WebAssembly.RuntimeError);
  assert.throws(() => call(module("deep"), "if_plan", input("x")), WebAssembly.RuntimeError);
  console.log("ok no memory, and a pointer that is no block, trap");
  assert.deepEqual(call(module("empty"), "if_apply", input("x")), { error: { kind: "provider", message: "the guest wrote no whole answer" } });
  assert.deepEqual(call(module("empty"), "if_health", input("health")), { result: null });
  assert.deepEqual(call(module("empty"), "if_plan", input("x")), { summary: "nothing", effects: [] });
  console.log("ok a guest that writes no answer is told so");
}
