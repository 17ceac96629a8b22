/* Types of the package `infrafabric`. */

export type Decision = "SHARE" | "HOLD" | "ESCALATE" | "DENY";
export type Performative =
  | "inform"
  | "request"
  | "agree"
  | "refuse"
  | "query-if"
  | "query-ref"
  | "propose"
  | "accept-proposal"
  | "reject-proposal"
  | "contradict"
  | "escalate"
  | "share"
  | "hold";
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json | undefined };
export type JsonObject = { [name: string]: Json | undefined };

export interface Evidence {
  type: string;
  url?: string;
  hash?: string;
  retrieved_at?: string;
}
export interface Confidence {
  raw?: number;
  normalized?: number;
  basis?: string[];
}
export interface Content {
  claim_id?: string;
  claim?: string;
  scope?: JsonObject;
  evidence?: Evidence[];
  confidence?: Confidence;
  hazards?: string[];
  data?: JsonObject;
  source_diversity?: { domain_unique?: boolean; type_mix?: string[] };
}
/** Envelope v2.1 without its signature. */
export interface Draft {
  v?: "2.1";
  id: string;
  performative: Performative;
  conversation_id: string;
  topic_hash: string;
  sender: string;
  receiver?: string | string[];
  issued_at: string;
  ttl_s: number;
  seq: number;
  nonce: string;
  trace?: string;
  content: Content;
}
export interface Envelope extends Draft {
  signature: { algorithm: "ed25519"; key_id?: string; pubkey: string; sig: string };
}

export interface Place {
  log: string;
  index: number;
  hash: string;
}
export interface Proof {
  index: number;
  size: number;
  leaf: string;
  path: string[];
  entry: string;
}
export interface RawReceipt {
  id: string;
  decision: Decision;
  reason?: string;
  rule?: string;
  policy_digest?: string;
  message_digest: string;
  entry: Place;
  trace?: string;
  expires_at?: string;
  checkpoint?: string;
  proof?: Proof;
}
export interface Entry {
  v: number;
  log: string;
  index: number;
  time: string;
  severity: string;
  type: string;
  component: string;
  operation: string;
  subject?: string;
  trace?: string;
  payload?: JsonObject;
  prev_hash: string;
  [name: string]: unknown;
}

/** An answer of the fabric. */
export class Receipt implements Readonly<RawReceipt> {
  constructor(raw: RawReceipt, replayed?: boolean);
  readonly id: string;
  readonly decision: Decision;
  readonly reason?: string;
  readonly rule?: string;
  readonly policy_digest?: string;
  readonly message_digest: string;
  readonly entry: Place;
  readonly trace?: string;
  readonly expires_at?: string;
  readonly checkpoint?: string;
  readonly proof?: Proof;
  readonly shared: boolean;
  readonly held: boolean;
  readonly escalated: boolean;
  readonly denied: boolean;
  /** The fabric had accepted these bytes before. */
  readonly replayed: boolean;
  readonly raw: RawReceipt;
  /** The message that was sent; only on receipts of send(). */
  readonly envelope?: Envelope;
}

/** A received message. The fabric verified it; check(pubkey) verifies it again under a key you know. */
export class Message {
  readonly cursor: string;
  readonly decision: Decision;
  readonly entry: Place;
  /** Empty when the bytes were erased. */
  readonly envelope: Partial<Envelope>;
  readonly id?: string;
  readonly sender?: string;
  readonly conversation?: string;
  readonly performative?: Performative;
  readonly content: Content;
  readonly claim?: string;
  readonly data?: JsonObject;
  readonly raw: unknown;
  check(pubkey: Uint8Array | string): Promise<void>;
}

/** A key that stays where it is, such as a non-extractable WebCrypto key. */
export interface ExternalKey {
  pub: Uint8Array;
  sign(bytes: Uint8Array): Promise<Uint8Array | ArrayBuffer>;
}
export interface Signer {
  readonly pub: Uint8Array;
  readonly pubkey: string;
  readonly keyId: string;
  sign(bytes: Uint8Array): Promise<Uint8Array>;
}

export interface FabricOptions {
  /** unix:PATH (Node), https://HOST[:PORT], or http:// on the loopback. */
  endpoint: string;
  /** NAME or NAME/INSTANCE. */
  talent?: string;
  /** Path of a PKCS#8 PEM file of mode 0600 (Node), PEM text, 32 bytes of seed, or a key that stays elsewhere. */
  key?: string | Uint8Array | ExternalKey;
  /** Of an encrypted key (Node); a function is asked once, when the first message is signed. */
  passphrase?: string | (() => string | Promise<string>);
  token?: string;
  /** https in Node, PEM files: whom to trust in place of the system's authorities; a certificate to show and its key (else in the same file). */
  ca?: string;
  cert?: string;
  certKey?: string;
  /** Repeats after a lost answer or a retryable refusal; 5. */
  retries?: number;
  /** Seconds for one answer; 15. */
  timeout?: number;
  /** Longest waits before repeats, ms, with full jitter; 1, 2, 5, 10, 30 s. */
  delays?: number[];
}
export interface ContextOptions extends Partial<FabricOptions> {
  dir?: string;
  tokenFile?: string;
}

