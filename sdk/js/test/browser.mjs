/*
 * The package in a real browser, as it stands (no bundler): vectors, hostile receipts, a message from a page to a fabric. Prints TAP.
 *   IFAB_ENDPOINT=unix:PATH IFAB_AS=Demo.A IFAB_KEY=a.pem [IFAB_TO=Demo.B] [IFAB_CHROMIUM=/usr/bin/chromium] node browser.mjs
 * The page is served by this program, which hands /v1 on to the fabric's socket, as an operator's own web server would.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import http from "node:http";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { AGENT, makeReceipt, makeVkey, readVectors, tmp } from "./support.mjs";

const top = path.join(path.dirname(fileURLToPath(import.meta.url)), "..");
const { IFAB_ENDPOINT = "", IFAB_AS, IFAB_KEY, IFAB_TO = "Demo.B", IFAB_CHROMIUM = "/usr/bin/chromium" } = process.env;
const imports = {
  infrafabric: "/src/browser.js",
  "@noble/ed25519": "/node_modules/@noble/ed25519/index.js",
  canonicalize: "/node_modules/canonicalize/lib/canonicalize.js",
};

/* Runs in the page. Everything it needs comes in as one value; it answers with [[good, name], …]. */
async function inPage(job) {
  const { check, Fabric, readEnvelope, signedBytes, verify, verifySignature, VerifyError } = await import("infrafabric");
  const out = [],
    hex = (text) => Uint8Array.from(text.match(/../g) ?? [], (h) => parseInt(h, 16)),
    says = (good, name) => out.push([Boolean(good), name]);
  const refused = (promise, kind = VerifyError) =>
    promise.then(
      () => false,
      (e) => e instanceof kind,
    );
  let same = 0;
  for (const c of job.good.cases) {
    const message = readEnvelope(c.envelope);
    await check(message, message.signature.pubkey);
    same += btoa(String.fromCharCode(...signedBytes(message))) === c.signed_bytes_base64;
  }
  says(same === job.good.cases.length && same > 10, "signed bytes are those of the vectors");
  const accepted = [];
  for (const [i, c] of job.speccheck.entries())
    if (await verifySignature(hex(c.signature), hex(c.message), hex(c.pub_key))) accepted.push(i);
  says(accepted.join() === "3", "Ed25519: the verdicts of the fabric, small-order keys refused");
  says((await verify(job.receipt, job.vkey)).index === 3, "a receipt verifies");
  const text = JSON.stringify(job.receipt);
  says(
    (await refused(verify({ ...job.receipt, decision: "DENY" }, job.vkey))) &&
      (await refused(verify(text.replace("{", '{"decision":"DENY",'), job.vkey))),
    "a changed one does not",
  );

  const pair = await crypto.subtle.generateKey("Ed25519", false, ["sign", "verify"]).catch(() => undefined);
  if (pair) {
    const key = {
      pub: new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey)),
      sign: (bytes) => crypto.subtle.sign("Ed25519", pair.privateKey, bytes),
    };
    const e = await new Fabric({ endpoint: location.origin, talent: job.talent, key })
      .send("x", { confidence: 0.9, scope: { a: 1 } })
      .catch((error) => error);
    says(e.code === "001", `a key that never leaves WebCrypto signs; nobody enrolled it: ${e.message ?? e.decision}`);
  }
  const f = await Fabric.context({ talent: job.talent, key: job.pem });
  const receipt = await f.send("a page says: the build is green", { confidence: 0.9, scope: { branch: "main" }, to: job.to });
  const entry = await verify(receipt, (await f.fabric()).vkey, { envelope: receipt.envelope });
  says(receipt.shared && entry.subject === receipt.id, "a message from a page is shared, and its receipt verifies there");
  const again = await f.sendBytes(receipt.id, JSON.stringify(receipt.envelope));
  says(again.replayed && again.entry.index === receipt.entry.index, "the same message again gives the first receipt");
  return out;
}

const job = () => ({
  good: readVectors("envelope", "good.json"),
  speccheck: readVectors("ed25519", "speccheck_cases.json"),
  receipt: makeReceipt(),
  vkey: makeVkey(),
  talent: `${IFAB_AS}/page`,
  to: IFAB_TO,
  pem: readFileSync(IFAB_KEY, "ascii"),
  agent: AGENT.pub.toString("hex"),
});

const page = () => `<!doctype html><script type="importmap">${JSON.stringify({ imports })}</script><script type="module">
${inPage}
const report = (value) => fetch("/done", { method: "POST", body: JSON.stringify(value) });
inPage(await (await fetch("/job")).json()).then(report, (e) => report([[false, String(e.stack ?? e)]]));
</script>`;

function forward(request, response) {
  const { host: _, origin: __, referer: ___, ...headers } = request.headers;
  for (const name of Object.keys(headers)) if (name.startsWith("sec-")) delete headers[name];
  const up = http.request(
    { socketPath: IFAB_ENDPOINT.slice(5), method: request.method, path: request.url, headers: { ...headers, host: "localhost" } },
    (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    },
  );
  up.on("error", () => response.destroy());
  request.pipe(up);
}

function serve(done) {
  return http.createServer((request, response) => {
    const answer = (type, body) => response.writeHead(200, { "content-type": type }).end(body);
    if (request.url.startsWith("/v1/")) return forward(request, response);
    if (request.url === "/") return answer("text/html", page());
    if (request.url === "/job") return answer("application/json", JSON.stringify(job()));
    if (request.url === "/done") return (request.on("data", done), request.on("end", () => answer("text/plain", "")));
    const file = path.join(top, path.normalize(request.url));
    if (!file.endsWith(".js") || !existsSync(file)) return response.writeHead(404).end();
    return answer("text/javascript", readFileSync(file));
  });
}

async function main() {
  const folder = mkdtempSync(path.join(tmp(), "ifab-page-")),
    parts = [];
  let finish;
  const finished = new Promise((resolve) => (finish = resolve));
  const server = serve((part) => (parts.push(part), setTimeout(finish, 100)));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const flags = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    `--user-data-dir=${folder}`,
    `http://127.0.0.1:${server.address().port}/`,
  ];
  const browser = spawn(IFAB_CHROMIUM, flags, { stdio: ["ignore", "ignore", "pipe"] });
  let talk = "";
  browser.stderr.on("data", (d) => (talk = (talk + d).slice(-4000)));
  const limit = setTimeout(finish, 90000);
  browser.on("exit", finish);
  await finished;
  clearTimeout(limit);
  browser.kill("SIGKILL");
  server.closeAllConnections();
  server.close();
  const rows = parts.length ? JSON.parse(Buffer.concat(parts).toString()) : [[false, `the page did not report: ${talk}`]];
  rows.forEach(([good, name], i) => console.log(`${good ? "ok" : "not ok"} ${i + 1} - browser: ${name.replace(/\n/g, "\n# ")}`));
  console.log(`1..${rows.length}`);
  process.exitCode = rows.every(([good]) => good) ? 0 : 1;
  setTimeout(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }), 300);
}

if (!existsSync(IFAB_CHROMIUM)) console.log(`1..0 # SKIP no ${IFAB_CHROMIUM}`);
else if (!IFAB_ENDPOINT.startsWith("unix:") || !IFAB_KEY)
  console.log("1..0 # SKIP no fabric named: set IFAB_ENDPOINT=unix:…, IFAB_AS, IFAB_KEY");
else await main();
