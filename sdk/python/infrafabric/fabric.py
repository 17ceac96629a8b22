"""The client: one object a talent (and instance). Sends one message at a time; safe to share between threads."""
import fcntl
import hashlib
import os
import random
import threading
import time

from . import envelope as env
from .errors import OutcomeUnknown, Refused, Unreachable
from .wire import Lost, Wire, from_context

RETRY = {302, 303, 304, 305, 500, 502, 503, 504}
DELAYS = (1, 2, 5, 10, 30)  # seconds, full jitter


class Receipt:
    """An answer of the fabric: attributes are its fields (decision, reason, entry, id, …); `.raw` is the whole."""

    def __init__(self, raw, replayed=False):
        self.raw, self.replayed = raw, replayed

    def __getattr__(self, name):
        try:
            return self.__dict__["raw"][name]
        except KeyError:
            raise AttributeError(name) from None

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
        self.envelope = env.loads(raw) if isinstance(raw, str) else raw
        self.raw, self.cursor, self.decision, self.entry = item, item["cursor"], item["decision"], item.get("entry")
        self.id, self.sender, self.conversation = (self.envelope[k] for k in ("id", "sender", "conversation_id"))
        self.performative, self.content = self.envelope["performative"], self.envelope.get("content", {})
        self.claim, self.data = self.content.get("claim"), self.content.get("data")

    def check(self, pubkey):
        env.check(self.envelope, pubkey)

    def __repr__(self):
        return f"<Message {self.id} from {self.sender}: {self.claim!r}>"


