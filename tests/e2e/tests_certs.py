"""Client certificates: their key is enrolled, nothing else about them counts; theft, foreign authorities, other sites, ends. INV-01, INV-02."""

import hashlib
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time

from fabric import PATIENCE, Conn, Events, Fabric, Gone, stamp, wait_for
from tests_tls import Tls, client, ifctl, make, secure
from tests_tokens import bearer, enrolment, invite, new_key, refused, token


def openssl(*args, stdin=None):
    return subprocess.run(["openssl", *args], check=True, capture_output=True, input=stdin).stdout


class Certificate:
    """One of a client; by default self-signed, of a key of its own."""

    def __init__(self, f, name, subject="/CN=anybody", key=None, signed_by=None):
        self.crt, self.key = os.path.join(f.root, name + ".crt"), os.path.join(f.root, name + ".key")
        if key is None:
            openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", self.key)
        else:
            with open(key, "rb") as old, open(self.key, "wb") as new:
                new.write(old.read())
        os.chmod(self.key, 0o600)
        if signed_by is None:
            openssl("req", "-x509", "-new", "-key", self.key, "-subj", subject, "-days", "1", "-out", self.crt)
        else:
            request = openssl("req", "-new", "-key", self.key, "-subj", subject)
            authority = ("-CA", signed_by.crt, "-CAkey", signed_by.key, "-CAcreateserial", "-days", "1")
            openssl("x509", "-req", *authority, "-out", self.crt, stdin=request)

    @property
    def spki(self):
        """From the certificate, by the tool alone."""
        public = openssl("x509", "-in", self.crt, "-noout", "-pubkey")
        return "sha256:" + hashlib.sha256(openssl("pkey", "-pubin", "-outform", "der", stdin=public)).hexdigest()


def connect(f, certificate=None, timeout=PATIENCE):
    context = client(f.certificate)
    if certificate is not None:
        context.load_cert_chain(certificate.crt, certificate.key)
    return Tls(f.tcp, context, timeout=timeout)


def call(f, certificate, method, target, body=None, headers=None, timeout=PATIENCE):
    with connect(f, certificate, timeout) as c:
        return c.request(method, target, json.dumps(body).encode() if isinstance(body, dict) else body, headers)


def enrol_key(f, name, certificate, key=None, **more):
    body = json.dumps({"use": "tls", "spki": certificate.spki, "why": "test", **more}).encode()
    route = f"/v1/talents/{name}/keys"
    return f.post(route, body, f.admin_header(route, body, key=key))


def certified(f, name, role=None):
    """A talent and a certificate that stands for it."""
    agent, certificate = f.enrol(name, role=role), Certificate(f, name)
    r = enrol_key(f, name, certificate)
    assert r.status == 200, r
    return agent, certificate


def stream(f, certificate, target, headers=None):
    c = connect(f, certificate)
    c.send(c.bytes_of("GET", target, None, {"Accept": "text/event-stream", **(headers or {})}))
    status, _ = c.head()
    assert status == 200, status
    return Events(c)


def ended(events):
    assert events.next()["event"] == "expired"
    try:
        events.next()
    except Gone:
        return
    raise AssertionError("the stream goes on")


def test_certificate_opens_the_routes_of_its_talent(f):
    # INV-02 INV-13
    secure(f)
    a, mine = certified(f, "Demo.A")
    entry = f.entries()[-1]
    assert entry["operation"] == "tls_key" and entry["why"] == "because" and entry["actor"] == "if://agent/operator", entry
    assert entry["payload"]["record"]["tls_keys"] == [{"not_before": entry["time"], "spki": mine.spki}], entry
    assert f.get("/v1/talents/Demo.A").json["tls_keys"][0]["spki"] == mine.spki
    for _ in range(2):
        b, other = f.enrol("Demo.B" + str(_)), None
        assert f.send(b.message(receiver=a.uri)).status == 200
        with connect(f, mine) as c:
            got = c.request("GET", "/v1/inbox").json["items"]
            assert [i["envelope"]["sender"] for i in got][-1] == b.uri
            refused(c.request("GET", "/v1/talents"), 403, 3)
            refused(c.request("GET", "/v1/inbox?as=" + b.name), 404, 203)
        with connect(f) as c:
            refused(c.request("GET", "/v1/inbox"), 401, 2)
            assert c.request("GET", "/healthz").status == 200, "none is an answer"
        f.restart()
    f.verify()


