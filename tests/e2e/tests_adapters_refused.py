"""What the fabric itself refuses inside a call is told as that, with what mends it, and is nobody else's failure. INV-07, INV-08, INV-10."""

from cli import Cli
from tests_adapters import Cards, Server, call, plan, ready
from tests_vault import put

NAME = "http.template"
MORE = 6  # than a breaker bears


def item(_method, _path, _body):
    return 200, "application/json", b"{}"


def of_breakers(f, name=NAME):
    return [b["state"] for b in f.get("/v1/breakers").json["items"] if b["name"] == name]


def failed(f, receipt):
    """The entry of this receipt: it says the same."""
    entry = next(e for e in f.entries() if e["index"] == receipt["entry"]["index"])
    assert (entry["operation"], entry["payload"]["error"], entry["payload"]["intent"]) == ("failed", receipt["error"], receipt["intent"]), entry
    return entry


def allow_lines(*lines):
    return {"egress.allow": list(lines)}


def test_a_private_address_is_told_with_its_row(f):
    with Server(item) as server:
        head = ready(f, NAME, "api.example", server, settings=allow_lines())
        for _ in range(MORE):
            r = call(f, head, NAME, "item", {"item": "1"})
            assert (r.status, r.code) == (403, 3) and "decision" not in r.json, r
            assert "egress.allow" in r.error["hint"] and "Plan again" in r.error["hint"] and not r.error["retryable"], r
            assert "not a public one" in r.error["message"] and r.json["host_calls"] == 0 and r.json["cost"]["calls"] == 0, r
            failed(f, r.json)
        assert of_breakers(f) in ([], ["closed"]) and not server.seen
        done = Cards(f, NAME).cli("capability", "apply", NAME, "item", "--item", "1", "--why", "w", "--as", "Desk.Agent", "-o", "json")
        assert done.code == 10 and "IF_ERR_003" in done.err and "egress.allow" in done.err, done
        assert done.json["error"]["code"] == "IF_ERR_003" and done.json["entry"]["index"] > done.json["intent"], done
        f.configure(allow_lines(f"{NAME} 127.0.0.1/32 {server.port}"))  # as the hint says
        f.restart()
        assert call(f, head, NAME, "item", {"item": "1"}).status == 200
        f.verify()


def test_a_word_that_makes_no_url_is_its_callers(f):
    # else one agent with a read grant opens the breaker for all, and no request has reached the provider
    with Server(item) as server:
        head = ready(f, NAME, "api.example", server)
        for _ in range(MORE):
            r = call(f, head, NAME, "item", {"item": "..;x"})
            assert r.code == 208 and not r.error["retryable"], r
            assert "not a URL that is let through" in r.error["message"], r
        assert of_breakers(f) in ([], ["closed"]) and not server.seen
        assert call(f, head, NAME, "item", {"item": "1"}).status == 200
        f.verify()


def test_what_the_provider_forbids_one_caller_is_not_shut_for_others(f):
    # 403 is said of what was asked for; 401 of the key it was asked with
    with Server(lambda _m, path, _b: (403 if "/no" in path else 200, "application/json", b"{}")) as server:
        head = ready(f, NAME, "api.example", server)
        for n in range(MORE):
            assert call(f, head, NAME, "item", {"item": f"no{n}"}).code == 208
        assert of_breakers(f) in ([], ["closed"])
        assert call(f, head, NAME, "item", {"item": "1"}).status == 200


def test_a_long_value_is_planned_or_refused_never_cut_short(f):
    # the plan's effect shows its beginning; a URL that is longer than one may be goes nowhere, not without its end
    def takes_long_ones(m):
        m["operations"]["item"]["params"]["properties"]["item"]["maxLength"] = 10000

    with Server(item) as server:
        head = ready(f, NAME, "api.example", server, change=takes_long_ones)
        planned = plan(f, head, NAME, "item", {"item": "x" * 600})
        assert planned.status == 201, planned
        (effect,) = planned.json["said_effects"]
        assert len(effect["target"]) == 512 and effect["target"].endswith("x..."), effect
        assert call(f, head, NAME, "item", {"item": "x" * 600}).status == 200 and server.seen[-1][1].endswith("x" * 600)
        sent = len(server.seen)
        assert plan(f, head, NAME, "item", {"item": "x" * 9000}).code == 208
        assert len(server.seen) == sent


