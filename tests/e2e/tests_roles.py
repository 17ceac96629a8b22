"""Every route, every role, every way in, against the column of roles of SURFACE section 8, written here by hand.

agent: own messages, tasks, plans, entries. readonly: lists, metrics. auditor: + whole log, export. operator: + votes, tasks, DLQ, breakers,
talents of role agent. admin: + what an admin act says. POST /v1/messages and /v1/enroll need no token.
"""

import json
import os
import re
import traceback

from fabric import Agent, Conn, Skip
from tests_certs import certified, connect
from tests_tls import secure
from tests_tokens import bearer, token

ROLES = ("agent", "readonly", "auditor", "operator", "admin")
OPEN, LIST, AUDIT, OPERATE = "open", "readonly auditor operator admin", "auditor operator admin", "operator admin"
ALL, OWN, ACT = "agent " + LIST, "agent " + AUDIT, "agent " + OPERATE

TABLE = {
    "POST /v1/messages": OPEN,
    "GET /v1/messages/{}": ALL,
    "GET /v1/inbox": ALL,
    "GET /v1/decisions": LIST,
    "GET /v1/decisions/{}": ALL,
    "POST /v1/decisions/{}/votes": ACT,  # an agent with the grant guard:scope
    "POST /v1/guard/explain": AUDIT,
    "GET /v1/talents": LIST,
    "POST /v1/talents": OPERATE,
    "GET /v1/talents/{}": LIST,
    "GET /v1/talents/{}/sequences": ALL,
    "POST /v1/talents/{}/grants": OPERATE,
    "POST /v1/talents/{}/keys": ALL,  # by the signature of its own key, or an admin's
    "POST /v1/talents/{}/revoke": OPERATE,
    "POST /v1/invites": OPERATE,
    "POST /v1/enroll": OPEN,
    "GET /v1/tokens": ALL,
    "POST /v1/tokens": OPERATE,  # or by a signature: tests_tokens
    "POST /v1/tokens/{}/revoke": OPERATE,
    "GET /v1/witness/entries": OWN,
    "GET /v1/witness/entries/{}": OWN,
    "GET /v1/witness/messages/{}": OWN,
    "GET /v1/witness/proof": ALL,
    "GET /v1/witness/consistency": ALL,
    "POST /v1/witness/erase": OPERATE,
    "GET /v1/anchors": AUDIT,
    "POST /v1/anchors": OPERATE,
    "POST /v1/backup": OPERATE,
    "POST /v1/log-keys": OPERATE,
    "POST /v1/log-keys/rotate": OPERATE,
    "POST /v1/clock/accept": OPERATE,
    "GET /v1/events": OWN,  # an agent its own, and of its own tasks
    "GET /v1/fabric": OPEN,
    "GET /v1/slo": LIST,
    "GET /metrics": LIST,
    "GET /healthz": OPEN,
    "GET /readyz": OPEN,
    "GET /openapi.json": OPEN,
    "GET /checkpoint": OPEN,
    "GET /tile/{*}": OPEN,
    "GET /log/{}/checkpoint": OPEN,
    "GET /log/{}/tile/{*}": OPEN,
    "POST /v1/tasks": ACT,
    "GET /v1/tasks": ALL,
    "POST /v1/tasks/claim": ACT,
    "GET /v1/tasks/{}": ALL,  # an agent its own, and what its swarms have or may take
    "POST /v1/tasks/{}/claim": ACT,
    "POST /v1/tasks/{}/renew": ACT,
    "POST /v1/tasks/{}/progress": ACT,
    "POST /v1/tasks/{}/complete": ACT,
    "POST /v1/tasks/{}/fail": ACT,
    "POST /v1/tasks/{}/block": ACT,
    "POST /v1/tasks/{}/unblock": ACT,
    "POST /v1/tasks/{}/cancel": ACT,
    "POST /v1/tasks/{}/replay": ACT,
    "POST /v1/swarms": OPERATE,
    "GET /v1/swarms": LIST,
    "GET /v1/swarms/{}": ALL,  # an agent those that name it
    "POST /v1/swarms/{}/heartbeat": ACT,
    "POST /v1/costs": ACT,
    "GET /v1/rates": ALL,
    "POST /v1/rates": OPERATE,
    "POST /v1/budgets": OPERATE,
    "POST /v1/budgets/{}/remove": OPERATE,
    "GET /v1/budgets": ALL,  # an agent its own
    "POST /v1/reservations": ACT,
    "POST /v1/reservations/{}/settle": ACT,
    "POST /v1/reservations/{}/release": ACT,
    "GET /v1/reservations": ALL,  # an agent its own
    "GET /v1/capabilities": ALL,
    "POST /v1/capabilities": OPERATE,
    "GET /v1/capabilities/{}": ALL,
    "POST /v1/capabilities/{}/load": OPERATE,
    "GET /v1/publishers": LIST,
    "POST /v1/publishers": OPERATE,
    "POST /v1/publishers/{}/revoke": OPERATE,
    "GET /v1/revocations": ALL,
    "POST /v1/revocations": OPERATE,
    "POST /v1/capabilities/{}/plan": ACT,
    "POST /v1/capabilities/{}/apply": ACT,
    "POST /v1/capabilities/{}/health": OPERATE,
    "GET /v1/capabilities/{}/logs": LIST,
    "GET /v1/plans": ALL,  # an agent its own
    "GET /v1/plans/{}": ALL,
    "POST /v1/plans/{}/close": OPERATE,
    "POST /v1/bus/{*}": ACT,
    "GET /v1/bus/dlq": OPERATE,
    "GET /v1/governor/match": LIST,
    "GET /v1/governor/waste": LIST,
    "GET /v1/breakers": LIST,
    "POST /v1/breakers/reset": OPERATE,
    "GET /v1/vault": OPERATE,
    "GET /v1/secrets": OPERATE,
    "POST /v1/secrets": OPERATE,
    "POST /v1/secrets/{}/rotate": OPERATE,
    "POST /v1/secrets/{}/revoke": OPERATE,
    "POST /v1/secrets/{}/check": OPERATE,
    "POST /mcp": ALL,
    "GET /": OPEN,
}


