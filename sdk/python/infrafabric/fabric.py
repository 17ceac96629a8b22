"""The client: one object a talent (and instance). Sends one message at a time; safe to share between threads."""
import contextlib
import fcntl
import hashlib
import os
import random
import threading
import time
from datetime import datetime, timezone
from types import SimpleNamespace

import rfc8785

from . import envelope as env
from .enrol import enroll
from .errors import InvalidMessage, Lost, OutcomeUnknown, Refused, Unreachable
from .wire import Wire, from_context, no_key

DELAYS = (1, 2, 5, 10, 30)  # seconds, full jitter

# Refusals that say, also after a lost answer, that the message was not taken. Any other then leaves the outcome unknown: a full queue
# (304), a revoked key (004) or expiry (102) is found before anybody looks whether the first try was accepted.
SETTLED = {"101", "003", "104", "105", "108", "109", "110"}
DECISIONS = ("SHARE", "HOLD", "ESCALATE", "DENY")


def _given(**fields):
    return {name: value for name, value in fields.items() if value is not None}


class Receipt(SimpleNamespace):
    """An answer of the fabric: attributes are its fields (decision, reason, entry, id, …); `.raw` is the whole; `.envelope` what send() sent."""
    envelope = None

    def __init__(self, raw, replayed=False):
        super().__init__(**{**raw, "raw": raw, "replayed": replayed})
        self.shared, self.held, self.escalated, self.denied = (raw["decision"] == name for name in DECISIONS)


class Message(SimpleNamespace):
    """A received message. The fabric verified it; check(pubkey) verifies it again under a key you know."""
    def __init__(self, item):
        content = (e := item["envelope"] or {}).get("content", {})  # none: erased
        super().__init__(raw=item, cursor=item["cursor"], decision=item["decision"]["decision"], entry=item["entry"], envelope=e,
                         id=e.get("id"), sender=e.get("sender"), conversation=e.get("conversation_id"), performative=e.get("performative"),
                         content=content, claim=content.get("claim"), data=content.get("data"))

    def check(self, pubkey):
        env.check(self.envelope, pubkey)


