/*
 * The package over TLS against a fabric of its own: whom it trusts, enrolment, tokens, client certificates. Prints TAP; started by live_tls.py with
 *   IFAB_AT=https://HOST:PORT TLS_DIR (ca.pem foreign.pem mine.crt mine.key other.crt other.key token code second-code) and TLS_VKEY
 */
import { existsSync, readFileSync, statSync } from "node:fs";
import path from "node:path";
import { Fabric, Refused, Unreachable, verify } from "../src/node.js";

const { IFAB_AT: at, TLS_DIR: dir, TLS_VKEY: vkey } = process.env;
const file = (name) => path.join(dir, name);
let count = 0,
  failed = 0;
function check(condition, name) {
  if (!condition) failed++;
  console.log(`${condition ? "ok" : "not ok"} ${++count} - ${name}`);
}
const outcome = (promise) =>
  promise.then(
    (v) => v,
    (e) => e,
  );
const code = readFileSync(file("code"), "utf8").trim(),
  token = readFileSync(file("token"), "utf8").trim(),
  ca = file("ca.pem"),
  key = file("js.pem"),
  passphrase = "a passphrase";

for (const [what, options] of [
  ["a foreign authority", { endpoint: at, ca: file("foreign.pem") }],
  ["another name", { endpoint: at.replace("127.0.0.1", "localhost"), ca }],
  ["the system's authorities", { endpoint: at }],
]) {
  const e = await outcome(Fabric.enroll(code, { ...options, key }));
  check(e instanceof Unreachable && !existsSync(key), `${what}: nothing is sent and no key made (${e.cause?.code})`);
  const sent = await outcome(new Fabric({ ...options, talent: "Js", key: new Uint8Array(32), retries: 0 }).send("x", { proof: false }));
  check(sent instanceof Unreachable, `${what}: a message is known not to be sent (${sent.constructor.name})`);
}
const me = await Fabric.enroll(code.toLowerCase(), { endpoint: at, ca, key, passphrase: () => passphrase });
check(me.talent === "Js" && (statSync(key).mode & 0o777) === 0o600, "enrolled, the key is 0600");
check(readFileSync(key, "ascii").startsWith("-----BEGIN ENCRYPTED PRIVATE KEY-----"), "and encrypted");
const receipt = await me.send("over tls", { confidence: 0.9, scope: { a: 1 } });
check(receipt.shared && (await verify(receipt, vkey, { envelope: receipt.envelope })), "a message over TLS");
const again = await outcome(Fabric.enroll(code, { endpoint: at, ca, key, passphrase }));
check(again instanceof Refused && again.code === "003", "a code works once");
const wrong = await outcome(Fabric.enroll(code, { endpoint: at, ca, key, passphrase: "another" }));
check(/wrong passphrase/.test(wrong.message), "the key that is there is not written over");
for (const bad of ["", "AAAA", code.replace(/./, "1")]) {
  const e = await outcome(Fabric.enroll(bad, { endpoint: at, ca, key, passphrase }));
  check(e instanceof TypeError, `"${bad.slice(0, 9)}" is no code`);
}
process.env.IFAB_DIR = file("own");
const own = await Fabric.enroll(readFileSync(file("second-code"), "utf8").trim(), { endpoint: at, ca });
check(own.talent === "Js.Own" && existsSync(path.join(file("own"), "keys", "Js.Own.pem")), "the key's default place is DIR/keys/NAME.pem");
check((await (await Fabric.context({ endpoint: at, ca, talent: "Js.Own" })).send("x", { scope: { a: 1 }, confidence: 0.9 })).shared, "and it is found there");
delete process.env.IFAB_DIR;

const shown = (name) => ({ cert: file(`${name}.crt`), certKey: file(`${name}.key`) });
for (const [what, proof, good] of [
  ["a token", { token }, true],
  ["a certificate", shown("mine"), true],
  ["both", { token, ...shown("mine") }, true],
  ["neither", {}, false],
  ["a certificate that is not enrolled", shown("other"), false],
  ["a token under that", { token, ...shown("other") }, false],
]) {
  const got = await outcome(new Fabric({ endpoint: at, ca, talent: "Py", key, passphrase, ...proof }).inbox());
  check(good ? Array.isArray(got) : got instanceof Refused && got.code === "002", `inbox with ${what}`);
}
/* by environment and context; what the context holds goes nowhere else */
process.env.XDG_CONFIG_HOME = dir;
const found = await outcome((await Fabric.context({ talent: "Py", key, passphrase })).inbox());
check(Array.isArray(found), "inbox by the context's certificate");
const elsewhere = await outcome((await Fabric.context({ endpoint: at.replace("127.0.0.1", "localhost"), talent: "Py", key, passphrase })).inbox());
check(elsewhere instanceof Unreachable && elsewhere.cause.code === "DEPTH_ZERO_SELF_SIGNED_CERT", "its authority is not another endpoint's");
process.env.IFAB_CA = ca;
const refused = await outcome((await Fabric.context({ endpoint: at + "/", talent: "Py", key, passphrase })).inbox());
check(refused instanceof Refused && refused.code === "002", "nor its certificate shown to one of another name");
console.log(`1..${count}`);
process.exit(failed ? 1 : 0);
