"""mcp_client.py COMMAND ENVIRONMENT (both JSON): a model's host. Starts the server with the official client and says what came, a line each."""
import json
import sys

import anyio
from mcp import Client, StdioServerParameters, stdio_client


def say(**what):
    print(json.dumps(what), flush=True)


async def main():
    command, env = json.loads(sys.argv[1]), json.loads(sys.argv[2])
    async with Client(stdio_client(StdioServerParameters(command=command[0], args=command[1:], env=env))) as client:
        say(tools=sorted(tool.name for tool in (await client.list_tools()).tools))
        claim = {"claim": "The quarter closes on Friday", "confidence": 0.25, "scope": {"year": 2026}, "to": "Desk.Agent"}
        sent = await client.call_tool("fabric_send", claim)
        held = sent.structured_content
        say(text=sent.content[0].text, held=held)
        followed = (await client.call_tool("fabric_decision", {"id": held["id"], "wait_s": 60})).structured_content
        say(released=followed["decision"])
        inbox = (await client.call_tool("fabric_inbox", {})).structured_content
        say(inbox=[[item["envelope"]["sender"], item["envelope"]["content"]["claim"]] for item in inbox["items"]])


anyio.run(main)
