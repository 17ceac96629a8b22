/*
 * Ed25519 as the fabric sees it: RFC 8032 strict, canonical encodings, S < L, no point of small order, the equation without cofactor. The
 * curve is @noble/ed25519. Its verify() multiplies by the cofactor, and WebCrypto accepts keys of small order: both would say yes where the
 * fabric says no, so the equation is written out here and R is compared as bytes.
 */
import * as ed from "@noble/ed25519";
import { equal, sha256, sha512, toBase64url, toHex } from "./bytes.js";

const L = ed.Point.CURVE().n;
const littleEndian = (bytes) => BigInt("0x" + toHex(Uint8Array.from(bytes).reverse()));

/** The point, or undefined where no key or R may be: not on the curve, not canonical, of small order. */
function goodPoint(bytes32) {
  try {
    const point = ed.Point.fromBytes(bytes32, false);
    return point.isSmallOrder() || !equal(point.toBytes(), bytes32) ? undefined : point;
  } catch {
    return undefined;
  }
}

export const goodKey = (pub) => pub?.length === 32 && goodPoint(pub) !== undefined;

export async function verifySignature(sig, message, pub) {
  if (sig?.length !== 64 || pub?.length !== 32) return false;
  const r = sig.slice(0, 32),
    s = littleEndian(sig.slice(32)),
    a = goodPoint(pub);
  if (s >= L || a === undefined || goodPoint(r) === undefined) return false;
  const k = littleEndian(await sha512(r, pub, message)) % L;
  return equal(ed.Point.BASE.multiply(s, false).subtract(a.multiply(k, false)).toBytes(), r);
}

export const keyId = async (pub) => "k-" + toHex((await sha256(pub)).slice(0, 8));

/** What signs: {pub, keyId, sign(bytes)}. The seed stays in a closure, so that no log or inspector shows it. */
export async function makeSigner(seed) {
  if (!(seed instanceof Uint8Array) || seed.length !== 32) throw new TypeError("an Ed25519 seed has 32 bytes");
  const secret = Uint8Array.from(seed),
    pub = await ed.getPublicKeyAsync(secret);
  return { pub, pubkey: toBase64url(pub), keyId: await keyId(pub), sign: (bytes) => ed.signAsync(bytes, secret) };
}

/** A signer around a WebCrypto pair or anything else that keeps its key to itself: {pub: 32 bytes, sign: async (bytes) => 64 bytes}. */
export async function wrapSigner({ pub, sign }) {
  if (!goodKey(pub)) throw new TypeError("key.pub: not an Ed25519 public key that may be used");
  const checked = async (bytes) => {
    const sig = new Uint8Array(await sign(bytes));
    if (!(await verifySignature(sig, bytes, pub))) throw new Error("key.sign() gave a signature that key.pub does not verify");
    return sig;
  };
  return { pub: Uint8Array.from(pub), pubkey: toBase64url(pub), keyId: await keyId(pub), sign: checked };
}

export const PKCS8_ED25519 = Uint8Array.from([
  0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20,
]); /* RFC 8410 section 7 */

/** The seed in PKCS#8 DER of an Ed25519 key, or undefined. */
export const seedOf = (der) => (der?.length === 48 && equal(der.slice(0, 16), PKCS8_ED25519) ? der.slice(16) : undefined);

export const withoutSig = (signature) => Object.fromEntries(Object.entries(signature).filter(([name]) => name !== "sig"));
