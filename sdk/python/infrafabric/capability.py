"""Capabilities: plan, approval by a signed message where the plan needs one, apply. Requests are the talent's: give the client its token or certificate."""
from types import SimpleNamespace

import rfc8785

from . import fabric as messages
from . import tasks
from .errors import Lost, OutcomeUnknown, Refused, Unreachable
from .fabric import Receipt

APPLY_WAIT = 330  # seconds: the longest deadline a manifest can name, and some


class Outcome(SimpleNamespace):
    """done: it was, and the attributes are its receipt's (result, fuel, cost, entry, …). Else decision says why not: DENY is final; HOLD and ESCALATE wait for
    a person, and apply(plan=outcome.plan) goes on within ten minutes. `.raw` is the whole."""
    def __init__(self, raw, plan, done=False, decision=None):
        super().__init__(**{**raw, "raw": raw, "plan": plan, "done": done, "decision": decision})


class Capability:
    def __init__(self, fabric, name):
        self._fabric, self.name = fabric, name.removeprefix("if://capability/")

    def plan(self, operation=None, params=None, why=None, version=None):
        """What it would do, cost and need, as the fabric says; nothing is done. `decision` is SHARE, ESCALATE or DENY."""
        body = messages._given(operation=operation, params=params or {}, why=why, version=version)
        return tasks.change(self._fabric, f"/v1/capabilities/{self.name}/plan", body)

    def apply(self, operation=None, params=None, why=None, wait=0, version=None, plan=None):
        """Do it once, and return its Outcome. wait= (seconds) for an approval. Refused: it was not begun, or it failed (`.receipt` says how far it came).
        OutcomeUnknown: look before you try again."""
        plan = self._fabric.wire.ask(f"/v1/plans/{plan['plan_hash']}") if plan else self.plan(operation, params, why, version)
        if plan.get("decision") == "DENY":
            return Outcome(plan, plan, decision="DENY")
        if plan["approval"]["state"] not in ("not needed", "approved"):
            asked = self._asked(plan, wait)
            if not asked.shared:
                return Outcome(asked.raw, plan, decision=asked.decision)
        return self._apply(plan)

    def _asked(self, plan, wait):
        fabric, approval = self._fabric, plan["approval"]
        if approval["state"] == "denied":
            return Receipt({"decision": "DENY", "id": approval.get("message")})
        if "message" in approval:
            return fabric._await(Receipt(fabric.wire.ask(f"/v1/decisions/{approval['message']}")), wait)
        return fabric.send(performative="request", to="if://fabric/" + fabric.fabric()["origin"], wait=wait, trace=plan["trace"], proof=False,
                           scope={"capability": plan["capability"], "operation": plan["operation"]}, data={"apply": {"plan_hash": plan["plan_hash"]}})

    def _apply(self, plan):
        body = rfc8785.dumps({"plan_hash": plan["plan_hash"]})
        try:
            status, value, _ = self._fabric.wire.call("POST", f"/v1/capabilities/{self.name}/apply", body, None, self._fabric.timeout + APPLY_WAIT)
        except Unreachable:
            raise
        except Lost as e:
            raise OutcomeUnknown(plan["plan_id"], body, e) from e
        if "error" in value:
            refused = Refused(value["error"], status)
            refused.receipt = value if "fuel" in value else None
            raise refused
        return Outcome(value, plan, done="fuel" in value, decision=value.get("decision", "SHARE"))


class Fabric(tasks.Fabric):
    """The client, with tasks, costs and capabilities."""
    def capability(self, name):
        return Capability(self, name)