export interface SendOptions {
  /** 0 to 1, or raw and normalized apart. */
  confidence?: number | Confidence;
  /** A name, a URI, or up to 64 of them. */
  to?: string | string[];
  scope?: JsonObject;
  evidence?: Evidence[];
  hazards?: string[];
  performative?: Performative;
  data?: JsonObject;
  conversation?: string;
  replyTo?: Message;
  topic?: string;
  claimId?: string;
  /** Seconds to wait for a held or escalated message to be decided. */
  wait?: number;
  /** Seconds within which it must be accepted; 60. */
  ttl?: number;
  trace?: string;
  /** Ask for checkpoint and proof; true. */
  proof?: boolean;
  /** Aborts: before the message leaves with its own reason, on the way with OutcomeUnknown; afterwards it ends the waiting. */
  signal?: AbortSignal;
}

/** Whole numbers; usdMicro 1000000 is one US dollar. */
export interface Cost {
  usdMicro?: number;
  tokensIn?: number;
  tokensOut?: number;
  calls?: number;
  model?: string;
}
export interface CostOptions extends Cost {
  provider?: string;
  capability?: string;
  /** For whom it was spent: a swarm that names this talent as a member. */
  swarm?: string;
  operation?: string;
  trace?: string;
  signal?: AbortSignal;
}
export interface CostReceipt {
  cost: { usd_micro: number; tokens_in: number; tokens_out: number; calls: number };
  entry: { log: string; index: number; hash: string };
  budgets: { id: string; left: number; level: string; unit: string }[];
  over: string[];
}
export interface TaskRecord {
  id: string;
  type: string;
  state: "queued" | "claimed" | "running" | "blocked" | "done" | "dead" | "cancelled";
  priority: "P0" | "P1" | "P2" | "P3";
  attempt: number;
  max_attempts: number;
  needs: string[];
  [name: string]: unknown;
}
export interface NewTask {
  /** Without it one is made. An id that was taken in the last 30 days is refused (409). */
  id?: string;
  type: string;
  why: string;
  needs?: string[];
  priority?: "P0" | "P1" | "P2" | "P3";
  swarm?: string;
  budget?: { usdMicro?: number; tokens?: number; calls?: number };
  deadline?: Date | string;
  notBefore?: Date | string;
  dependsOn?: string[];
  maxAttempts?: number;
  /** Any JSON of at most 64 KiB. */
  payload?: Json;
  signal?: AbortSignal;
}
export interface NextTaskOptions {
  swarm: string;
  /** Of those the swarm has; without it all. */
  skills?: string[];
  /** Seconds to wait for each task; the loop ends when none came. Without it for ever. */
  wait?: number;
  /** Seconds; 30. */
  lease?: number;
  /** Ends the loop, and gives a task in hand back. */
  signal?: AbortSignal;
}
/** A task in hand: the record's fields, and its payload. */
export class Task {
  private constructor();
  readonly id: string;
  readonly type: string;
  readonly priority: "P0" | "P1" | "P2" | "P3";
  readonly attempt: number;
  readonly max_attempts: number;
  readonly needs: string[];
  readonly swarm?: string;
  readonly trace?: string;
  /** null: it was erased. */
  readonly payload?: Json;
  readonly fence: number;
  readonly entry: Place;
  readonly raw: unknown;
  /** Aborts with TaskLost once the task is not ours any more. */
  readonly signal: AbortSignal;
  /** Neither ended nor lost. */
  readonly open: boolean;
  complete(result?: Json, options?: { cost?: Cost; note?: string }): Promise<TaskRecord & { entry: Place }>;
  /** transient (the default): another attempt later; poison: dead; shutdown: queued again, which costs no attempt. */
  fail(error?: unknown, options?: { kind?: "transient" | "poison" | "shutdown"; cost?: Cost }): Promise<TaskRecord & { entry: Place }>;
  progress(percent?: number, note?: string): Promise<TaskRecord & { entry: Place }>;
  /** Asks for what is missing; until it is helped the task stays ours, and is renewed. */
  block(needs: string[], note?: string): Promise<TaskRecord & { entry: Place }>;
  /** Completes with what work resolves to, unless it has ended the task itself; if it throws the task fails as transient, and it is thrown on. */
  run<T extends Json | undefined | void>(work: (task: Task) => T | Promise<T>): Promise<T>;
}

/** A plan as the fabric answers it: docs/formats/capability.md. */
export interface Plan extends JsonObject {
  plan_id: string;
  plan_hash: string;
  decision?: Decision;
}
export type Outcome =
  | { done: true; decision: "SHARE"; plan: Plan; receipt: JsonObject }
  | { done: false; decision: Decision; plan: Plan; raw?: JsonObject };
