/* Bytes and texts: hex, base64 in its one spelling, SHA-256, UUIDv7. Runs where WebCrypto is: Node 20 and browsers. */
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export const utf8 = (text) => encoder.encode(text);
export const fromUtf8 = (bytes) => decoder.decode(bytes); /* throws on bad UTF-8; keeps a BOM, so that JSON refuses it */

export const concat = (...parts) => {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) {
    out.set(p, at);
    at += p.length;
  }
  return out;
};

export const equal = (a, b) => a.length === b.length && a.every((x, i) => x === b[i]);

export const toHex = (bytes) => Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");

/** Lower-case hex of exactly `size` bytes, else undefined. */
export const fromHex = (text, size) =>
  typeof text === "string" && text.length === 2 * size && /^[0-9a-f]*$/.test(text)
    ? Uint8Array.from(text.match(/../g) ?? [], (h) => parseInt(h, 16))
    : undefined;

export function toBase64(bytes) {
  let binary = "";
  for (const b of bytes) binary += String.fromCharCode(b);
  return btoa(binary);
}

export const toBase64url = (bytes) => toBase64(bytes).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

/** Standard base64 with its padding, unused bits zero; else undefined. */
export function fromBase64(text) {
  if (typeof text !== "string" || !/^[A-Za-z0-9+/]*={0,2}$/.test(text) || text.length % 4 !== 0) return undefined;
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return toBase64(bytes) === text ? bytes : undefined;
}

/** base64url without padding, unused bits zero; else undefined. */
export function fromBase64url(text) {
  if (typeof text !== "string" || !/^[A-Za-z0-9_-]*$/.test(text) || text.length % 4 === 1) return undefined;
  return fromBase64(text.replace(/-/g, "+").replace(/_/g, "/") + "=".repeat((4 - (text.length % 4)) % 4));
}

function subtle() {
  if (!globalThis.crypto?.subtle)
    throw new Error("WebCrypto is not there: use Node 20 or later, or a page served by https or from localhost");
  return globalThis.crypto.subtle;
}

const digest = async (name, parts) => new Uint8Array(await subtle().digest(name, concat(...parts)));
export const sha256 = (...parts) => digest("SHA-256", parts);
export const sha512 = (...parts) => digest("SHA-512", parts);
export const randomBytes = (size) => globalThis.crypto.getRandomValues(new Uint8Array(size));

export function uuid7(ms = Date.now()) {
  const b = randomBytes(16);
  for (let i = 0; i < 6; i++) b[i] = Math.floor(ms / 2 ** (40 - 8 * i)) % 256;
  b[6] = (b[6] & 0x0f) | 0x70;
  b[8] = (b[8] & 0x3f) | 0x80;
  return toHex(b).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
