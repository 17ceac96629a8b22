"""Capabilities of the Python SDK against a false fabric: what is asked, what comes back, what is unknown after a lost answer.

    python3 tests/interop/test_sdk_capabilities.py        (needs rfc8785 and PyNaCl)
"""
import json
import os
import sys
import tempfile
import unittest

from test_sdk_tasks import PLACE, FalseFabric, Handler, error

import nacl.signing
from infrafabric import Fabric, OutcomeUnknown, Refused, envelope

PLAN = {"plan_id": "plan-1", "plan_hash": "sha256:" + "0" * 64, "capability": "if://capability/vmix.switcher@1.0.0", "operation": "cut", "decision": "SHARE",
        "approval": {"state": "not needed", "votes": 0}, "entry": PLACE, "trace": "019a7782-7ae4-7cc7-a09b-d3061f2ba94a"}
RECEIPT = {"entry": PLACE, "fuel": 7, "intent": 8, "result": {"on": True}, "cost": {"usd_micro": 1}}
ASKED = {**PLAN, "decision": "ESCALATE", "approval": {"state": "needed", "votes": 1}}


def get(self):
    """Reads of the false fabric: rows under their last segment, without a query."""
    verb = self.path.partition("?")[0].rsplit("/", 1)[1]
    with self.server.lock:
        self.server.asked.append({"verb": verb, "path": self.path, "body": None, "key": None})
        rows = self.server.answers.get(verb, [(200, {})])
        status, value = rows.pop(0) if len(rows) > 1 else rows[0]
    data = json.dumps(value).encode()
    self.send_response(status)
    self.send_header("Content-Length", str(len(data)))
    self.end_headers()
    self.wfile.write(data)


Handler.do_GET = get


class Capabilities(unittest.TestCase):
    def fabric(self, **answers):
        folder = tempfile.TemporaryDirectory()
        os.environ["XDG_STATE_HOME"] = folder.name
        self.addCleanup(folder.cleanup)
        server = FalseFabric(folder.name, {"plan": [(201, PLAN)], "apply": [(200, RECEIPT)], "fabric": [(200, {"origin": "x/main/1"})],
                                            "sequences": [(200, {"items": []})], **answers})
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return server, Fabric("unix:" + server.path, talent="Demo.A", key=nacl.signing.SigningKey.generate(), token="ift_x").capability("if://capability/vmix.switcher")

    def test_planned_and_done_once(self):
        server, c = self.fabric()
        done = c.apply("cut", {"input": 2}, why="show")
        self.assertTrue(done.done and done.result == {"on": True} and done.fuel == 7)
        plan, = server.of("plan")
        self.assertEqual((plan["path"], plan["body"]), ("/v1/capabilities/vmix.switcher/plan", {"operation": "cut", "params": {"input": 2}, "why": "show"}))
        self.assertTrue(plan["key"])
        apply, = server.of("apply")
        self.assertEqual(apply["body"], {"plan_hash": PLAN["plan_hash"]})

    def test_a_lost_plan_is_asked_again_under_its_key_and_a_lost_apply_never(self):
        server, c = self.fabric(plan=["drop", (201, PLAN)], apply=["drop"])
        with self.assertRaises(OutcomeUnknown) as e:
            c.apply("cut", why="w")
        self.assertEqual(e.exception.id, "plan-1")
        self.assertEqual(len({a["key"] for a in server.of("plan")}), 1)
        self.assertEqual((len(server.of("plan")), len(server.of("apply"))), (2, 1))

    def test_a_failure_comes_with_its_receipt(self):
        _, c = self.fabric(apply=[(503, {**RECEIPT, **error("503")})])
        with self.assertRaises(Refused) as e:
            c.apply("cut", why="w")
        self.assertEqual((e.exception.code, e.exception.receipt["intent"]), ("503", 8))
        server, c = self.fabric(plan=[(403, error("205"))])
        with self.assertRaises(Refused) as e:
            c.apply("cut", why="w")
        self.assertEqual((e.exception.code, server.of("apply")), ("205", []))

    def test_denied_is_a_value_and_nothing_is_applied(self):
        server, c = self.fabric(plan=[(403, {"decision": "DENY", "reason": "no", "entry": PLACE})])
        said = c.apply("cut", why="w")
        self.assertEqual((said.done, said.decision, said.reason, server.of("apply")), (False, "DENY", "no", []))

    def test_what_needs_approval_is_asked_for_with_its_hash(self):
        def told(message):
            return {"decision": "ESCALATE", "id": message["id"], "message_digest": envelope.message_digest(message), "entry": PLACE}
        server, c = self.fabric(plan=[(201, ASKED)], messages=[(202, told)])
        said = c.apply("cut", why="w")
        self.assertEqual((said.done, said.decision, server.of("apply")), (False, "ESCALATE", []))
        asked = [a for a in server.asked if a["path"].startswith("/v1/messages")][0]["body"]
        self.assertEqual(asked["content"]["data"], {"apply": {"plan_hash": PLAN["plan_hash"]}})
        self.assertEqual((asked["receiver"], asked["performative"]), ("if://fabric/x/main/1", "request"))
        server, c = self.fabric(**{PLAN["plan_hash"]: [(200, {**ASKED, "approval": {"state": "approved", "votes": 1}})]})
        self.assertTrue(c.apply(plan=said.plan).done)
        self.assertEqual(server.of("plan"), [])
        _, c = self.fabric(**{PLAN["plan_hash"]: [(200, {**ASKED, "approval": {"state": "denied", "votes": 1, "message": "msg-1"}})]})
        self.assertEqual(c.apply(plan=said.plan).decision, "DENY")


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v"])