def test_a_write_in_a_dry_run_is_told_as_that(f):
    with Server(item) as server:
        head = ready(f, NAME, "api.example", server)
        planned = plan(f, head, NAME, "note", {"item": "1", "text": "x"}).json["plan_hash"]
        for _ in range(2):
            r = f.post(f"/v1/capabilities/{NAME}/apply", {"plan_hash": planned, "mode": "dry-run"}, head)
            assert (r.status, r.code, r.json["mode"]) == (403, 3, "dry-run") and not r.error["retryable"], r
            assert "marks read" in r.error["hint"] and "can still be applied" in r.error["hint"], r
            failed(f, r.json)
        assert not server.seen
        assert f.post(f"/v1/capabilities/{NAME}/apply", {"plan_hash": planned}, head).status == 200
        assert len(server.seen) == 1


def test_a_secret_that_is_not_there_is_told_by_its_name(f):
    with Server(item) as server:
        origin = f"http://127.0.0.1:{server.port}"

        def wants_a_token(m):
            m["requires_secrets"] = [{"name": "API_TOKEN", "origin": origin, "as": "bearer"}]
            m["operations"]["item"]["params"]["properties"]["uses"] = {"type": "string", "enum": ["API_TOKEN"], "default": "API_TOKEN"}

        head = ready(f, NAME, "api.example", server, change=wants_a_token)
        for _ in range(MORE):
            r = call(f, head, NAME, "item", {"item": "1"})
            assert (r.status, r.code) == (404, 206) and not r.error["retryable"], r
            assert f"no secret API_TOKEN for {origin}" in r.error["message"] and "ifctl secret set NAME --for ORIGIN" in r.error["hint"], r
            failed(f, r.json)
        assert of_breakers(f) in ([], ["closed"]) and not server.seen
        agent = Cards(f, NAME)
        done = agent.cli("capability", "apply", NAME, "item", "--item", "1", "--why", "w", "--as", "Desk.Agent", "-o", "json")
        assert done.code == 12 and "IF_ERR_206" in done.err and "ifctl secret set" in done.err, done
        keyed, body = {**head, "Idempotency-Key": "once"}, {"plan_hash": plan(f, head, NAME, "item", {"item": "1"}).json["plan_hash"]}
        first = f.post(f"/v1/capabilities/{NAME}/apply", body, keyed)
        assert put(f, "API_TOKEN", "a-token-of-the-tests", origin).status == 201  # as the hint says
        for _ in range(2):  # that one stays as it ended, over a crash too
            again = f.post(f"/v1/capabilities/{NAME}/apply", body, keyed)
            assert (again.status, again.body) == (404, first.body) and again.headers["idempotent-replayed"] == "true", again
            f.kill()
            f.start()
        assert call(f, head, NAME, "item", {"item": "1"}).status == 200
        assert server.seen[-1][2]["Authorization"] == "Bearer a-token-of-the-tests"
        assert not [p for p in f.get("/v1/plans?state=dangling").json["items"]]
        f.verify()


def test_a_row_that_is_not_there_is_an_attempt_and_says_where_to_look(f):
    with Server(item) as server:
        head = ready(f, NAME, "api.example", server, change=lambda m: m["http"].pop(0))
        r = call(f, head, NAME, "item", {"item": "1"})
        assert (r.status, r.code) == (500, 501) and "no http row" in r.error["message"] and "rows of http" in r.error["hint"], r
        shown = Cli(f).wants(0, "capability", "show", NAME, "-o", "json").json
        assert len(shown["manifest"]["http"]) == 1, shown  # what the hint names shows them
        assert not server.seen
