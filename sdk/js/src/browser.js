/* Entry for browsers: fetch, keys from WebCrypto or PEM text. */
import { fromBase64 } from "./bytes.js";
import { makeSigner, seedOf, wrapSigner } from "./ed25519.js";
import { makeFabric } from "./fabric.js";
import { withCapabilities } from "./capability.js";
import { withTasks } from "./tasks.js";
import { fetchTransport } from "./wire.js";

export * from "./common.js";

async function loadKey(key) {
  if (key instanceof Uint8Array) return makeSigner(key);
  if (typeof key === "object" && typeof key.sign === "function") return wrapSigner(key);
  const pem = /^-----BEGIN PRIVATE KEY-----\n([A-Za-z0-9+/=\n]+)\n-----END PRIVATE KEY-----\n?$/.exec(key),
    seed = seedOf(fromBase64(pem?.[1].replace(/\n/g, "")));
  if (seed === undefined) throw new TypeError("key: PEM text of an unencrypted Ed25519 key, 32 bytes of seed, or {pub, sign}");
  return makeSigner(seed);
}

/** There are no files or environment here: the page's own origin, unless told otherwise. */
async function fromContext(options) {
  return { endpoint: globalThis.location?.origin, ...options };
}

export const Fabric = withCapabilities(
  withTasks(makeFabric({ transport: fetchTransport, loadKey, makeKey: loadKey, fromContext })),
);
export default Fabric;
