"""Sends one message with the package and verifies its receipt: IFAB_ENDPOINT, IFAB_AS, IFAB_KEY, [IFAB_TO], [IFAB_VKEY]."""
import os
import sys

from infrafabric import Fabric, OutcomeUnknown, Refused, Unreachable, verify

f = Fabric.context(talent=os.environ["IFAB_AS"] + "/python")
try:
    receipt = f.send("Python says: the build is green", confidence=.9, scope={"branch": "main"}, to=os.environ.get("IFAB_TO", "Demo.B"))
except (Refused, Unreachable) as e:
    sys.exit(str(e))  # nothing was accepted
except OutcomeUnknown as e:
    receipt = f.send_bytes(e.id, e.body)  # the same bytes: accepted once, whatever happened before
print(receipt.decision, "-", receipt.reason)
if "IFAB_VKEY" in os.environ:  # from a place you trust, not from the daemon
    print("entry verified:", verify(receipt, os.environ["IFAB_VKEY"])["index"])
sys.exit(0 if receipt.shared else 1)