class Fabric:
    def __init__(self, endpoint, talent=None, key=None, token=None, retries=5, timeout=15.0, ca=None, cert=None, passphrase=None, own_key=None):
        self.wire, self.retries, self.timeout = Wire(endpoint, token, ca, cert), retries, timeout
        self.talent = talent.removeprefix("if://agent/") if talent else None  # NAME or NAME/INSTANCE
        self._key = env.load_key(key, passphrase) if key is not None else None
        self._lock, self._last, self._own_key = threading.Lock(), None, own_key  # where its key was looked for

    @classmethod
    def context(cls, endpoint=None, talent=None, key=None, dir=None, **options):
        """The fabric, talent and key that `ifctl` would use."""
        return cls(**{**from_context(endpoint, dir, talent, key, options.get("passphrase")), **options})

    @classmethod
    def enroll(cls, code, endpoint=None, key=None, dir=None, **options):
        """Enrol with a one-time code (`ifctl talent invite NAME`) and a key that is made here and stays here: key= is its new file, or a
        nacl SigningKey; without it the file is DIR/keys/NAME.pem, as of `ifctl enroll`. passphrase= encrypts it. Refused (003): the code is not
        good. Lost: perhaps enrolled, so call it again with the same code and key; 003 then says that the first call was heard, or that the code
        was not good. Until the answer names the talent the file is DIR/keys/enrolling-….pem, the same for the same code."""
        return enroll(cls, code, endpoint, key, dir, options)

    def send(self, claim=None, confidence=None, to=None, scope=None, evidence=None, hazards=None, performative="inform", data=None,
             conversation=None, reply_to=None, topic=None, claim_id=None, wait=0, ttl=60, trace=None, proof=True):
        """Send one message and return its Receipt; with wait= (seconds) the one after a HOLD or ESCALATE was decided, if it was in time."""
        if not self.talent or self._key is None:
            raise ValueError(no_key(self._own_key))
        if reply_to is not None:
            conversation, to, topic = conversation or reply_to.conversation, to or reply_to.sender, topic or reply_to.envelope["topic_hash"]
        topic = topic or "".join(f"{e.get('url', '')}\n{e.get('hash', '')}\n" for e in evidence or [])  # the seed citations in their order
        confidence = {"raw": confidence, "normalized": confidence} if isinstance(confidence, (int, float)) else confidence
        content = _given(claim=claim, claim_id=claim_id, scope=scope, evidence=evidence, confidence=confidence, hazards=hazards, data=data)
        message = _given(v="2.1", id="msg-" + env.uuid7(), performative=performative, ttl_s=ttl, content=content, trace=trace,
                         conversation_id=conversation or "conv-" + env.uuid7(), sender=env.agent(self.talent),
                         receiver=env.agent(to) if isinstance(to, str) else to and [env.agent(t) for t in to],
                         topic_hash=topic if topic.startswith("sha256:") else "sha256:" + hashlib.sha256(topic.encode()).hexdigest())
        with self._lock, self._sequence() as seq:
            now = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            message.update(seq=seq, nonce=env.b64url(os.urandom(16)), issued_at=now)
            receipt = self.send_bytes(message["id"], env.sign(message, self._key), proof=proof)
            receipt.envelope = message
        return self._await(receipt, wait) if receipt.held or receipt.escalated else receipt

    def send_bytes(self, message_id, body, proof=True):
        """Send the exact bytes of a signed envelope; after a lost connection the same bytes again, under the same Idempotency-Key."""
        (message, digest), lost, retry_ms, head = env.read(body), None, None, {"Idempotency-Key": message_id}
        if message.get("id") != message_id:
            raise InvalidMessage("id", "another one than was named")
        for attempt in range(self.retries + 1):
            if attempt > 0:
                time.sleep(retry_ms / 1000 if retry_ms else random.uniform(0, DELAYS[min(attempt, len(DELAYS)) - 1]))
            try:
                status, value, header = self.wire.call("POST", "/v1/messages", body, head, self.timeout, proof=1 if proof else None)
                if "error" not in value:
                    # an old receipt, genuine or not, says nothing about this message: whoever gave it
                    if value.get("decision") not in DECISIONS or (value.get("id"), value.get("message_digest")) != (message_id, digest):
                        raise Lost(f"HTTP {status} with neither a decision about this message nor an error: send_bytes() with the same bytes asks again")
                    return Receipt(value, header("Idempotent-Replayed") == "true")
                refused = Refused(value["error"], status)
                if not refused.retryable or attempt == self.retries:
                    raise refused if lost is None or refused.code in SETTLED else OutcomeUnknown(message_id, body, refused)
                retry_ms = refused.retry_after_ms
            except (Lost, Unreachable) as e:
                if isinstance(e, Unreachable) and lost is None:
                    raise  # nothing has left: the caller knows where he stands
                lost, retry_ms = e, None
        raise OutcomeUnknown(message_id, body, lost)

    def receipt(self, message_id, sender=None, proof=True):
        return Receipt(self.wire.ask(f"/v1/messages/{message_id}", sender=env.agent(sender or self.talent), proof=1 if proof else None))

    def fabric(self):
        """{"log", "origin", "size", "version", "vkey"}: as the daemon says, so trust the vkey only if you know it from elsewhere."""
        return self.wire.ask("/v1/fabric")

    def inbox(self, after=None, wait=0, follow=False):
        """Messages released to this talent after a cursor; follow=True iterates for ever (over restarts of the daemon, too)."""
        return self._follow(after) if follow else self._page(after, wait)[0]

    def _page(self, after, wait):
        name = self.talent.split("/")[0] if self.talent and self.wire.is_unix else None
        answer = self.wire.ask("/v1/inbox", self.timeout + wait, after=after, wait_ms=int(wait * 1000) or None, **{"as": name})
        return [Message(item) for item in answer["items"]], answer["next"] or after

    def _follow(self, after):
        while True:
            try:
                items, after = self._page(after, 25)
                yield from items
            except (Lost, Unreachable, Refused) as e:
                if isinstance(e, Refused) and not e.retryable:
                    raise
                time.sleep(random.uniform(0, DELAYS[0]))

    def _await(self, receipt, wait):
        end = time.monotonic() + wait
        while (left := end - time.monotonic()) > 0:
            try:
                answer = self.wire.ask(f"/v1/decisions/{receipt.id}", self.timeout + min(left, 30), wait_ms=max(1, int(min(left, 30) * 1000)))
                if answer.get("id") == receipt.id and answer.get("decision") in ("SHARE", "DENY"):
                    return Receipt(answer)
                time.sleep(min(.1, left))  # no busy loop, should it answer at once
            except (Lost, Unreachable):
                time.sleep(min(1, left))
        return receipt

    @contextlib.contextmanager
    def _sequence(self):
        """The next number, under a lock until its message is answered: one at a time per instance, over processes."""
        folder = (os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")) + "/infrafabric/seq/"
        os.makedirs(folder, mode=0o700, exist_ok=True)
        name = hashlib.sha256(env.agent(self.talent).encode() + b"\n" + bytes(self._key.verify_key)).hexdigest()[:32]
        with os.fdopen(os.open(folder + name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)) as state:
            fcntl.flock(state, fcntl.LOCK_EX)
            if self._last is None:  # once, should our file be gone or the clock set back; over TCP without a token nobody may ask
                self._last = 0
                with contextlib.suppress(Refused, Lost):
                    items = self.wire.ask(f"/v1/talents/{self.talent.split('/')[0]}/sequences")["items"]
                    self._last = max([i["last_seq"] for i in items if i["sender"] == env.agent(self.talent)], default=0)
            seq = max(int(state.read() or 0) + 1, self._last + 1, time.time_ns() // 1000)
            try:
                os.pwrite(state.fileno(), b"%d\n" % seq, 0)  # it only grows, so the old digits are covered
                yield seq
            except Refused as e:
                os.pwrite(state.fileno(), b"%d\n" % max(seq, e.error.get("last_seq") or 0), 0)
                raise
