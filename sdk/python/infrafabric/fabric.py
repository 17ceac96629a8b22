"""The client: one object a talent (and instance). Sends one message at a time; safe to share between threads."""
import fcntl
import hashlib
import os
import random
import threading
import time

from . import envelope as env
from .wire import Lost, OutcomeUnknown, Refused, Unreachable, Wire, from_context

RETRY = {302, 303, 304, 305, 500, 502, 503, 504}
DELAYS = (1, 2, 5, 10, 30)  # seconds, full jitter


class Receipt:
    """An answer of the fabric: attributes are its fields (decision, reason, entry, id, …); `.raw` is the whole."""

    def __init__(self, raw, replayed=False):
        self.__dict__.update(raw, raw=raw, replayed=replayed)

    shared = property(lambda self: self.decision == "SHARE")
    held = property(lambda self: self.decision == "HOLD")
    escalated = property(lambda self: self.decision == "ESCALATE")
    denied = property(lambda self: self.decision == "DENY")

    def __repr__(self):
        return f"<Receipt {self.raw.get('id')} {self.raw.get('decision')}: {self.raw.get('reason')}>"


class Message:
    """A received message. The fabric verified it; check(pubkey) verifies it again under a key you know."""

    def __init__(self, item):
        raw = item["envelope"]
        self.envelope = e = env.loads(raw) if isinstance(raw, str) else raw
        self.raw, self.cursor, self.decision, self.entry = item, item["cursor"], item["decision"], item.get("entry")
        self.id, self.sender, self.conversation, self.performative = e["id"], e["sender"], e["conversation_id"], e["performative"]
        self.content = e.get("content", {})
        self.claim, self.data = self.content.get("claim"), self.content.get("data")

    def check(self, pubkey):
        env.check(self.envelope, pubkey)

    def __repr__(self):
        return f"<Message {self.id} from {self.sender}: {self.claim!r}>"