def test_any_kind_of_key_and_no_name_or_authority_counts(f):
    secure(f)
    f.enrol("Demo.A")
    kinds = (["RSA", "-pkeyopt", "rsa_keygen_bits:2048"], ["ED25519"], ["EC", "-pkeyopt", "ec_paramgen_curve:P-384"])
    for i, kind in enumerate(kinds):
        path = os.path.join(f.root, f"kind{i}.pem")
        openssl("genpkey", "-algorithm", *kind, "-out", path)
        one = Certificate(f, f"kind{i}", key=path)
        assert enrol_key(f, "Demo.A", one).status == 200
        assert call(f, one, "GET", "/v1/inbox").status == 200, kind
    # the same key under another name, signed by an authority nobody knows: it is the key that was enrolled
    authority = Certificate(f, "authority", "/CN=Some authority")
    again = Certificate(f, "again", "/CN=other", key=one.key, signed_by=authority)
    assert call(f, again, "GET", "/v1/inbox").status == 200


def test_foreign_authority_and_the_same_name_open_nothing(f):
    # INV-01: what was not enrolled is refused on every route, open ones too, changes nothing and is counted
    secure(f)
    _, mine = certified(f, "Demo.A")
    authority = Certificate(f, "authority", "/CN=ifd")
    size = f.size()
    for i, forged in enumerate((
        Certificate(f, "forged", "/CN=Demo.A"),
        Certificate(f, "signed", "/CN=Demo.A", signed_by=authority),
        Certificate(f, "byholder", "/CN=Demo.A", signed_by=mine),  # an enrolled key vouches for nobody
    )):
        for path in ("/v1/inbox", "/healthz", "/v1/fabric", "/checkpoint"):
            with connect(f, forged) as c:
                r = c.request("GET", path)
                assert "not enrolled" in refused(r, 401, 2)["message"] and r.headers.get("connection") == "close", r
                try:
                    c.request("GET", path)
                    raise AssertionError("the connection goes on")
                except (Gone, ssl.SSLError, ConnectionError):
                    pass
        new = enrolment(f, invite(f, f"New{i}"), new_key())
        refused(call(f, forged, "POST", "/v1/enroll", new), 401, 2)
    assert {e["operation"] for e in f.entries(size)} <= {"invite", "refusals_counted"}
    # the certificate without its key: the handshake is not to be signed
    context = client(f.certificate)
    try:
        context.load_cert_chain(mine.crt, forged.key)
        raise AssertionError("a pair that is none")
    except ssl.SSLError:
        pass
    assert call(f, mine, "GET", "/v1/inbox").status == 200


def test_older_tls_is_refused_with_a_certificate_as_well(f):
    secure(f)
    _, mine = certified(f, "Demo.A")
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1):
        context = client(f.certificate)
        context.minimum_version = context.maximum_version = version
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.load_cert_chain(mine.crt, mine.key)
        try:
            Tls(f.tcp, context)
            raise AssertionError(f"{version} was spoken")
        except (ssl.SSLError, ConnectionError):
            pass
    with Conn(f.tcp) as c:  # no TLS at all
        try:
            r = c.request("GET", "/healthz")
            raise AssertionError(f"plain text was answered: {r}")
        except (Gone, ConnectionError, ValueError, IndexError):
            pass


def test_stolen_token_works_neither_under_another_certificate_nor_elsewhere(f):
    # INV-02
    secure(f)
    _, mine = certified(f, "Demo.A")
    _, thief = certified(f, "Demo.B")
    _, admin = certified(f, "Adm", role="admin")
    stranger = Certificate(f, "stranger")
    secret, record = token(f, "Demo.A")
    assert call(f, mine, "GET", "/v1/inbox", headers=bearer(secret)).status == 200
    assert call(f, None, "GET", "/v1/inbox", headers=bearer(secret)).status == 200
    for certificate in (thief, admin):
        for path in ("/v1/inbox", "/healthz"):
            said = refused(call(f, certificate, "GET", path, headers=bearer(secret)), 401, 2)
            assert "another talent's" in said["message"], said
    refused(call(f, stranger, "GET", "/v1/inbox", headers=bearer(secret)), 401, 2)
    refused(call(f, mine, "GET", "/v1/inbox", headers=bearer(secret[:-2] + "AA")), 401, 2)
    assert call(f, thief, "GET", "/v1/inbox").status == 200, "by its own certificate it is who it is"
    with Fabric() as g:  # another fabric, the same talents
        g.start()
        g.enrol("Demo.A")
        refused(g.get("/v1/inbox", headers=bearer(secret), tcp=True), 401, 2)
    assert f.post(f"/v1/tokens/{record['id']}/revoke", {"why": "stolen"}).status == 200
    refused(call(f, mine, "GET", "/v1/inbox", headers=bearer(secret)), 401, 2)
    assert call(f, mine, "GET", "/v1/inbox").status == 200