class Fabric:
    def __init__(self, endpoint, talent=None, key=None, token=None, retries=5, timeout=15.0):
        self.wire = Wire(endpoint, token)
        self.talent = talent.removeprefix("if://agent/") if talent else None  # NAME or NAME/INSTANCE
        self._key = env.load_key(key) if key is not None else None
        self.retries, self.timeout = retries, timeout
        self._lock, self._asked = threading.Lock(), False

    @classmethod
    def context(cls, endpoint=None, talent=None, key=None, dir=None, **options):
        """The fabric, talent and key that `ifctl` would use."""
        endpoint, talent, key, token = from_context(endpoint, dir, talent, key)
        return cls(endpoint, talent=talent, key=key, token=token, **options)

    def send(self, claim=None, confidence=None, to=None, scope=None, evidence=None, hazards=None, performative="inform", data=None,
             conversation=None, reply_to=None, topic=None, claim_id=None, wait=0, ttl=60, trace=None, proof=True):
        """Send one message and return its Receipt; with wait= (seconds) the one after a HOLD or ESCALATE was decided, if it was in time."""
        if not self.talent or self._key is None:
            raise ValueError("sending needs a talent and its key: talent= and key=, or IFAB_AS and IFAB_KEY")
        if reply_to is not None:
            conversation, to = conversation or reply_to.conversation, to or reply_to.sender
            topic = topic or reply_to.envelope["topic_hash"]
        conversation = conversation or "conv-" + env.uuid7()
        if topic is None:  # digest of the seed citations: the evidence in its order
            topic = "".join(f"{e.get('url', '')}\n{e.get('hash', '')}\n" for e in evidence or [])
        confidence = {"raw": confidence, "normalized": confidence} if isinstance(confidence, (int, float)) else confidence
        content = {"claim": claim, "claim_id": claim_id, "scope": scope, "evidence": evidence, "confidence": confidence, "hazards": hazards,
                   "data": data}
        message = {"v": "2.1", "id": "msg-" + env.uuid7(), "performative": performative, "conversation_id": conversation,
                   "topic_hash": topic if topic.startswith("sha256:") else "sha256:" + hashlib.sha256(topic.encode()).hexdigest(),
                   "sender": env.agent(self.talent), "ttl_s": ttl, "nonce": env.b64url(os.urandom(16)),
                   "content": {k: v for k, v in content.items() if v is not None}}
        receiver = env.agent(to) if isinstance(to, str) else to and [env.agent(t) for t in to]
        message.update({k: v for k, v in (("receiver", receiver), ("trace", trace)) if v is not None})
        with self._lock, self._sequence_file() as state:
            message["seq"] = self._next_seq(state)
            message["issued_at"] = env.timestamp(time.time())
            try:
                receipt = self.send_bytes(message["id"], env.sign(message, self._key), proof=proof)
            except Refused as e:
                if isinstance(e.error.get("last_seq"), int):
                    self._store_seq(state, max(message["seq"], e.error["last_seq"]))
                raise
        return self._await(receipt, wait, proof) if wait and (receipt.held or receipt.escalated) else receipt

    def send_bytes(self, message_id, body, proof=True):
        """Send the exact bytes of a signed envelope; after a lost connection the same bytes again, under the same Idempotency-Key."""
        lost = None
        for attempt in range(self.retries + 1):
            retry_ms = None
            try:
                status, value, header = self.wire.call("POST", "/v1/messages", body, {"Idempotency-Key": message_id}, self.timeout,
                                                       proof=1 if proof else None)
                if "decision" in value:
                    return Receipt(value, header("Idempotent-Replayed") == "true")
                refused = Refused(value.get("error", {"message": f"HTTP {status} without an error"}), status)
                if int(refused.code) == 102 and lost:  # expired while we could not know: the first try may have been taken
                    raise OutcomeUnknown(message_id, body, lost)
                if int(refused.code) not in RETRY or attempt == self.retries:
                    raise refused
                retry_ms = refused.retry_after_ms
            except Unreachable as e:
                if lost is None:
                    raise  # nothing has left: the caller knows where he stands
                lost = e
            except Lost as e:
                lost = e
            if attempt < self.retries:
                time.sleep(retry_ms / 1000 if retry_ms else random.uniform(0, DELAYS[min(attempt, len(DELAYS) - 1)]))
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
                time.sleep(random.uniform(0, DELAYS[min(failures, len(DELAYS) - 1)]))
                failures += 1

    def _await(self, receipt, wait, proof):
        end = time.monotonic() + wait
        while (left := end - time.monotonic()) > 0:
            step = min(left, 30)
            try:
                answer = self.wire.get(f"/v1/decisions/{receipt.id}", self.timeout + step, wait_ms=max(1, int(step * 1000)))
            except (Lost, Unreachable):
                time.sleep(min(1, left))
                continue
            except Refused as e:
                if e.status != 404:
                    raise
                answer = {}  # no longer open
            if answer.get("decision") not in ("HOLD", "ESCALATE"):
                last = self.receipt(receipt.id, proof=proof)
                return Receipt(answer) if "decision" in answer and last.decision != answer["decision"] else last
        return receipt

    def _sequence_file(self):
        base = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
        folder = os.path.join(base, "infrafabric", "seq")
        os.makedirs(folder, mode=0o700, exist_ok=True)
        name = hashlib.sha256((env.agent(self.talent) + "\n" + env.key_id(bytes(self._key.verify_key))).encode()).hexdigest()[:32]
        state = os.fdopen(os.open(os.path.join(folder, name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+")
        fcntl.flock(state, fcntl.LOCK_EX)  # one at a time per instance, over processes; closing releases it
        return state

    @staticmethod
    def _store_seq(state, seq):
        state.truncate(state.seek(0))
        state.write(f"{seq}\n")
        state.flush()

    def _next_seq(self, state):
        text = state.read().strip()
        last = int(text) if text.isdigit() else 0
        if not self._asked:  # once: what the fabric saw last, should our own file be gone or the clock set back
            self._asked = True
            try:
                answer = self.wire.get(f"/v1/talents/{self.talent.split('/')[0]}/sequences")
                seen = [i["last_seq"] for i in answer.get("items", [answer]) if i.get("sender") == env.agent(self.talent)]
                last = max([last, *seen])
            except (Refused, Lost):
                pass  # over TCP without a token nobody may ask: the clock and our file must do
        seq = max(last + 1, time.time_ns() // 1000)
        self._store_seq(state, seq)
        return seq
