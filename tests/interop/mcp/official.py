"""ifctl mcp under the official Python client (PyPI mcp). Prints TAP. Usage: official.py BUILD MODE, MODE auto (2026-07-28) or legacy."""
import json
import sys

import anyio
from mcp import Client, MCPError, StdioServerParameters, stdio_client

from rig import Fabric, Tap

tap = Tap()
check = tap.check
CHANGING = ("cost_track", "fabric_send", "task_complete", "task_fail", "task_next", "task_progress")
SURE = {"confidence": .9, "to": "Demo.B", "scope": {"a": 1}}


def connect(fabric, talent, mode):
    key = ["--key", f"{fabric.directory}/keys/{talent}.pem"]
    server = StdioServerParameters(command=fabric.ifctl, args=["mcp", "--quiet", "--as", talent, *key], env=fabric.env)
    return Client(stdio_client(server), mode=mode)


async def scenario(fabric, mode, revision):
    async with connect(fabric, "Demo.A", mode) as a, connect(fabric, "Demo.B", mode) as b:
        check(a.protocol_version == revision, f"mode {mode} speaks {revision}", a.protocol_version)
        check(a.server_info.name == "ifctl" and "untrusted" in a.instructions, "the server says who it is", a.server_info)
        tools = {t.name: t for t in (await a.list_tools()).tools}
        check(sorted(tools) == ["cost_track", "fabric_decision", "fabric_inbox", "fabric_send", "task_complete", "task_fail", "task_next",
                                 "task_progress", "witness_trace"], "it lists its tools", tools)
        notes = tools["fabric_send"].annotations
        check((notes.read_only_hint, notes.idempotent_hint, notes.open_world_hint) == (False, False, True)
              and all(tools[n].annotations.read_only_hint for n in tools if n not in CHANGING), "and what they may do", notes)

        shared = await a.call_tool("fabric_send", {"claim": "from the official client", **SURE, "claim_id": "c1",
                                                   "evidence": [{"url": "https://example.org/a"}]})
        said = shared.structured_content
        check(said["decision"] == "SHARE" and said["delivered"] and said["receipt"]["entry"]["index"] > 0, "SHARE", said)
        check(said == json.loads(shared.content[1].text) and said["id"] in shared.content[0].text, "the text says the same", shared.content)
        held = (await a.call_tool("fabric_send", {"claim": "held", **SURE, "confidence": .25})).structured_content
        check(held["decision"] == "HOLD" and held["state"] == "held", "HOLD", held)
        escalated = (await a.call_tool("fabric_send", {"claim": "danger", **SURE, "hazards": ["safety"]})).structured_content
        check(escalated["decision"] == "ESCALATE" and not escalated["delivered"], "ESCALATE", escalated)
        denied = await a.call_tool("fabric_send", {"claim": "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA", **SURE})
        check(denied.structured_content["decision"] == "DENY" and not denied.is_error, "DENY is no error", denied)
        refused = await a.call_tool("fabric_send", {"claim": "x", **SURE, "to": "Nobody"})
        check(refused.is_error and refused.structured_content["error"]["code"] == "IF_ERR_108", "a refusal is", refused)
        wrong = await a.call_tool("fabric_send", {"claim": "x", "confidence": 2})
        check(wrong.is_error and wrong.structured_content["error"]["field"] == "confidence", "so is a wrong argument", wrong)

        got = {}

        async def follow():
            got.update((await a.call_tool("fabric_decision", {"id": held["id"], "wait_s": 300})).structured_content)

        async with anyio.create_task_group() as group:
            group.start_soon(follow)
            if mode == "legacy":
                await a.send_ping()
            await a.call_tool("fabric_inbox", {})
            await anyio.to_thread.run_sync(lambda: fabric.operator("decision", "scope-ok", held["id"], "--yes"))
        check(got.get("decision") == "SHARE" and got["state"] == "decided", "a decision is waited for and comes", got)

        inbox = (await b.call_tool("fabric_inbox", {"limit": 100})).structured_content
        claims = [m["envelope"]["content"]["claim"] for m in inbox["items"]]
        check(claims == ["from the official client", "held"], "the receiver reads what was shared and released", claims)
        later = (await b.call_tool("fabric_inbox", {"after": inbox["next"]})).structured_content
        check(later["items"] == [], "and nothing twice", later)
        trace = (await a.call_tool("witness_trace", {"trace": said["receipt"]["trace"]})).structured_content
        check(trace["items"][0]["subject"] == said["id"], "a trace shows its entries", trace)

        with anyio.move_on_after(0.2):
            await a.call_tool("fabric_inbox", {"wait_s": 300})
        check((await a.call_tool("fabric_inbox", {})).is_error is False, "a cancelled wait leaves the rest alone")
        try:
            await a.call_tool("task_claim", {})
            check(False, "a tool that is not there is refused")
        except MCPError as e:
            check(e.error.code == -32602, "a tool that is not there is refused", e)


def main():
    revision = {"auto": "2026-07-28", "legacy": "2025-11-25"}[sys.argv[2]]
    fabric = Fabric(sys.argv[1])
    try:
        anyio.run(scenario, fabric, sys.argv[2], revision)
    except BaseException as e:
        check(False, "the scenario ends", repr(getattr(e, "exceptions", e)))
    finally:
        fabric.close()
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
