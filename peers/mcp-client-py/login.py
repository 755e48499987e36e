"""Logs a user in at an MCP server over HTTP with the official client for Python: the same, and the same report, as login.mjs.

    python3 login.py older|2026-07-28 URL USER [CLIENT]

The user's browser is browser.mjs: PEERS_NODE and PEERS_MCP_CLIENT say where it is.
"""

import asyncio
import contextlib
import json
import os
import sys
from urllib.parse import parse_qs, urlsplit

import httpx2
import mcp_types as types
from mcp.client.auth import OAuthClientProvider
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata

REDIRECT = "http://127.0.0.1:7777/callback"


class Refused(Exception):
    pass


class Store:
    tokens = None
    client = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client


class Login:
    def __init__(self, lifecycle, url, user, client=None):
        self.older = lifecycle == "older"
        self.url, self.user = url, user
        self.store = Store()
        metadata = OAuthClientMetadata(
            client_name="peers",
            redirect_uris=[REDIRECT],
            grant_types=["authorization_code", "refresh_token"],
            response_types=["code"],
            token_endpoint_auth_method="none",
        )
        if client:
            self.store.client = OAuthClientInformationFull(client_id=client, **metadata.model_dump())
        self.auth = OAuthClientProvider(
            url, metadata, self.store, redirect_handler=self.sent, callback_handler=self.came_back
        )

    async def sent(self, address):
        script = os.path.join(os.environ["PEERS_MCP_CLIENT"], "browser.mjs")
        browser = await asyncio.create_subprocess_exec(
            os.environ["PEERS_NODE"], script, address, self.user, REDIRECT, stdout=asyncio.subprocess.PIPE
        )
        stdout, _ = await browser.communicate()
        if browser.returncode != 0:
            raise RuntimeError("the browser did not come back")
        self.answer = {name: values[0] for name, values in parse_qs(urlsplit(stdout.decode()).query).items()}

    async def came_back(self):
        if "error" in self.answer:
            raise Refused(self.answer["error"])
        return AuthorizationCodeResult(
            code=self.answer["code"], state=self.answer["state"], iss=self.answer.get("iss")
        )

    @contextlib.asynccontextmanager
    async def connected(self):
        http = httpx2.AsyncClient(auth=self.auth, timeout=60)
        client = Client(
            streamable_http_client(self.url, http_client=http),
            mode="legacy" if self.older else "auto",
            client_info=types.Implementation(name="mcvsphere-peers", version="1.0.0"),
        )
        async with client:
            yield client

    async def run(self):
        async with self.connected() as client:
            tools = await names(client)
            told = {
                "tools": tools,
                "reads": await call(client, "list_vms", {"limit": 1}),
                "refused_call": await call(client, "power_off_vm", {"vm": "no such VM"}),
            }
            before = self.store.tokens.access_token
            # As if its time were over: the next request refreshes first.
            self.auth.context.token_expiry_time = 1
            told["tools_after"] = await names(client)
            told["refreshed"] = self.store.tokens.access_token != before
        return told


async def names(client):
    return [tool.name for tool in (await client.list_tools()).tools]


async def call(client, name, arguments):
    return (await client.call_tool(name, arguments)).structured_content


def causes(error):
    yield error
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from causes(inner)
    if error.__cause__ is not None:
        yield from causes(error.__cause__)


def main():
    try:
        return asyncio.run(Login(*sys.argv[1:]).run())
    except Exception as error:
        refused = next((cause for cause in causes(error) if isinstance(cause, Refused)), None)
        if refused is None:
            raise
        return {"refused": str(refused)}


print(json.dumps(main()))
