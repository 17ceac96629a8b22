"""Tasks of the Python SDK against a false fabric on a Unix socket that plays the daemon's part: claims, renewals, endings, a fabric that goes away.

    python3 tests/interop/test_sdk_tasks.py        (needs rfc8785 and PyNaCl)
"""
import http.server
import json
import os
import socketserver
import sys
import tempfile
import threading
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(HERE)), "sdk", "python"))
try:
    from infrafabric import Fabric, OutcomeUnknown, Refused, TaskLost
    from infrafabric import fabric as fabric_module
    from infrafabric import tasks as tasks_module
    from infrafabric.errors import Lost
except ImportError as e:
    print(f"1..0 # SKIP {e}")
    sys.exit(0)

fabric_module.DELAYS = (.001,)
PLACE = {"log": "main", "index": 9, "hash": "sha256:00"}
DONE, NONE = (200, {"entry": PLACE, "state": "x"}), (204, None)


def error(code, **more):
    return {"error": {"code": f"IF_ERR_{code}", "name": "N", "message": "m", "hint": "h", **more}}


def given(name, **more):
    return 200, {"fence": 7, "entry": PLACE, "task": {"id": name, "type": "job", "attempt": 1, "payload": {"n": 1}, **more}}


class FalseFabric(socketserver.ThreadingUnixStreamServer):
    """verb -> rows, the last for all further requests; (status, body or a function of the request's), "drop", or an Event: no answer until it is set."""
    daemon_threads, request_queue_size = True, 64

    def __init__(self, folder, answers):
        self.path, self.answers, self.asked, self.lock = os.path.join(folder, "s"), answers, [], threading.Condition()
        super().__init__(self.path, Handler)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": .01}, daemon=True).start()

    def of(self, verb):
        with self.lock:
            return [a for a in self.asked if a["verb"] == verb]

    def until(self, verb, count):
        with self.lock:
            assert self.lock.wait_for(lambda: sum(a["verb"] == verb for a in self.asked) >= count, 60), "never came true"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.lock:
            verb = self.path.partition("?")[0].rsplit("/", 1)[1]
            self.server.asked.append({"verb": verb, "path": self.path, "body": json.loads(body), "key": self.headers["Idempotency-Key"],
                                      "traceparent": self.headers["traceparent"]})
            rows = self.server.answers.get(verb, [DONE])
            row = rows.pop(0) if len(rows) > 1 else rows[0]
            self.server.lock.notify_all()
        if isinstance(row, threading.Event):
            row.wait(60)
            return
        if row == "drop":
            return
        value = row[1](json.loads(body)) if callable(row[1]) else row[1]
        data = b"" if value is None else json.dumps(value).encode()
        self.send_response(row[0])
        if row[1] is not None:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if data:
            self.wfile.write(data)

    def log_message(self, *_):
        pass