def path_of(route):
    return route.split(" ")[1].replace("{*}", "x").replace("{}", "x")


def routes(address, opened=Conn):
    """The rows of the daemon's own table: a new one is asked by itself, and has no answer here until it stands in TABLE."""
    with opened(address) as c:
        paths = c.request("GET", "/openapi.json").json["paths"]
    return [f"{method.upper()} {path}" for path, methods in paths.items() for method in methods]


def ask(address, headers=None, opened=Conn, rows=None):
    """route -> was it refused for who asks? Over one connection each: what a route does with the rest of the request is not asked here."""
    out = {}
    for route in rows or routes(address, opened):
        method = route.split(" ")[0]
        with opened(address) as c:
            if route == "GET /v1/events":  # a stream has no end; its HEAD has one, and is asked the same first
                c.send(c.bytes_of("HEAD", "/v1/events", None, headers))
                out[route] = c.read(head_only=True).status in (401, 403)
                continue
            r = c.request(method, path_of(route), b"{}" if method == "POST" else None, headers)
            shut = r.status == 403 and re.search("may not use this (route|socket)", r.error["message"])
            out[route] = (r.status == 401 and r.code == 2) or bool(shut)
    return out


def as_uid(address, uid, rows=None):
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            text = json.dumps(ask(address, rows=rows))
        except BaseException:
            text = json.dumps({"failed": traceback.format_exc()})
        with os.fdopen(w, "w") as out:
            out.write(text)
        os._exit(0)
    os.close(w)
    with os.fdopen(r) as answer:
        text = answer.read()
    os.waitpid(pid, 0)
    return json.loads(text)


def compare(what, role, refused):
    assert set(refused) == set(TABLE), set(refused) ^ set(TABLE)
    wrong = []
    for route, roles in TABLE.items():
        may = roles == OPEN or (role is not None and role in roles.split())
        if may == refused[route]:
            wrong.append(f"{what}: {route} is {'refused' if refused[route] else 'open'}")
    return wrong


def names(role):
    return "R." + role


def test_the_table_of_routes_is_the_one_written_here(f):
    paths, seen = f.get("/openapi.json").json["paths"], {}
    for path, methods in paths.items():
        for method, row in methods.items():
            seen[f"{method.upper()} {path}"] = OPEN if row["x-open"] else " ".join(row["x-roles"])
    assert set(seen) == set(TABLE), set(seen) ^ set(TABLE)
    wrong = {r: (seen[r], TABLE[r]) for r in TABLE if seen[r] != TABLE[r]}
    assert not wrong, wrong