class Fabric:
    def __init__(self, endpoint, talent=None, key=None, token=None, retries=5, timeout=15.0):
        self.wire, self.retries, self.timeout = Wire(endpoint, token), retries, timeout
        self.talent = talent.removeprefix("if://agent/") if talent else None  # NAME or NAME/INSTANCE
        self._key = env.load_key(key) if key is not None else None
        self._lock, self._asked = threading.Lock(), False

    @classmethod
    def context(cls, endpoint=None, talent=None, key=None, dir=None, **options):
        """The fabric, talent and key that `ifctl` would use."""
        return cls(*from_context(endpoint, dir, talent, key), **options)

    def send(self, claim=None, confidence=None, to=None, scope=None, evidence=None, hazards=None, performative="inform", data=None,
             conversation=None, reply_to=None, topic=None, claim_id=None, wait=0, ttl=60, trace=None, proof=True):
        """Send one message and return its Receipt; with wait= (seconds) the one after a HOLD or ESCALATE was decided, if it was in time."""
        if not self.talent or self._key is None:
            raise ValueError("sending needs a talent and its key: talent= and key=, or IFAB_AS and IFAB_KEY")
        if reply_to is not None:
            conversation, to = conversation or reply_to.conversation, to or reply_to.sender
            topic = topic or reply_to.envelope["topic_hash"]
        if topic is None:  # digest of the seed citations: the evidence in its order
            topic = "".join(f"{e.get('url', '')}\n{e.get('hash', '')}\n" for e in evidence or [])
        confidence = {"raw": confidence, "normalized": confidence} if isinstance(confidence, (int, float)) else confidence
        message = {"v": "2.1", "id": "msg-" + env.uuid7(), "performative": performative, "trace": trace, "ttl_s": ttl,
                   "conversation_id": conversation or "conv-" + env.uuid7(), "sender": env.agent(self.talent),
                   "receiver": env.agent(to) if isinstance(to, str) else to and [env.agent(t) for t in to],
                   "topic_hash": topic if topic.startswith("sha256:") else "sha256:" + hashlib.sha256(topic.encode()).hexdigest(),
                   "content": _given(claim=claim, claim_id=claim_id, scope=scope, evidence=evidence, confidence=confidence,
                                     hazards=hazards, data=data)}
        with self._lock, self._sequence_file() as state:
            message.update(seq=self._next_seq(state), nonce=env.b64url(os.urandom(16)), issued_at=env.timestamp(time.time()))
            try:
                receipt = self.send_bytes(message["id"], env.sign(_given(**message), self._key), proof=proof)
            except Refused as e:
                _store_seq(state, max(message["seq"], e.error.get("last_seq") or 0))
                raise
        return self._await(receipt, wait, proof) if wait and (receipt.held or receipt.escalated) else receipt

    def send_bytes(self, message_id, body, proof=True):
        """Send the exact bytes of a signed envelope; after a lost connection the same bytes again, under the same Idempotency-Key."""
        lost, head = None, {"Idempotency-Key": message_id}
        for attempt in range(self.retries + 1):
            retry_ms = None
            try:
                status, value, header = self.wire.call("POST", "/v1/messages", body, head, self.timeout, proof=1 if proof else None)
                if "decision" in value:
                    return Receipt(value, header("Idempotent-Replayed") == "true")
                refused = Refused(value.get("error", {"message": f"HTTP {status} without an error"}), status)
                if int(refused.code) == 102 and lost:
                    break  # expired while we could not know: the first try may have been taken
                if int(refused.code) not in RETRY or attempt == self.retries:
                    raise refused
                retry_ms = refused.retry_after_ms
            except (Lost, Unreachable) as e:
                if isinstance(e, Unreachable) and lost is None:
                    raise  # nothing has left: the caller knows where he stands
                lost = e
            if attempt < self.retries:
                _pause(attempt, retry_ms)
        raise OutcomeUnknown(message_id, body, lost)

    def receipt(self, message_id, sender=None, proof=True):
        return Receipt(self.wire.get(f"/v1/messages/{message_id}", sender=env.agent(sender or self.talent), proof=1 if proof else None))

    def fabric(self):
        """{"log", "origin", "size", "version", "vkey"}: as the daemon says, so trust the vkey only if you know it from elsewhere."""
        return self.wire.get("/v1/fabric")

    def inbox(self, after=None, wait=0, follow=False):
        """Messages released to this talent after a cursor; follow=True iterates for ever (over restarts of the daemon, too)."""
        return self._follow(after) if follow else self._page(after, wait)[0]

    def _page(self, after, wait):
        name = self.talent.split("/")[0] if self.talent and self.wire.is_unix else None
        answer = self.wire.get("/v1/inbox", self.timeout + wait, after=after, wait_ms=int(wait * 1000) or None, **{"as": name})
        items = [Message(item) for item in answer["items"]]
        return items, answer.get("next") or (items[-1].cursor if items else after)

    def _follow(self, after):
        failures = 0
        while True:
            try:
                items, after = self._page(after, 25)
                failures = 0
                yield from items
            except (Lost, Unreachable, Refused) as e:
                if isinstance(e, Refused) and not e.retryable:
                    raise
                _pause(failures)
                failures += 1

    def _await(self, receipt, wait, proof):
        end = time.monotonic() + wait
        while (left := end - time.monotonic()) > 0:
            step = min(left, 30)
            try:
                answer = self.wire.get(f"/v1/decisions/{receipt.id}", self.timeout + step, wait_ms=max(1, int(step * 1000)))
                if answer["decision"] not in ("HOLD", "ESCALATE"):
                    last = self.receipt(receipt.id, proof=proof)
                    return last if last.decision == answer["decision"] else Receipt(answer)
            except (Lost, Unreachable):
                time.sleep(min(1, left))
            except Refused as e:
                if e.status != 404:
                    raise
                return self.receipt(receipt.id, proof=proof)  # no longer open
        return receipt

    def _sequence_file(self):
        """Locked till it is closed: one message at a time per instance, over processes."""
        base = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
        folder = os.path.join(base, "infrafabric", "seq")
        os.makedirs(folder, mode=0o700, exist_ok=True)
        name = hashlib.sha256((env.agent(self.talent) + "\n" + env.key_id(bytes(self._key.verify_key))).encode()).hexdigest()[:32]
        state = os.fdopen(os.open(os.path.join(folder, name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+")
        fcntl.flock(state, fcntl.LOCK_EX)
        return state

    def _next_seq(self, state):
        text = state.read().strip()
        last = int(text) if text.isdigit() else 0
        if not self._asked:  # once: what the fabric saw last, should our own file be gone or the clock set back
            self._asked = True
            try:
                answer = self.wire.get(f"/v1/talents/{self.talent.split('/')[0]}/sequences")
                last = max([last] + [i["last_seq"] for i in answer["items"] if i["sender"] == env.agent(self.talent)])
            except (Refused, Lost):
                pass  # over TCP without a token nobody may ask: the clock and our file must do
        seq = max(last + 1, time.time_ns() // 1000)
        _store_seq(state, seq)
        return seq


def _given(**fields):
    return {name: value for name, value in fields.items() if value is not None}


def _pause(attempt, retry_ms=None):
    time.sleep(retry_ms / 1000 if retry_ms else random.uniform(0, DELAYS[min(attempt, len(DELAYS) - 1)]))


def _store_seq(state, seq):
    state.truncate(state.seek(0))
    state.write(f"{seq}\n")
    state.flush()