export interface PlanOptions {
  why?: string;
  version?: string;
  signal?: AbortSignal;
}
export class Capability {
  private constructor();
  readonly name: string;
  plan(operation: string | undefined, params?: JsonObject, options?: PlanOptions): Promise<Plan>;
  /** wait: seconds for an approval; plan: goes on with one that waited. A Refused that was begun has .receipt. */
  apply(operation: string | undefined, params?: JsonObject, options?: PlanOptions & { wait?: number; plan?: Plan }): Promise<Outcome>;
}
export class Fabric {
  constructor(options: FabricOptions);
  /** The fabric, talent and key that `ifctl` would use. */
  static context(options?: ContextOptions): Promise<Fabric>;
  /** Enrols with a one-time code: key is a new file (Node; without it DIR/keys/NAME.pem; passphrase encrypts it), or a key that stays elsewhere,
   * which a browser needs. */
  static enroll(code: string, options?: Omit<ContextOptions, "talent" | "token" | "tokenFile">): Promise<Fabric>;
  talent?: string;
  /** SHARE, HOLD, ESCALATE and DENY are values of .decision; throws Refused, Unreachable, OutcomeUnknown, InvalidMessage. */
  send(claim?: string | null, options?: SendOptions): Promise<Receipt>;
  send(options: SendOptions & { claim?: string }): Promise<Receipt>;
  /** The exact bytes of a signed envelope; may be called again with the id and body of an OutcomeUnknown. */
  sendBytes(id: string, body: Uint8Array | string, options?: { proof?: boolean; signal?: AbortSignal }): Promise<Receipt>;
  /** A capability by its name; requests are the talent's, so give the client its token or certificate. */
  capability(name: string): Capability;
  /** Counts once, however often the connection is lost. Where over is not empty a budget has been passed; the cost is recorded all the same. */
  cost(options: CostOptions): Promise<CostReceipt>;
  receipt(id: string, options?: { sender?: string; proof?: boolean }): Promise<Receipt>;
  /** As the daemon says: trust the vkey only if you know it from elsewhere. */
  fabric(): Promise<{ log: string; origin: string; size: number; version: string; vkey: string }>;
  inbox(options?: { after?: string; wait?: number; follow?: false; signal?: AbortSignal }): Promise<Message[]>;
  inbox(options: { after?: string; follow: true; signal?: AbortSignal }): AsyncGenerator<Message, void, undefined>;
  createTask(task: NewTask): Promise<TaskRecord & { entry: Place }>;
  /**
   * Tasks of a swarm, one after the other, each renewed at a third of its lease. One that the loop's body leaves open fails: as shutdown when
   * signal is aborted, else as transient, since a loop cannot tell break from throw; task.run(work) can.
   */
  nextTask(options: NextTaskOptions): AsyncGenerator<Task, void, undefined>;
  /** Messages for ever, over restarts of the daemon, too. */
  follow(options?: { after?: string; signal?: AbortSignal }): AsyncGenerator<Message, void, undefined>;
}
export default Fabric;

/** Resolves to the entry that the log's key vouches for; throws VerifyError. envelope binds the receipt to that message. */
export function verify(
  receipt: Receipt | RawReceipt | string | Uint8Array,
  vkey: string,
  options?: { envelope?: Envelope | string | Uint8Array },
): Promise<Entry>;

/** Signature under a key you know (32 bytes or base64url); throws VerifyError. */
export function check(envelope: unknown, pubkey: Uint8Array | string): Promise<void>;
/** Strict reading of a whole envelope; throws InvalidMessage. */
export function readEnvelope(input: string | Uint8Array): Envelope;
export function sign(draft: Draft, signer: Signer): Promise<{ envelope: Envelope; body: Uint8Array }>;
export function signedBytes(envelope: Envelope): Uint8Array;
export function messageDigest(envelope: Envelope): Promise<string>;
export function makeSigner(seed: Uint8Array): Promise<Signer>;
/** RFC 8032 strict: no small-order points, S < L, canonical encodings, no cofactor. */
export function verifySignature(sig: Uint8Array, message: Uint8Array, pub: Uint8Array): Promise<boolean>;

export class FabricError extends Error {}
/** Nobody listens: nothing was sent. */
export class Unreachable extends FabricError {}
/** A reading request got no whole answer. */
export class Lost extends FabricError {}
export class VerifyError extends FabricError {}
/** Malformed: found before anything was sent. */
export class InvalidMessage extends FabricError {
  readonly code: string;
  readonly field: string;
}
/** Every repeat was lost; sendBytes(id, body) may be called again. */
export class OutcomeUnknown extends FabricError {
  readonly id: string;
  readonly body: Uint8Array;
}
/** The task is not ours any more: another has it, it was cancelled, or its lease ran out while the fabric was away. Stop working on it. */
export class TaskLost extends FabricError {
  readonly id: string;
}
/** The fabric refused. */
export class Refused extends FabricError {
  /** Three digits, "104". */
  readonly code: string;
  /** "OUT_OF_ORDER". */
  readonly errorName: string;
  readonly detail: string;
  readonly hint: string;
  readonly field?: string;
  readonly retryable: boolean;
  readonly retryAfterMs?: number;
  readonly lastSeq?: number;
  readonly status: number;
  readonly error: JsonObject;
}