def test_roles_over_tcp_with_and_without_a_token(f):
    # INV-01
    wrong = compare("TCP without token", None, ask(f.tcp))
    for role in ROLES:
        f.enrol(names(role), role=role)
        secret, _ = token(f, names(role), admin=True)
        wrong += compare(f"TCP with a token of {role}", role, ask(f.tcp, bearer(secret)))
        wrong += compare(f"socket with a token of {role}", role, ask(f.unix, bearer(secret)))
        lesser, _ = token(f, names(role), admin=True, role="agent")
        both = ask(f.tcp, bearer(lesser))
        for route, roles in TABLE.items():
            may = roles == OPEN or ("agent" in roles.split() and role in roles.split())
            if may == both[route]:
                wrong.append(f"token of agent of a talent of {role}: {route}")
    assert not wrong, "\n".join(wrong)


def test_roles_over_tls_with_a_certificate_a_token_and_neither(f):
    # INV-01 INV-02
    secure(f)
    wrong = compare("TLS without a proof", None, ask(f.tcp, opened=lambda _: connect(f)))
    for role in ROLES:
        _, mine = certified(f, names(role), role=role)
        wrong += compare(f"certificate of {role}", role, ask(f.tcp, opened=lambda _: connect(f, mine)))
        secret, _ = token(f, names(role), admin=True)
        wrong += compare(f"token of {role} over TLS", role, ask(f.tcp, bearer(secret), opened=lambda _: connect(f)))
        wrong += compare(f"token and certificate of {role}", role, ask(f.tcp, bearer(secret), opened=lambda _: connect(f, mine)))
    assert not wrong, "\n".join(wrong)


def test_roles_over_the_socket(f):
    # INV-01
    wrong = compare("socket, uid of the daemon", "operator", ask(f.unix))
    assert not wrong, "\n".join(wrong)


def test_roles_of_uids_that_stand_for_talents_and_of_one_that_does_not():
    # INV-01 INV-02
    from fabric import Fabric

    if os.geteuid() != 0:
        raise Skip("needs root to become another uid")
    with Fabric() as f:
        run = os.path.join(f.root, "run")
        os.mkdir(run)
        os.chmod(run, 0o755)
        os.chmod(f.root, 0o755)
        f.start()
        for role in ROLES:
            f.enrol(names(role), role=role)
        assert f.stop() == 0
        f.configure({"run.dir": run, **{f"access.uids.{54330 + i}": names(role) for i, role in enumerate(ROLES)}})
        f.socket = os.path.join(run, "ifd.sock")
        type(f).unix = property(lambda self: getattr(self, "socket", os.path.join(self.dir, "run", "ifd.sock")))
        f.start()
        wrong = []
        for i, role in enumerate(ROLES):
            refused = as_uid(f.unix, 54330 + i)
            assert "failed" not in refused, refused["failed"]
            wrong += compare(f"uid of a talent of {role}", role, refused)
        # a uid that stands for nobody: the socket itself is shut, with all of its routes, so it cannot be asked for their list
        stranger = as_uid(f.unix, 54330 + len(ROLES), list(TABLE))
        assert "failed" not in stranger, stranger["failed"]
        wrong += [f"socket, a uid without a talent: {route} is open" for route in TABLE if not stranger[route]]
        assert not wrong, "\n".join(wrong)


def test_admin_acts_are_needed_whatever_the_way_in(f):
    # INV-02: a role admin opens routes, the signature does the rest
    f.enrol("R.admin", role="admin")
    secret, _ = token(f, "R.admin", admin=True)
    for headers, tcp in ((bearer(secret), True), (bearer(secret), False), ({}, False)):
        for route, body in (
            ("/v1/talents", {"name": "X", "role": "auditor", "why": "t"}),
            ("/v1/talents/R.admin/keys", {"pubkey": Agent("X").pub, "why": "t"}),
            ("/v1/talents/R.admin/revoke", {"why": "t"}),
            ("/v1/invites", {"name": "X", "role": "operator", "why": "t"}),
            ("/v1/tokens", {"talent": "R.admin", "why": "t"}),
            ("/v1/witness/erase", {"id": "msg-00000000-0000-7000-8000-000000000000", "why": "t"}),
            ("/v1/clock/accept", {"why": "t"}),
            ("/v1/log-keys/rotate", b'{"to":"x"}'),
            ("/v1/publishers", {"name": "X", "namespaces": ["x"], "pubkey": Agent("X").pub, "why": "t"}),
            ("/v1/publishers/X/revoke", {"why": "t"}),
            ("/v1/revocations", {"pubkey": Agent("X").pub, "why": "t"}),
        ):
            r = f.post(route, body, headers, tcp=tcp)
            assert (r.status, r.code) in ((403, 3), (404, 404)), (route, r)
