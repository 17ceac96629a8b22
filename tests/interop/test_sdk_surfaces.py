"""The Python and the JavaScript SDK have the same calls, each with names in its language's own style: a row for each, and one that is missing says why.

    python3 tests/interop/test_sdk_surfaces.py        (needs rfc8785 and PyNaCl; no Node: it reads sdk/js/index.d.ts)
"""
import inspect
import os
import re
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "sdk", "python"))
try:
    import infrafabric
    from infrafabric import envelope  # noqa: F401: its names are looked up
except ImportError as e:
    print(f"1..0 # SKIP {e}")
    sys.exit(0)

# JavaScript, Python: "" and the reason behind it where one language has it in another way
EXPORTS = [
    ("Fabric", "Fabric"), ("Receipt", "Receipt"), ("Message", "Message"), ("Task", "Task"), ("Capability", "Capability"),
    ("FabricError", "FabricError"), ("Unreachable", "Unreachable"), ("Lost", "Lost"), ("VerifyError", "VerifyError"), ("Refused", "Refused"),
    ("InvalidMessage", "InvalidMessage"), ("OutcomeUnknown", "OutcomeUnknown"), ("TaskLost", "TaskLost"),
    ("verify", "verify"), ("check", "check"),
    ("readEnvelope", "envelope.read"), ("sign", "envelope.sign"), ("signedBytes", "envelope.signed_bytes"),
    ("messageDigest", "envelope.message_digest"), ("makeSigner", "envelope.load_key"),
    ("verifySignature", "", "VerifyKey of PyNaCl"),
    ("", "Outcome", "a type in TypeScript"),
]
METHODS = {
    "Fabric": [("context", "context"), ("enroll", "enroll"), ("send", "send"), ("sendBytes", "send_bytes"), ("capability", "capability"), ("cost", "cost"),
               ("receipt", "receipt"), ("fabric", "fabric"), ("inbox", "inbox"), ("createTask", "task_create"), ("nextTask", "next_task"),
               ("follow", "", "inbox(follow=True)")],
    "Message": [("check", "check")],
    "Capability": [("plan", "plan"), ("apply", "apply")],
    "Task": [("complete", "complete"), ("fail", "fail"), ("progress", "progress"), ("block", "block"),
             ("run", "", "with task:"), ("", "release", "the iterator does it")],
}
# call, its options in TypeScript, its parameters in Python; what Python names in another place or way
OPTIONS = [
    ("Fabric.send", ["SendOptions"], {"signal"}, {"claim"}),
    ("Fabric.cost", ["Cost", "CostOptions"], {"signal"}, set()),
    ("Fabric.next_task", ["NextTaskOptions"], {"signal"}, set()),
]


def read(*path):
    with open(os.path.join(ROOT, "sdk", "js", *path), encoding="utf-8") as f:
        return f.read()


def snake(name):
    return re.sub(r"[A-Z]", lambda m: "_" + m[0].lower(), name)


def body(kind, name):
    """What stands between the braces of an exported class or interface."""
    return re.search(rf"^export {kind} {name}\b[^\n]*\{{\n(.*?)^\}}$", read("index.d.ts"), re.S | re.M)[1]


def lookup(dotted):
    value = infrafabric
    for part in dotted.split("."):
        value = getattr(value, part)
    return value


class Surfaces(unittest.TestCase):
    def test_every_row_that_lacks_one_says_why(self):
        for row in [*EXPORTS, *(row for rows in METHODS.values() for row in rows)]:
            self.assertEqual(3 if "" in row[:2] else 2, len(row), row)

    def test_exports(self):
        told = set(re.findall(r"^export (?:class|function) (\w+)", read("index.d.ts"), re.M))
        common = {name.strip() for names in re.findall(r"^export \{([^}]*)\}", read("src", "common.js"), re.M) for name in names.split(",")}
        self.assertEqual(told, common | {"Fabric"})
        self.assertEqual({js for js, *_ in EXPORTS if js}, told)
        self.assertEqual({python for _, python, *_ in EXPORTS if python and "." not in python}, set(infrafabric.__all__))
        for _, python, *_ in EXPORTS:
            self.assertTrue(not python or callable(lookup(python)), python)

    def test_methods(self):
        classes = re.findall(r"^export class (\w+) (?:extends \w+ )?\{\n", read("index.d.ts"), re.M)
        for name in classes:
            with self.subTest(name):
                rows = METHODS.get(name, [])
                js = set(re.findall(r"^  (?:static )?(\w+)(?:<.*>)?\(", body("class", name), re.M)) - {"constructor"}
                self.assertEqual({row[0] for row in rows if row[0]}, js)
                ours = lookup(name)
                if not issubclass(ours, Exception):
                    public = {n for n in dir(ours) if not n.startswith("_") and callable(getattr(ours, n))}
                    self.assertEqual({row[1] for row in rows if row[1]}, public)
        self.assertLessEqual(set(METHODS), set(classes))

    def test_options(self):
        for call, interfaces, not_ours, not_theirs in OPTIONS:
            with self.subTest(call):
                js = {name for i in interfaces for name in re.findall(r"^  (\w+)\??:", body("interface", i), re.M)}
                self.assertLessEqual(not_ours, js)
                ours = set(inspect.signature(lookup(call)).parameters) - {"self"}
                self.assertLessEqual(not_theirs, ours)
                self.assertEqual({snake(n) for n in js - not_ours}, ours - not_theirs)
        self.assertEqual(["receipt", "vkey", "envelope"], list(inspect.signature(infrafabric.verify).parameters))
        self.assertRegex(read("index.d.ts"), r"export function verify\([^;]*\bvkey: string,\n\s*options\?: \{ envelope\?: ")


if __name__ == "__main__":
    unittest.main()
