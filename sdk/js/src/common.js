export { FabricError, InvalidMessage, Lost, OutcomeUnknown, Refused, TaskLost, Unreachable, VerifyError } from "./errors.js";
export { check, messageDigest, readEnvelope, sign, signedBytes } from "./envelope.js";
export { Message, Receipt } from "./fabric.js";
export { Capability } from "./capability.js";
export { Task } from "./tasks.js";
export { makeSigner, verifySignature } from "./ed25519.js";
export { verify } from "./verify.js";
