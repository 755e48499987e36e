"""Runs an MCP server over stdio with the official client for Python: the same steps, and the same report, as client.mjs.

    python3 client.py older|2026-07-28 COMMAND|URL '[{"name": "list_vms", "arguments": {}}, ...]'

The server inherits the environment, which is where its settings are. With a URL, PEERS_TOKEN is the bearer token.
"""

import asyncio
import contextlib
import json
import os
import sys

import httpx2
import mcp_types as types
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

PATIENCE = 10


class Story:
    def __init__(self, lifecycle, command, steps):
        self.older = lifecycle == "older"
        self.steps = steps
        self.progress = []
        self.questions = []
        self.told = set()
        self.news = asyncio.Event()
        self.answer = None
        can_ask = any("answer" in step for step in steps)
        self.client = Client(
            server(command),
            # Pinned to a version it would ask the server nothing at the start; the report says what was agreed.
            mode="legacy" if self.older else "auto",
            client_info=types.Implementation(name="mcvsphere-peers", version="1.0.0"),
            elicitation_callback=self.answered if can_ask else None,
            message_handler=self.hear,
        )

    async def answered(self, _context, params):
        self.questions.append(params.message)
        if self.answer == "accept":
            return types.ElicitResult(action="accept", content={"confirm": True})
        return types.ElicitResult(action="decline")

    async def hear(self, message):
        if isinstance(message, types.ResourceUpdatedNotification):
            self.hear_of(message.params.uri)

    def hear_of(self, uri):
        self.told.add(str(uri))
        self.news.set()

    async def call(self, step, before):
        self.answer = step.get("answer")
        arguments = dict(step["arguments"])
        if step.get("confirm"):
            arguments["confirm"] = before["structuredContent"]["plan_token"]

        async def made(progress, total, message):
            self.progress.append({"tool": step["name"], "progress": progress, "total": total, "message": message})

        return await self.client.call_tool(step["name"], arguments, progress_callback=made)

    async def watch(self, uri, until):
        self.told.clear()
        if self.older:
            return await self.client.subscribe_resource(uri)
        subscription = await until.enter_async_context(self.client.listen(resource_subscriptions=[uri]))

        async def follow():
            async for event in subscription:
                self.hear_of(event.uri)

        following = asyncio.create_task(follow())
        until.callback(following.cancel)
        return subscription.honored

    async def until_told(self, uri):
        async with asyncio.timeout(PATIENCE):
            while uri not in self.told:
                self.news.clear()
                await self.news.wait()
        return {"told": sorted(self.told)}

    async def take(self, step, before, until):
        if "name" in step:
            return await self.call(step, before)
        if "read" in step:
            return await self.client.read_resource(step["read"])
        if "told" in step:
            return await self.until_told(step["told"])
        return await self.watch(step["watch"], until)

    async def run(self):
        async with self.client as client, contextlib.AsyncExitStack() as until:
            tools = await client.list_tools()
            results = []
            for step in self.steps:
                results.append(plain(await self.take(step, results[-1] if results else None, until)))
            return {
                "protocol": client.protocol_version,
                "server": plain(client.server_info),
                "instructions": client.instructions,
                "tools": plain(tools)["tools"],
                "results": results,
                "progress": self.progress,
                "questions": self.questions,
            }


def server(command):
    if not command.startswith(("http://", "https://")):
        return StdioServerParameters(command=command, env=dict(os.environ))
    headers = {"Authorization": f"Bearer {os.environ['PEERS_TOKEN']}"}
    return streamable_http_client(command, http_client=httpx2.AsyncClient(headers=headers, timeout=60))


def plain(value):
    return value if isinstance(value, dict) else value.model_dump(by_alias=True, mode="json", exclude_none=True)


lifecycle, command, steps = sys.argv[1:]
print(json.dumps(asyncio.run(Story(lifecycle, command, json.loads(steps)).run())))
