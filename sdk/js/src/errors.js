/* What can go wrong. A decision (also DENY) is a value, not an error. */

/** Base of everything this package throws on its own. */
export class FabricError extends Error {
  constructor(message, options) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** No connection could be made: nothing was sent. */
export class Unreachable extends FabricError {}

/** The request left, no whole answer came back. */
export class Lost extends FabricError {}

/** A receipt or message that does not verify. */
export class VerifyError extends FabricError {}

/** A message the fabric would refuse as malformed (101): found here, nothing was sent and no sequence number was used. */
export class InvalidMessage extends FabricError {
  constructor(field, why, code = "101") {
    super(field ? `${field}: ${why}` : why);
    this.code = code;
    this.field = field;
  }
}

/** Connection lost, every repeat failed. The same bytes may be sent again: fabric.sendBytes(e.id, e.body). */
export class OutcomeUnknown extends FabricError {
  constructor(id, body, cause) {
    super(`outcome of ${id} unknown: ${cause?.message ?? cause}`, { cause });
    this.id = id;
    this.body = body;
  }
}

/** The task is not ours any more: another has it, it was cancelled, or its lease ran out while the fabric was away. Stop working on it. */
export class TaskLost extends FabricError {
  constructor(id, why, options) {
    super(`task ${id} is lost: ${why}`, options);
    this.id = id;
  }
}

const text = (value, otherwise) => (typeof value === "string" ? value : otherwise);

/** The fabric refused the request: IF_ERR_<code>; .code is its three digits, .errorName its name. */
export class Refused extends FabricError {
  constructor(error, status = 0) {
    const code = text(error.code, "IF_ERR_500").replace(/^IF_ERR_/, "");
    const name = text(error.name, "SYSTEM_ERROR"),
      hint = text(error.hint, "");
    super(`IF_ERR_${code} ${name}: ${text(error.message, "")}${hint ? ` (${hint})` : ""}`);
    this.code = code;
    this.errorName = name;
    this.detail = text(error.message, "");
    this.hint = hint;
    this.field = text(error.field, undefined);
    this.retryable = error.retryable === true;
    this.retryAfterMs = Number.isFinite(error.retry_after_ms) ? error.retry_after_ms : undefined;
    this.lastSeq = Number.isSafeInteger(error.last_seq) ? error.last_seq : undefined;
    this.status = status;
    this.error = error;
  }
}
