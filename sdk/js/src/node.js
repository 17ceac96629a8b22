/* Entry for Node: Unix sockets, contexts, key files. */
import { createHash, createPrivateKey, generateKeyPairSync } from "node:crypto";
import { constants, promises as fs, readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import path from "node:path";
import { Unreachable } from "./errors.js";
import { makeFabric } from "./fabric.js";
import { withCapabilities } from "./capability.js";
import { withTasks } from "./tasks.js";
import { makeSigner, seedOf, wrapSigner } from "./ed25519.js";
import { fromContext } from "./context.js";
import { ANSWER_MAX, checkEndpoint } from "./wire.js";

export * from "./common.js";

const NOT_SENT = new Set([
  "ECONNREFUSED",
  "ENOENT",
  "EACCES",
  "EPERM",
  "ENOTSOCK",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EADDRNOTAVAIL",
]);
const SOCKET_PATH_MAX = 107;

function where(endpoint) {
  if (!endpoint.startsWith("unix:")) {
    const url = checkEndpoint(endpoint),
      library = url.protocol === "https:" ? https : http;
    return { library, place: { host: url.hostname.replace(/^\[|\]$/g, ""), port: url.port || undefined, headers: { host: url.host } } };
  }
  const socketPath = endpoint.slice(5),
    size = Buffer.byteLength(socketPath);
  if (size === 0) throw new TypeError("endpoint: expected unix:PATH");
  if (size > SOCKET_PATH_MAX) throw new TypeError(`Socket path has ${size} bytes, the system allows ${SOCKET_PATH_MAX}: set run.dir.`);
  return { library: http, place: { socketPath, headers: { host: "localhost" } } };
}

/* PEM files: whom to trust in place of the system's authorities, and what to show. 1.3 alone, as the daemon. */
function secured({ ca, cert, certKey }) {
  const read = (file) => (file === undefined ? undefined : readFileSync(file));
  return { minVersion: "TLSv1.3", ca: read(ca), cert: read(cert), key: read(certKey ?? cert) };
}

/* One request on a connection that is kept. An error of connect() or of the handshake on a fresh socket means that nothing left; all others leave
 * it open. */
function nodeTransport(endpoint, files = {}) {
  const { library, place } = where(endpoint),
    tls = library === https,
    pool = new library.Agent({ keepAlive: true, maxFreeSockets: 4, ...(tls ? secured(files) : {}) });
  return ({ method, path, headers, body, signal }) =>
    new Promise((resolve, reject) => {
      const length = body ? { "content-length": body.length } : {};
      const request = library.request({
        ...place,
        agent: pool,
        method,
        path,
        headers: { ...place.headers, ...headers, ...length },
        signal,
      });
      let shaken = !tls;
      request.on("socket", (socket) => (request.reusedSocket ? (shaken = true) : socket.once("secureConnect", () => (shaken = true))));
      request.on("error", (e) => {
        const refused = (e.syscall === "connect" && NOT_SENT.has(e.code)) || (!shaken && e.name !== "AbortError");
        const unsent = refused && !request.reusedSocket;
        const hint = "Start it: ifd --config DIR/ifd.yaml, or name another endpoint";
        reject(unsent ? new Unreachable(`No fabric answers at ${endpoint} (${e.code ?? e.message}). ${hint}`, { cause: e }) : e);
      });
      request.on("response", (response) => {
        const parts = [];
        let size = 0;
        response.on("data", (part) => {
          size += part.length;
          if (size > ANSWER_MAX) request.destroy(new Error("answer too long"));
          else parts.push(part);
        });
        response.on("error", reject);
        response.on("aborted", () => reject(new Error("the connection ended within the answer")));
        response.on("end", () =>
          resolve({ status: response.statusCode, header: (name) => response.headers[name] ?? null, bytes: Buffer.concat(parts) }),
        );
      });
      request.end(body);
    });
}

/** A signer from a path of a PKCS#8 PEM file (mode 0600, encrypted or not), PEM text, 32 bytes of seed, or {pub, sign}. */
async function loadKey(key, passphrase) {
  if (key instanceof Uint8Array) return makeSigner(key);
  if (typeof key === "object" && typeof key.sign === "function") return wrapSigner(key);
  if (typeof key !== "string") throw new TypeError("key: a path, PEM text, 32 bytes of seed, or {pub, sign}");
  const isText = key.startsWith("-----BEGIN "),
    name = isText ? "key" : key,
    pem = isText ? key : await readKeyFile(key);
  const words = /BEGIN ENCRYPTED/.test(pem) ? await (typeof passphrase === "function" ? passphrase() : passphrase) : undefined;
  if (/BEGIN ENCRYPTED/.test(pem) && !words) throw new Error(`${name} is encrypted: give its passphrase`);
  let seed;
  try {
    seed = seedOf(createPrivateKey({ key: pem, passphrase: words }).export({ type: "pkcs8", format: "der" }));
  } catch {
    throw new Error(
      `${name}: ${words ? "wrong passphrase, or " : ""}not an Ed25519 key in PKCS#8 PEM (RFC 8410)`,
    ); /* no cause: it may quote the key */
  }
  if (seed === undefined) throw new Error(`${name}: not an Ed25519 key in PKCS#8 PEM (RFC 8410)`);
  return makeSigner(Uint8Array.from(seed));
}

/** A key in a new file, mode 0600, on disk when this resolves; or the one that is there (a lost answer: the same key again). */
async function makeKey(key, passphrase) {
  if (typeof key !== "string" || key.startsWith("-----BEGIN ")) return loadKey(key, passphrase);
  const file = await fs.open(key, "wx", 0o600).catch((e) => {
    if (e.code !== "EEXIST") throw e;
  });
  if (file === undefined) return loadKey(key, passphrase);
  try {
    const { privateKey } = generateKeyPairSync("ed25519");
    await file.writeFile(privateKey.export({ type: "pkcs8", format: "pem", ...(passphrase ? { cipher: "aes-256-cbc", passphrase } : {}) }));
    await file.sync();
  } finally {
    await file.close();
  }
  return loadKey(key, passphrase);
}

/** Where a key is made when nobody says: DIR/keys/NAME.pem. Until the answer names the talent the file has a name of its own, the same for the
 * same code: after a lost answer the same key is found again. */
async function newPlace(dir, code) {
  const letters = String(code).toUpperCase().replace(/[^A-Z0-9]/g, ""),
    folder = path.join(dir, "keys");
  const file = path.join(folder, `enrolling-${createHash("sha256").update(letters).digest("hex").slice(0, 16)}.pem`);
  await fs.mkdir(folder, { recursive: true, mode: 0o700 });
  const fresh = await fs.access(file).then(
    () => false,
    () => true,
  );
  return {
    file,
    drop: () => (fresh ? fs.unlink(file) : undefined),
    async settle(name) {
      const wanted = path.join(folder, `${path.basename(name)}.pem`);
      try {
        await fs.link(file, wanted); /* never over another one */
        await fs.unlink(file);
        return wanted;
      } catch (e) {
        process.emitWarning(`the new key stays in ${file}: ${e.message}`);
        return file;
      }
    },
  };
}

async function readKeyFile(path) {
  const file = await fs.open(path, constants.O_RDONLY).catch((e) => {
    if (e.code !== "ENOENT") throw e;
    throw new Error(`${path}: no such file; IFAB_DIR is ${process.env.IFAB_DIR || "not set"}`, { cause: e });
  });
  try {
    const { mode, size } = await file.stat();
    if (process.platform !== "win32" && (mode & 0o077) !== 0) throw new Error(`${path}: others may read this key: chmod 600 it`);
    if (size > 65536) throw new Error(`${path}: too long for a key`);
    return await file.readFile("ascii");
  } finally {
    await file.close();
  }
}

export const Fabric = withCapabilities(
  withTasks(makeFabric({ transport: nodeTransport, loadKey, makeKey, newPlace, fromContext })),
);
export default Fabric;