class Tasks(unittest.TestCase):
    def start(self, retries=5, **answers):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        server = FalseFabric(folder.name, answers)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return server, Fabric("unix:" + server.path, talent="Demo.A", retries=retries)

    def test_tasks_come_one_after_the_other(self):
        server, f = self.start(claim=[NONE, given("a"), given("b"), NONE])
        seen = []
        for task in f.next_task("data", skills=["sql"], wait=.2, lease=5):
            seen.append((task.id, task.payload["n"], task.fence, task.entry["index"]))
            task.progress(50, "half")
            self.assertEqual(9, task.complete({"rows": 3}, cost={"usd_micro": 5, "model": "m"})["entry"]["index"])
            self.assertFalse(task.open)
            self.assertRaises(ValueError, task.complete)
        self.assertEqual([("a", 1, 7, 9), ("b", 1, 7, 9)], seen)
        first = server.of("claim")[0]
        self.assertEqual(("data", ["sql"], 5000, None), (first["body"]["swarm"], first["body"]["skills"], first["body"]["lease_ms"], first["key"]))
        self.assertTrue(0 < first["body"]["wait_ms"] <= 200)
        self.assertEqual({"fence": 7, "percent": 50, "note": "half"}, server.of("progress")[0]["body"])
        self.assertEqual({"fence": 7, "result": {"rows": 3}, "cost": {"usd_micro": 5, "model": "m"}}, server.of("complete")[0]["body"])
        self.assertEqual((2, 0), (len(server.of("complete")), len(server.of("fail"))))

    def test_claim_goes_on_over_lost_answers_and_ends_with_a_refusal(self):
        server, f = self.start(claim=["drop", (503, error(304, retryable=True, retry_after_ms=1)), given("a"), (403, error("003"))])
        got = []
        with self.assertRaises(Refused) as raised:
            for task in f.next_task("data"):
                got.append(task.id)
                task.complete()
        self.assertEqual(("003", ["a"], 4), (raised.exception.code, got, len(server.of("claim"))))

    def test_budget_without_room_is_waited_for(self):
        tasks_module.POOR_WAIT = .01
        server, f = self.start(claim=[(402, error(301)), (402, error(301)), given("a"), (402, error(301))])
        got = []
        with self.assertRaises(Refused) as raised:
            for task in f.next_task("data", wait=.3):
                got.append(task.id)
                task.complete()
        self.assertEqual(("301", ["a"]), (raised.exception.code, got))

    def test_waiting_in_vain_says_when_no_fabric_answers(self):
        _, f = self.start(claim=["drop"])
        self.assertRaises(Lost, next, f.next_task("data", wait=0))

    def test_lease_is_renewed_until_the_task_is_ended(self):
        server, f = self.start(claim=[given("a"), NONE])
        for task in f.next_task("data", wait=0, lease=4.5):
            server.until("renew", 3)
            self.assertTrue(task.open)
            task.complete()
        count = len(server.of("renew"))
        self.assertEqual({"fence": 7, "lease_ms": 4500}, server.of("renew")[0]["body"])
        time.sleep(2)
        self.assertEqual(count, len(server.of("renew")))

    def test_stale_fence_tells_the_worker(self):
        server, f = self.start(claim=[given("a"), NONE], renew=[(409, error(603))])
        for task in f.next_task("data", wait=0, lease=1.5):
            self.assertTrue(task.gone.wait(60))
            self.assertIsInstance(task.lost, TaskLost)
            self.assertIn("603", str(task.lost))
            self.assertRaises(TaskLost, task.complete, 1)
            self.assertRaises(TaskLost, task.progress, 1)
        self.assertEqual([1, 0, 0, 0], [len(server.of(v)) for v in ("renew", "complete", "progress", "fail")])

    def test_fabric_that_is_gone_past_the_lease(self):
        never = threading.Event()
        self.addCleanup(never.set)
        server, f = self.start(claim=[given("a"), NONE], renew=["drop", (503, error(304, retryable=True)), DONE, never])
        for task in f.next_task("data", wait=0, lease=.9):
            self.assertTrue(task.gone.wait(60))
            self.assertIn("lease is over", str(task.lost))
        self.assertGreaterEqual(len(server.of("renew")), 4)
        self.assertEqual([], server.of("fail"))

    def test_lost_endings_are_asked_again_with_their_key(self):
        server, f = self.start(retries=3, claim=[given("a"), given("b"), given("c"), NONE], complete=["drop", "drop", DONE, (409, error(603)), "drop"])
        told = []
        for task in f.next_task("data", wait=0, lease=60):
            try:
                task.complete(1)
            except (TaskLost, OutcomeUnknown) as e:
                told.append(type(e))
        keys = [c["key"] for c in server.of("complete")]
        self.assertEqual(([TaskLost, OutcomeUnknown], 3, 1), (told, len(set(keys)), len(set(keys[:3]))))

    def test_how_a_loop_is_left(self):
        class Going(BaseException):
            pass

        def forget(task):
            pass

        def broken(task):
            raise ValueError("käse\n" + "x" * 5000)

        def interrupted(task):
            raise Going

        for work, within, leave, expected in ((forget, False, False, "transient"), (forget, True, False, "transient"), (forget, True, True, "shutdown"),
                                              (forget, False, True, "transient"), (broken, True, False, "transient"), (broken, False, False, "transient"),
                                              (interrupted, True, False, "shutdown")):
            server, f = self.start(claim=[given("a"), NONE])
            with self.subTest(f"{work.__name__}, with: {within}, break: {leave}"):
                try:
                    for task in f.next_task("data", wait=0, lease=60):
                        if within:
                            with task:
                                work(task)
                        else:
                            work(task)
                        if leave:
                            break
                except (ValueError, Going):
                    self.assertNotEqual(forget, work)  # and it goes on to the caller
                server.until("fail", 1)
                body = server.of("fail")[0]["body"]
                self.assertEqual((1, expected, 7), (len(server.of("fail")), body["kind"], body["fence"]))
                self.assertLessEqual(len(body["error"].encode()), 1024)
                if work is broken and within:
                    self.assertRegex(body["error"], "^käse x+$")

    def test_blocked_task_stays_in_hand(self):
        server, f = self.start(claim=[given("a"), NONE])
        for task in f.next_task("data", wait=0, lease=4.5):
            task.block(["rust"], "who knows")
            server.until("renew", 1)
            task.complete()
        self.assertEqual({"fence": 7, "needs": ["rust"], "note": "who knows"}, server.of("block")[0]["body"])

    def test_create_and_cost_count_once(self):
        told = {"cost": {"usd_micro": 5}, "entry": PLACE, "budgets": [], "over": []}
        server, f = self.start(tasks=["drop", (201, {"id": "t", "entry": PLACE})],
                               costs=["drop", (503, error(304, retryable=True, retry_after_ms=1)), (201, told), (402, {**told, "over": ["a"], **error(301)}),
                                      (402, error(301)), "drop", (201, told), "drop"])
        self.assertEqual("t", f.task_create("job", "w", needs=["sql"], budget={"usd_micro": 5}, payload={"a": [1]})["id"])
        self.assertEqual({"type": "job", "why": "w", "needs": ["sql"], "budget": {"usd_micro": 5}, "payload": {"a": [1]}}, server.of("tasks")[1]["body"])
        self.assertEqual(9, f.cost(usd_micro=5, tokens_in=3, provider="openai", operation="chat", swarm="data")["entry"]["index"])
        costs = server.of("costs")
        self.assertEqual((3, 1), (len(costs), len({c["key"] for c in costs})))
        self.assertEqual({"cost": {"usd_micro": 5, "tokens_in": 3}, "provider": "openai", "operation": "chat", "swarm": "data", "talent": "Demo.A"}, costs[0]["body"])
        self.assertEqual(["a"], f.cost(calls=1)["over"])
        self.assertRaises(Refused, f.cost, calls=1)
        for bad in (2 ** 53, float("nan"), float("inf")):
            self.assertRaises(ValueError, f.cost, usd_micro=bad)
        self.assertEqual(5, len(server.of("costs")))
        self.assertEqual({None}, {c["traceparent"] for c in costs})
        trace = "01930000-0000-7000-8000-000000000001"
        f.cost(calls=1, trace=trace)
        first, again = (c["traceparent"] for c in server.of("costs")[-2:])
        self.assertRegex(first, f"^00-{trace.replace('-', '')}-[0-9a-f]{{16}}-01$")
        self.assertEqual(first, again)
        self.assertRaises(OutcomeUnknown, f.cost, calls=1)


if __name__ == "__main__":
    unittest.main()
