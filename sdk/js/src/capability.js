/* Capabilities: plan, approval by a signed message where the plan needs one, apply. Requests are the talent's: give the client its token or certificate. */
import { Lost, OutcomeUnknown, Refused } from "./errors.js";
import { drop, Receipt } from "./fabric.js";
import { change } from "./tasks.js";

const APPLY_WAIT = 330; /* s: the longest deadline a manifest can name, and some */

export class Capability {
  #fabric;
  constructor(fabric, name) {
    this.#fabric = fabric;
    this.name = name.replace(/^if:\/\/capability\//, "");
  }

  get #path() {
    return `/v1/capabilities/${encodeURIComponent(this.name)}`;
  }

  /** What it would do, cost and need; nothing is done. decision is SHARE, ESCALATE or DENY. */
  plan(operation, params, { why, version, signal } = {}) {
    return change(this.#fabric, `${this.#path}/plan`, drop({ operation, params: params ?? {}, why, version }), signal);
  }

  /**
   * Does it once. {done: true, receipt}: it was. {done: false, decision, plan}: DENY is final; HOLD and ESCALATE wait for a person, and apply(…, {plan}) goes
   * on within ten minutes. Throws Refused: not begun, or it failed (.receipt says how far it came); OutcomeUnknown: look before you try again.
   */
  async apply(operation, params, { why, version, wait = 0, plan, signal } = {}) {
    const { wire, timeout } = this.#fabric;
    const made = plan ? await wire.get(`/v1/plans/${plan.plan_hash}`, { timeout, signal }) : await this.plan(operation, params, { why, version, signal });
    if (made.decision === "DENY") return { done: false, decision: "DENY", plan: made };
    if (!["not needed", "approved"].includes(made.approval.state)) {
      const decision = await this.#asked(made, wait, signal);
      if (decision !== "SHARE") return { done: false, decision, plan: made };
    }
    return this.#apply(made, signal);
  }

  async #asked(plan, wait, signal) {
    const { state, message } = plan.approval,
      { wire, timeout } = this.#fabric;
    if (state === "denied") return "DENY";
    if (message) {
      const query = { wait_ms: wait > 0 ? Math.min(30000, Math.round(wait * 1000)) : undefined };
      return new Receipt(await wire.get(`/v1/decisions/${message}`, { timeout: timeout + wait, query, signal })).decision;
    }
    const { origin } = await this.#fabric.fabric();
    const receipt = await this.#fabric.send({
      performative: "request",
      to: `if://fabric/${origin}`,
      scope: { capability: plan.capability, operation: plan.operation },
      data: { apply: { plan_hash: plan.plan_hash } },
      trace: plan.trace,
      proof: false,
      wait,
      signal,
    });
    return receipt.decision;
  }

  async #apply(plan, signal) {
    const body = new TextEncoder().encode(JSON.stringify({ plan_hash: plan.plan_hash }));
    try {
      const { status, value } = await this.#fabric.wire.call("POST", `${this.#path}/apply`, { body, timeout: this.#fabric.timeout + APPLY_WAIT, signal });
      if (value.error) throw Object.assign(new Refused(value.error, status), { receipt: value.fuel === undefined ? undefined : value });
      if (value.decision === "DENY") return { done: false, decision: "DENY", plan, raw: value };
      if (value.fuel === undefined) throw new Lost(`HTTP ${status} with neither a receipt nor an error`);
      return { done: true, decision: "SHARE", plan, receipt: value };
    } catch (e) {
      if (e instanceof Lost) throw new OutcomeUnknown(plan.plan_id, body, e);
      throw e;
    }
  }
}

/** The client with capabilities. */
export function withCapabilities(Base) {
  return class Fabric extends Base {
    capability(name) {
      return new Capability(this, name);
    }
  };
}
