"""A FastMCP server with one trivial tool, set up for its highest rate: no sessions, and JSON in place of a stream."""

import sys

from fastmcp import FastMCP

mcp = FastMCP("trivial")


@mcp.tool
def ping() -> str:
    return "pong"


if __name__ == "__main__":
    mcp.run(
        transport="http", host="127.0.0.1", port=int(sys.argv[1]), stateless_http=True, json_response=True,
        show_banner=False, log_level="error", uvicorn_config={"access_log": False},
    )