def test_rights_are_those_of_token_and_certificate(f):
    secure(f)
    _, ops = certified(f, "Ops", role="operator")
    less, _ = token(f, "Ops", admin=True, role="readonly")
    assert call(f, ops, "GET", "/v1/witness/entries").status == 200
    refused(call(f, ops, "GET", "/v1/witness/entries", headers=bearer(less)), 403, 3)
    assert call(f, ops, "GET", "/v1/talents", headers=bearer(less)).status == 200


def test_other_sites_gain_nothing_by_a_certificate(f):
    """A browser shows a certificate by itself, to whoever asks: Origin, Host and content type still stand before it."""
    # INV-01
    secure(f)
    _, ops = certified(f, "Ops", role="operator")
    body, host = {"name": "X", "why": "t"}, f"127.0.0.1:{f.tcp[1]}"
    size = f.size()
    for extra in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://" + host},
        {"Origin": "https://fabric.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        for method, path in (("POST", "/v1/talents"), ("GET", "/v1/talents"), ("GET", "/healthz")):
            refused(call(f, ops, method, path, body if method == "POST" else None, extra), 403, 3)
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        refused(call(f, ops, "POST", "/v1/talents", body, {"Content-Type": kind}), 415, 208)
    for name in ("evil.example", "127.0.0.1.evil.example", f"evil.example:{f.tcp[1]}"):  # a name that was bound to this address
        refused(call(f, ops, "POST", "/v1/talents", body, {"Host": name}), 421, 3)
        refused(call(f, ops, "GET", "/v1/talents", None, {"Host": name, "Origin": "https://" + name}), 421, 3)
    assert f.size() == size
    assert call(f, ops, "POST", "/v1/talents", body, {"Origin": "https://" + host, "Sec-Fetch-Site": "same-origin"}).status == 201
    assert f.entries()[-1]["actor"] == "if://agent/Ops"


def test_no_certificate_makes_an_admin_act_unnecessary(f):
    # INV-02
    secure(f)
    _, admin = certified(f, "Adm", role="admin")
    above = {"name": "B", "role": "auditor", "why": "t"}
    refused(call(f, admin, "POST", "/v1/talents", above), 403, 3)
    refused(call(f, admin, "POST", "/v1/talents/Adm/keys", {"use": "tls", "spki": "sha256:" + "7" * 64, "why": "t"}), 403, 3)
    refused(call(f, admin, "POST", "/v1/talents/Adm/revoke", {"why": "t"}), 403, 3)
    refused(call(f, admin, "POST", "/v1/clock/accept", {"why": "t"}), 403, 3)
    body = json.dumps(above).encode()
    assert call(f, admin, "POST", "/v1/talents", body, f.admin_header("/v1/talents", body)).status == 201
    assert call(f, admin, "POST", "/v1/talents", {"name": "A", "why": "t"}).status == 201, "an operator's act is an operator's"


def test_who_enrols_keys_for_whom(f):
    # INV-02
    secure(f)
    a, b = f.enrol("Demo.A"), f.enrol("Demo.B")
    ops, op_cert = certified(f, "Ops", role="operator")
    mine, second = Certificate(f, "mine"), Certificate(f, "second")
    route, body = "/v1/talents/Demo.A/keys", {"use": "tls", "spki": mine.spki, "why": "t"}
    refused(f.post(route, body), 403, 3)
    refused(call(f, op_cert, "POST", route, body), 403, 3)
    refused(enrol_key(f, "Demo.A", mine, key=b.key), 403, 3)
    refused(enrol_key(f, "Ops", mine, key=ops.key), 403, 3)
    refused(enrol_key(f, "nobody", mine), 404, 203)
    assert enrol_key(f, "Demo.A", mine, key=a.key).status == 200, "an agent for itself"
    signed = json.dumps({"use": "tls", "spki": second.spki, "why": "t"}).encode()
    header = f.admin_header(route, signed, key=a.key)
    assert call(f, mine, "POST", route, signed, header).status == 200, "over TLS, by the certificate it has"
    refused(call(f, mine, "POST", route, signed, header), 409, 103)
    for change in (
        {"spki": mine.spki[7:]},
        {"spki": "sha256:" + "A" * 64},
        {"spki": None},
        {"use": "TLS"},
        {"pubkey": a.pub},
        {"expires_at": "2020-01-01T00:00:00Z"},
        {"overlap_s": -1},
        {"overlap_s": 31 * 86400},
        {"name": "x"},
    ):
        bad = json.dumps({k: v for k, v in {**body, "spki": "sha256:" + "5" * 64, **change}.items() if v is not None}).encode()
        refused(f.post(route, bad, f.admin_header(route, bad)), 400, 208)
    assert len(f.get("/v1/talents/Demo.A").json["tls_keys"]) == 2


def test_key_has_one_use_and_one_holder(f):
    # INV-02
    secure(f)
    key = os.path.join(f.root, "signs.pem")
    openssl("genpkey", "-algorithm", "ED25519", "-out", key)
    raw = openssl("pkey", "-in", key, "-outform", "der")[-32:]
    import nacl.signing

    a = f.enrol("Demo.A", key=nacl.signing.SigningKey(raw))
    f.enrol("Demo.B")
    signs = Certificate(f, "signs", key=key)
    for name in ("Demo.A", "Demo.B"):
        refused(enrol_key(f, name, signs), 409, 409)
    refused(call(f, signs, "GET", "/v1/inbox"), 401, 2)
    openssl("genpkey", "-algorithm", "ED25519", "-out", key)
    shows = Certificate(f, "shows", key=key)
    assert enrol_key(f, "Demo.A", shows).status == 200
    refused(enrol_key(f, "Demo.A", shows), 409, 409)
    refused(enrol_key(f, "Demo.B", shows), 409, 409)
    other = nacl.signing.SigningKey(openssl("pkey", "-in", key, "-outform", "der")[-32:])
    refused(f.post("/v1/enroll", enrolment(f, invite(f, "New"), other)), 409, 409)
    message = a.message(sign_with=other)
    refused(f.send(message), 401, 1)
    assert f.post("/v1/talents/Demo.A/revoke", {"talent": True, "why": "gone"}).status == 200
    refused(enrol_key(f, "Demo.B", shows), 409, 409)
    refused(call(f, shows, "GET", "/v1/inbox"), 401, 2)
    f.restart()
    refused(enrol_key(f, "Demo.B", shows), 409, 409)


def test_revocation_ends_what_is_open(f):
    # INV-02
    secure(f)
    a, mine = certified(f, "Demo.A")
    _, second = certified(f, "Ops", role="operator")
    b = f.enrol("Demo.B")
    spare = Certificate(f, "spare")
    assert enrol_key(f, "Demo.A", spare).status == 200
    secret, _ = token(f, "Demo.A")
    box, kept, both = stream(f, mine, "/v1/inbox"), stream(f, spare, "/v1/inbox"), stream(f, mine, "/v1/inbox", bearer(secret))
    events, idle, got = stream(f, second, "/v1/events"), connect(f, mine), []
    assert idle.request("GET", "/v1/inbox").status == 200
    poll = threading.Thread(target=lambda: got.append(call(f, mine, "GET", "/v1/inbox?after=1000000&wait_ms=30000")))
    poll.start()
    assert f.send(b.message(receiver=a.uri)).status == 200
    for s in (box, kept, both):
        assert s.next()["event"] == "message"
    assert events.next()["event"] == "IF.connect.share"
    r = f.post("/v1/talents/Demo.A/revoke", {"spki": mine.spki, "why": "lost laptop"})
    assert r.status == 200 and r.json["talent"]["tls_keys"][0]["revoked_at"] and "revoked_at" not in r.json["talent"]["tls_keys"][1], r
    ended(box)
    ended(both)  # its token is as good as before
    poll.join()
    refused(got[0], 401, 2)
    refused(idle.request("GET", "/v1/inbox"), 401, 2)
    try:
        idle.request("GET", "/healthz")
        raise AssertionError("the connection goes on")
    except (Gone, ssl.SSLError, ConnectionError):
        pass
    assert f.send(b.message(receiver=a.uri)).status == 200
    assert kept.next()["event"] == "message", "the other certificate's goes on"
    assert f.send(a.message()).status == 200, "and the key that signs"
    f.kill()
    f.start()
    refused(call(f, mine, "GET", "/v1/inbox"), 401, 2)
    assert call(f, spare, "GET", "/v1/inbox").status == 200
    box = stream(f, spare, "/v1/inbox")
    assert f.post("/v1/talents/Demo.A/revoke", {"talent": True, "why": "left"}).status == 200
    while (event := box.next())["event"] == "message":
        pass
    assert event["event"] == "expired"
    refused(call(f, spare, "GET", "/v1/inbox"), 401, 2)


def test_certificate_ends_by_its_time_and_so_does_what_is_open(f):
    secure(f)
    f.enrol("Demo.A")
    short, old, new = Certificate(f, "short"), Certificate(f, "old"), Certificate(f, "new")
    assert enrol_key(f, "Demo.A", old).status == 200
    assert enrol_key(f, "Demo.A", short, expires_at=stamp(time.time() + 6)).status == 200
    boxes = [stream(f, c, "/v1/inbox") for c in (old, short)]
    assert enrol_key(f, "Demo.A", new, overlap_s=6).status == 200  # ends both that were there
    boxes.append(stream(f, new, "/v1/inbox"))
    assert call(f, old, "GET", "/v1/inbox").status == 200, "until then both are good"
    for box in boxes[:2]:
        ended(box)
    for certificate in (old, short):
        refused(call(f, certificate, "GET", "/v1/inbox"), 401, 2)
    with connect(f, new) as c:
        assert c.request("GET", "/v1/inbox").status == 200
    b = f.enrol("Demo.B")
    assert f.send(b.message(receiver="if://agent/Demo.A")).status == 200
    assert boxes[2].next()["event"] == "message"


def test_rotation_keeps_the_old_key_until_its_time(f):
    # INV-02: both sign until then, the old one not a step longer
    a = f.enrol("Demo.A")
    from fabric import Agent

    new = Agent("Demo.A")
    route, body = "/v1/talents/Demo.A/keys", json.dumps({"pubkey": new.pub, "overlap_s": 8, "why": "t"}).encode()
    r = f.post(route, body, f.admin_header(route, body, key=a.key))
    assert r.status == 200 and r.json["talent"]["keys"][0]["not_after"] and "not_after" not in r.json["talent"]["keys"][1], r
    for agent in (a, new):
        sent = f.send(agent.message(sender=f"if://agent/Demo.A/{'old' if agent is a else 'new'}"))
        assert sent.status == 200, sent
    other = Agent("Demo.A")
    refused(f.send(other.message()), 401, 1)
    wait_for(lambda: f.send(a.message(sender="if://agent/Demo.A/old")).status == 401, 10, "the end of the old key")
    refused(f.send(a.message(sender="if://agent/Demo.A/old")), 401, 4)
    assert f.send(new.message(sender="if://agent/Demo.A/new")).status == 200
    body = json.dumps({"pubkey": Agent("Demo.A").pub, "why": "t"}).encode()
    refused(f.post(route, body, f.admin_header(route, body, key=a.key)), 401, 4)
    f.restart()
    refused(f.send(a.message(sender="if://agent/Demo.A/old")), 401, 4)


def test_bound_of_certificates(f):
    secure(f)
    f.enrol("Demo.A")

    def one(i):
        body = json.dumps({"use": "tls", "spki": "sha256:" + f"{i:064x}", "why": "t"}).encode()
        route = "/v1/talents/Demo.A/keys"
        return f.post(route, body, f.admin_header(route, body))

    for i in range(32):
        assert one(i).status == 200, i
    refused(one(32), 429, 305)
    f.restart()
    assert len(f.get("/v1/talents/Demo.A").json["tls_keys"]) == 32


def test_ifctl_enrols_shows_and_revokes_a_certificate(f):
    secure(f)
    here, at = ("--dir", f.dir), f"https://127.0.0.1:{f.tcp[1]}"
    assert ifctl(f, *here, "talent", "add", "Cli.Agent", "--new-key", "--why", "w")[0] == 0
    mine, other = Certificate(f, "mine"), Certificate(f, "other")
    done = ifctl(f, *here, "talent", "add-cert", "Cli.Agent", "--spki", "@" + mine.crt, "--expires", "1h", "--why", "w", "-o", "json")
    assert done[0] == 0 and json.loads(done[1])["talent"]["tls_keys"][0]["spki"] == mine.spki, done
    over = ("--endpoint", at, "--ca", f.certificate)
    shown = ("--cert", mine.crt, "--cert-key", mine.key)
    got = ifctl(f, *over, *shown, "message", "inbox", "--as", "Cli.Agent")
    assert got[0] == 0, got
    got = ifctl(f, *over, "message", "inbox", "--as", "Cli.Agent")
    assert got[0] == 10 and "IF_ERR_002" in got[2], got
    got = ifctl(f, *over, "--cert", other.crt, "--cert-key", other.key, "message", "inbox", "--as", "Cli.Agent")
    assert got[0] == 10 and "not enrolled" in got[2], got
    assert ifctl(f, "context", "add", "lab", *over, *shown, "--as", "Cli.Agent")[0] == 0
    got = ifctl(f, "message", "inbox")
    assert got[0] == 0, got
    # the agent's own word is enough for another one of its own
    own = ("--as", "Cli.Agent", "--key", os.path.join(f.dir, "keys", "Cli.Agent.pem"))
    got = ifctl(f, *own, "talent", "add-cert", "Cli.Agent", "--spki", other.spki, "--why", "w")
    assert got[0] == 0, got
    both = os.path.join(f.root, "both.pem")
    with open(both, "w") as out:
        out.write(open(other.crt).read() + open(other.key).read())
    os.chmod(both, 0o600)
    got = ifctl(f, *over, "message", "inbox", "--as", "Cli.Agent", IFAB_CERT=both)
    assert got[0] == 0, got
    os.chmod(both, 0o644)
    got = ifctl(f, *over, "message", "inbox", "--as", "Cli.Agent", IFAB_CERT=both)
    assert got[0] == 10 and "may be read by others" in got[2], got
    for bad in ("@" + f.config, "@" + mine.crt + ".none", mine.spki[7:], "sha256:" + "F" * 64, "sha256:" + "1" * 65):
        got = ifctl(f, *here, "talent", "add-cert", "Cli.Agent", "--spki", bad, "--why", "w")
        assert got[0] in (2, 12), (bad, got)
    got = ifctl(f, *here, "--as", "operator", "talent", "revoke", "Cli.Agent", "--spki", "@" + mine.crt, "--why", "lost")
    assert got[0] == 0, got
    got = ifctl(f, "message", "inbox")
    assert got[0] == 10 and "IF_ERR_002" in got[2], got


def test_ifctl_gives_what_a_context_holds_to_its_fabric_alone(f):
    # INV-09: another endpoint, named by whatever, sees neither the token nor the certificate
    secure(f)
    f.enrol("Demo.A")
    mine, heard = Certificate(f, "mine"), []
    secret, _ = token(f, "Demo.A")
    with open(os.path.join(f.root, "token"), "w") as out:
        out.write(secret)
    files = ("--token-file", out.name, "--ca", f.certificate, "--cert", mine.crt, "--cert-key", mine.key)
    at = f"https://127.0.0.1:{f.tcp[1]}"
    assert enrol_key(f, "Demo.A", mine).status == 200
    assert ifctl(f, "context", "add", "lab", "--endpoint", at, "--as", "Demo.A", *files)[0] == 0
    assert ifctl(f, "message", "inbox")[0] == 0
    assert ifctl(f, "message", "inbox", "--endpoint", at)[0] == 0, "the same one by its name"
    other = socket.create_server(("127.0.0.1", 0))
    elsewhere = f"http://127.0.0.1:{other.getsockname()[1]}"

    def listen():
        while True:
            try:
                c, _ = other.accept()
            except OSError:
                return
            with c:
                heard.append(c.recv(65536))
                c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}")

    thread = threading.Thread(target=listen)
    thread.start()
    ifctl(f, "message", "inbox", "--endpoint", elsewhere)
    ifctl(f, "message", "inbox", IFAB_ENDPOINT=elsewhere)
    ifctl(f, "message", "inbox", "--endpoint", elsewhere, "--token-file", out.name)
    other.shutdown(socket.SHUT_RDWR)
    other.close()
    thread.join()
    assert [secret.encode() in h for h in heard] == [False, False, True], heard
    got = ifctl(f, "--endpoint", f"https://localhost:{f.tcp[1]}", "message", "inbox")
    assert got[0] == 10 and "self-signed" in got[2], got  # nor is its authority trusted for another name
    assert ifctl(f, "--dir", f.dir, "talent", "list")[0] == 0, "as the socket's uid, not as the token's agent"


