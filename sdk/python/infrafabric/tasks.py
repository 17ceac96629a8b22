"""Tasks and costs: made, claimed one after the other, held by a lease that a thread renews."""
import contextlib
import random
import threading
import time
from types import SimpleNamespace

import rfc8785

from . import envelope as env
from . import fabric as messages
from .errors import FabricError, Lost, OutcomeUnknown, Refused, Unreachable

CLAIM_WAIT, POOR, POOR_WAIT = 25, "301", 10  # seconds of one request (the daemon takes at most 30), and between two while no budget has room


class TaskLost(FabricError):
    """The task is not ours any more: another has it, it was cancelled, or its lease ran out while the fabric was away. Stop working on it."""
    def __init__(self, task_id, why):
        self.id = task_id
        super().__init__(f"task {task_id} is lost: {why}")


def _words(error):
    """What a note may be: text without control characters, at most 1024 bytes."""
    text = str(error).encode(errors="replace").decode()[:256]
    return "".join(c if c.isprintable() else " " for c in text) or type(error).__name__


def change(fabric, path, body, gone=None, head=None):
    """One change, once, however often the connection is lost: the same bytes under the same Idempotency-Key. gone: an Event that ends the repeats."""
    body, key, lost, retry_ms = rfc8785.dumps(body), "py-" + env.uuid7(), None, None
    gone = gone or threading.Event()
    for attempt in range(fabric.retries + 1):
        if attempt > 0 and gone.wait(retry_ms / 1000 if retry_ms else random.uniform(0, messages.DELAYS[min(attempt, len(messages.DELAYS)) - 1])):
            break
        try:
            status, value, _ = fabric.wire.call("POST", path, body, {"Idempotency-Key": key, **(head or {})}, fabric.timeout)
            if "entry" in value:
                return value  # also of a cost that has passed a budget: it is recorded
            if "error" not in value:
                raise Lost(f"HTTP {status} with neither an entry nor an error")
            refused = Refused(value["error"], status)
            if not refused.retryable or attempt == fabric.retries:
                raise OutcomeUnknown(key, body, refused) if lost and refused.retryable else refused
            retry_ms = refused.retry_after_ms
        except (Lost, Unreachable) as e:
            if isinstance(e, Unreachable) and lost is None:
                raise  # nothing has left
            lost, retry_ms = e, None
    raise OutcomeUnknown(key, body, lost or "the task was lost meanwhile")


class Task(SimpleNamespace):
    """A task in hand: attributes are its record's fields (id, type, attempt, payload, …). `with task:` fails it when its block raises."""
    def __init__(self, fabric, claim, lease):
        super().__init__(**{"payload": None, **claim["task"], "raw": claim, "entry": claim["entry"], "fence": claim["fence"]})
        self._fabric, self._lease, self._until = fabric, lease, time.monotonic() + lease
        self._stop, self.gone, self._lost, self._ending, self._left = threading.Event(), threading.Event(), None, 0, False
        self._renewing = threading.Thread(target=self._renew, name="renew " + self.id, daemon=True)
        self._renewing.start()

    @property
    def lost(self):
        """TaskLost, once the task is not ours any more; until then None. Look at it in long work, or wait for the Event .gone."""
        return self._lost

    @property
    def open(self):
        """Neither ended nor lost."""
        return self._lost is None and not self._stop.is_set()

    def _lose(self, why):
        self._lost = TaskLost(self.id, why)
        self._stop.set()
        self.gone.set()

    def _renew(self):
        pause = self._lease / 3
        body = rfc8785.dumps({"fence": self.fence, "lease_ms": round(self._lease * 1000)})
        while not self._stop.wait(max(0, min(pause, self._until - time.monotonic()))):
            now = time.monotonic()
            if now >= self._until:
                self._lose("its lease is over and could not be renewed")
                break
            try:
                self._fabric.wire.ask(f"/v1/tasks/{self.id}/renew", self._until - now, body)
                self._until, pause = now + self._lease, self._lease / 3
            except (Lost, Unreachable, Refused) as e:
                if not isinstance(e, Refused) or e.retryable:
                    pause = min(.25, self._lease / 6)
                elif not self._ending and not self._stop.is_set():  # else whoever ends it is told how it ended
                    self._lose(str(e))

    def _act(self, verb, **fields):
        if self._lost is not None:
            raise self._lost
        if self._stop.is_set():
            raise ValueError(f"task {self.id}: it is ended already")
        try:
            return change(self._fabric, f"/v1/tasks/{self.id}/{verb}", messages._given(fence=self.fence, **fields), self.gone)
        except Refused as e:
            if e.code != "603":
                raise
            self._lose(str(e))
            raise self._lost from e

    def _end(self, verb, **fields):
        self._ending += 1
        try:
            value = self._act(verb, **fields)
            self._stop.set()
            return value
        finally:
            self._ending -= 1

    def complete(self, result=None, cost=None, note=None):
        """End it with its result: any JSON of at most 64 KiB. cost: usd_micro, tokens_in, tokens_out, calls, model."""
        return self._end("complete", result=result, cost=cost, note=note)

    def fail(self, error=None, kind="transient", cost=None):
        """transient: another attempt later; poison: dead; shutdown: queued again, which costs no attempt."""
        return self._end("fail", kind=kind, error=None if error is None else _words(error), cost=cost)

    def progress(self, percent=None, note=None):
        return self._act("progress", percent=percent, note=note)

    def block(self, needs, note=None):
        """Ask for what is missing; until it is helped the task stays ours, and is renewed."""
        return self._act("block", needs=list(needs), note=note)

    def release(self, kind, why):
        """Stop renewing; fail it if it is still open. Should that fail too, its lease runs out."""
        with contextlib.suppress(FabricError):
            if self.open:
                self.fail(why, kind)
        self._stop.set()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self._left = True
        if error is not None:
            self.release("transient" if isinstance(error, Exception) else "shutdown", error)


