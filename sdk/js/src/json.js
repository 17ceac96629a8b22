/*
 * Strict I-JSON (docs/formats/json.md). JSON.parse keeps the last of two equal names, so two readers could see two documents; it also takes
 * numbers that another reader rounds otherwise. Refused, never repaired.
 */
import { fromUtf8 } from "./bytes.js";

const DEPTH = 32,
  NAMES = 1024,
  LITERAL = 1100;
const SPACE = /[ \t\r\n]*/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y;
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;

export const loneSurrogate = (text) => /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/.test(text);

/** Sets a member as data: a name such as __proto__ must not reach a setter. */
export const put = (object, name, value) =>
  Object.defineProperty(object, name, { value, enumerable: true, writable: true, configurable: true });

class Reader {
  constructor(text, signed) {
    this.text = text;
    this.signed = signed;
    this.at = 0;
  }

  fail(why) {
    throw new SyntaxError(`JSON, character ${this.at}: ${why}`);
  }

  match(pattern) {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (found !== null) this.at += found[0].length;
    return found;
  }

  space() {
    this.match(SPACE);
    return this.text[this.at];
  }

  string() {
    const found = this.match(STRING) ?? this.fail("not a string");
    const value = JSON.parse(found[0]);
    if (loneSurrogate(value)) this.fail("lone surrogate");
    return value;
  }

  number() {
    const found = this.match(NUMBER) ?? this.fail("not a number");
    const [literal, fraction, exponent] = found,
      value = Number(literal);
    if (literal.length > LITERAL || /[0-9]/.test(this.text[this.at] ?? "")) this.fail("not a number");
    if (value === 0 && (literal.startsWith("-") || /[1-9]/.test(literal.split(/[eE]/)[0]))) this.fail("-0, or too small for a double");
    if (!Number.isFinite(value)) this.fail("number too large for a double");
    if ((this.signed || (!fraction && !exponent)) && Math.abs(value) > Number.MAX_SAFE_INTEGER) this.fail("number outside ±(2^53-1)");
    return value;
  }

  members(depth) {
    const object = {},
      seen = new Set();
    this.at++;
    if (this.space() === "}") return (this.at++, object);
    for (;;) {
      if (this.space() !== '"') this.fail("a name is expected");
      const name = this.string();
      if (seen.has(name)) this.fail("name used twice in one object");
      if (seen.add(name).size > NAMES) this.fail(`more than ${NAMES} names in one object`);
      if (this.space() !== ":") this.fail("':' is expected");
      this.at++;
      put(object, name, this.value(depth));
      const next = this.space();
      this.at++;
      if (next === "}") return object;
      if (next !== ",") this.fail("',' or '}' is expected");
    }
  }

  items(depth) {
    const list = [];
    this.at++;
    if (this.space() === "]") return (this.at++, list);
    for (;;) {
      list.push(this.value(depth));
      const next = this.space();
      this.at++;
      if (next === "]") return list;
      if (next !== ",") this.fail("',' or ']' is expected");
    }
  }

  value(depth) {
    const c = this.space();
    if ((c === "{" || c === "[") && depth === DEPTH) this.fail(`nested deeper than ${DEPTH}`);
    if (c === "{") return this.members(depth + 1);
    if (c === "[") return this.items(depth + 1);
    if (c === '"') return this.string();
    for (const [word, value] of [
      ["true", true],
      ["false", false],
      ["null", null],
    ])
      if (this.text.startsWith(word, this.at)) return ((this.at += word.length), value);
    return this.number();
  }
}

/** One JSON document (string or UTF-8 bytes) as a value. signed: every number must lie within ±(2^53-1). Throws SyntaxError. */
export function parse(input, { signed = false, max = 1 << 20 } = {}) {
  if (input.length > max) throw new SyntaxError(`JSON: more than ${max} bytes`);
  let text = input;
  if (typeof input !== "string") {
    try {
      text = fromUtf8(input);
    } catch {
      throw new SyntaxError("JSON: not UTF-8");
    }
  }
  const reader = new Reader(text, signed);
  const value = reader.value(0);
  if (reader.space() !== undefined) reader.fail("more after the document");
  return value;
}

function plainObject(value, field, depth) {
  const proto = Object.getPrototypeOf(value);
  if (proto !== null && Object.getPrototypeOf(proto) !== null)
    throw new TypeError(`${field}: a plain object is expected, not a ${proto.constructor?.name}`);
  const copy = {},
    names = Object.keys(value).filter((name) => value[name] !== undefined);
  if (names.length > NAMES) throw new TypeError(`${field}: more than ${NAMES} names`);
  for (const name of names) {
    if (loneSurrogate(name)) throw new TypeError(`${field}: a name with a lone surrogate`);
    put(copy, name, plain(value[name], field ? `${field}.${name}` : name, depth + 1));
  }
  return copy;
}

/**
 * A deep copy of what may be signed: what JSON.stringify would silently change (NaN, -0, undefined in a list, a Map, a bigint, a number
 * that another reader may round) is an error that names its place. Members that are undefined are left out.
 */
export function plain(value, field = "", depth = 0) {
  const bad = (why) => {
    throw new TypeError(`${field || "value"}: ${why}`);
  };
  if (value === null || typeof value === "boolean") return value;
  if (typeof value === "string") return loneSurrogate(value) ? bad("lone surrogate") : value;
  if (typeof value === "number") {
    if (!Number.isFinite(value)) bad("not a finite number");
    if (Object.is(value, -0)) bad("-0 is refused: write 0");
    return Math.abs(value) > Number.MAX_SAFE_INTEGER ? bad("a number outside ±(2^53-1): write it as a string") : value;
  }
  if (typeof value !== "object") return bad(`no JSON value: ${typeof value}`);
  if (depth === DEPTH) bad(`nested deeper than ${DEPTH}`);
  if (value instanceof Date) return bad("a Date: write it as a string");
  if (!Array.isArray(value)) return plainObject(value, field, depth);
  return Array.from(value, (item, i) => plain(item, `${field}[${i}]`, depth + 1));
}