def test_ifctl_enrols_over_tls_and_remembers_whom_it_trusts(f):
    secure(f)
    with open(os.path.join(f.root, "ca.pem"), "w") as out:
        out.write(open(f.certificate).read())
    there, at = {"IFAB_DIR": os.path.join(f.root, "there")}, f"https://127.0.0.1:{f.tcp[1]}"
    code = invite(f, "New.Agent")
    got = ifctl(f, "enroll", code, "--endpoint", at, **there)
    assert got[0] != 0 and "tls: " in got[2], "a foreign authority"
    assert f.get("/v1/talents/New.Agent").status == 404
    got = ifctl(f, "enroll", code, "--endpoint", at, "--ca", "ca.pem", cwd=f.root, **there)
    assert got[0] == 0 and "context New.Agent added" in got[2], got
    got = ifctl(f, "message", "send", "--claim", "x", "--confidence", "0.9", "--scope", "{}", cwd="/")
    assert got[0] == 0 and "SHARE" in got[1], got


def test_python_enrols_and_speaks_over_tls(f):
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    sys.path.insert(0, os.path.join(root, "sdk", "python"))
    import infrafabric

    secure(f)
    at, key = f"https://127.0.0.1:{f.tcp[1]}", os.path.join(f.root, "py.pem")
    code, foreign = invite(f, "Py"), make(f, "foreign")
    for ca, endpoint in ((foreign, at), (f.certificate, f"https://localhost:{f.tcp[1]}"), (None, at)):
        try:
            infrafabric.Fabric.enroll(code, endpoint=endpoint, key=key, ca=ca)
            raise AssertionError("a foreign authority, or another name, was believed")
        except infrafabric.Unreachable as e:
            assert "certificate verify failed" in str(e), e
        assert not os.path.exists(key), "no key is made for nobody"
    me = infrafabric.Fabric.enroll(code, endpoint=at, key=key, ca=f.certificate, passphrase="a passphrase")
    with open(key) as made:
        assert me.talent == "Py" and "ENCRYPTED" in made.readline() and os.stat(key).st_mode & 0o777 == 0o600
    receipt = me.send("over tls", 0.9, scope={"a": 1})
    assert receipt.shared and infrafabric.verify(receipt, f.about()["vkey"])
    try:
        infrafabric.Fabric.enroll(code, endpoint=at, key=key, ca=f.certificate, passphrase="a passphrase")
        raise AssertionError("a code works once")
    except infrafabric.Refused as e:
        assert e.code == "003", e.code
    mine, other, (secret, _) = Certificate(f, "mine"), Certificate(f, "other"), token(f, "Py")
    assert enrol_key(f, "Py", mine).status == 200
    given = {"ca": f.certificate, "key": key, "passphrase": "a passphrase"}
    for proof, good in (({"token": secret}, True), ({"cert": (mine.crt, mine.key)}, True), ({"token": secret, "cert": (mine.crt, mine.key)}, True),
                        ({}, False), ({"cert": (other.crt, other.key)}, False), ({"token": secret, "cert": (other.crt, other.key)}, False)):
        try:
            assert infrafabric.Fabric(at, "Py", **given, **proof).inbox() == [] and good, proof
        except infrafabric.Refused as e:
            assert e.code == "002" and not good, (proof, e)
    os.environ.update({"HOME": f.root, "IFAB_ENDPOINT": at, "IFAB_CA": f.certificate, "IFAB_CERT": mine.crt, "IFAB_CERT_KEY": mine.key})
    assert infrafabric.Fabric.context(talent="Py", key=key, passphrase="a passphrase").send("by context", 0.9, scope={"a": 1}).shared


def test_log_with_certificates_verifies_and_is_restored(f):
    # INV-05 INV-16
    from tests_backups import backup, restored

    secure(f)
    _, mine = certified(f, "Demo.A")
    out = os.path.join(f.root, "export")
    assert ifctl(f, "--dir", f.dir, "witness", "export", "--out", out)[0] == 0
    got = ifctl(f, "--dir", f.dir, "witness", "verify", out, "--vkey", f.about()["vkey"])
    assert got[0] == 0, got
    path = backup(f)
    assert f.stop() == 0
    with restored(f, path) as g:
        g.start_tls(f.certificate)
        assert g.get("/v1/talents/Demo.A").json["tls_keys"][0]["spki"] == mine.spki