def _claim(fabric, swarm, skills, wait, lease):
    end, lost = time.monotonic() + (float("inf") if wait is None else wait), None
    while True:
        left = max(0, min(CLAIM_WAIT, end - time.monotonic()))
        body = rfc8785.dumps(messages._given(swarm=swarm, skills=skills and list(skills), wait_ms=int(left * 1000), lease_ms=round(lease * 1000)))
        try:
            status, value, _ = fabric.wire.call("POST", "/v1/tasks/claim", body, None, fabric.timeout + left)
            if "error" in value:
                raise Refused(value["error"], status)
            if "task" in value:
                return Task(fabric, value, lease)
            lost = None if status == 204 else Lost(f"HTTP {status} with neither a task nor an error")
        except (Lost, Unreachable, Refused) as e:
            if isinstance(e, Refused) and not (e.retryable or e.code == POOR):
                raise
            lost = e
        if lost is None and time.monotonic() >= end:
            return None
        if lost is not None:
            if time.monotonic() >= end:
                raise lost
            ms = POOR_WAIT * 1000 if getattr(lost, "code", "") == POOR else getattr(lost, "retry_after_ms", None) or random.uniform(0, 1000 * messages.DELAYS[0])
            time.sleep(max(0, min(ms / 1000, end - time.monotonic())))


class Fabric(messages.Fabric):
    """The client, with tasks and costs."""
    def task_create(self, type, why, **fields):
        """Make a task; fields as in POST /v1/tasks: id, needs, priority, swarm, budget, deadline, not_before, depends_on, max_attempts, payload."""
        return change(self, "/v1/tasks", messages._given(type=type, why=why, **fields))

    def cost(self, usd_micro=None, tokens_in=None, tokens_out=None, calls=None, model=None, provider=None, capability=None, operation=None, swarm=None,
             trace=None):
        """Report what was spent elsewhere; it counts once. Where `over` is not empty a budget has been passed, and the cost is recorded all the same."""
        spent = messages._given(usd_micro=usd_micro, tokens_in=tokens_in, tokens_out=tokens_out, calls=calls, model=model)
        talent = self.talent.split("/")[0] if self.wire.is_unix and self.talent else None  # the socket is an operator: it says whose
        head = {"traceparent": f"00-{trace.replace('-', '')}-{env.uuid7().replace('-', '')[16:]}-01"} if trace else None
        return change(self, "/v1/costs", messages._given(cost=spent, provider=provider, capability=capability, operation=operation, swarm=swarm, talent=talent), head=head)

    def next_task(self, swarm, skills=None, wait=None, lease=30):
        """Tasks of a swarm, one after the other, each renewed at a third of its lease; for ever, or until none came for wait seconds.
        While no budget has room it asks every ten seconds; where that is so at the end of wait, the refusal (301) is raised.

        One that is left open fails. Write `with task:` in the loop: an exception in it is transient, KeyboardInterrupt and SystemExit shutdown,
        and so is break after it. Without `with` all are transient, since a loop cannot tell break from an exception."""
        while (task := _claim(self, swarm, skills, wait, lease)) is not None:
            kind, why = None, "the worker left its loop"
            try:
                yield task
                kind, why = "transient", "the worker ended without completing it"
            finally:
                task.release(kind or ("shutdown" if task._left else "transient"), why)
