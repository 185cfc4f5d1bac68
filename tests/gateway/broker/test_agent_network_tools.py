"""The real agent and the API's own tools, which reach the network: refused, and let through where a stack says so."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.broker.agent_stack import MODEL, agent_stack
from tests.gateway.stack import assert_whole

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

SEARCH = 'call the tool WebSearch with {"query": "the weather of tomorrow"}'

BODIES: dict[str, dict[str, Any]] = {
    "web_fetch": {"tools": [{"type": "web_fetch_20250910", "name": "web_fetch"}]},
    "web_search": {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
    "code_execution": {"tools": [{"type": "code_execution_20250825", "name": "code_execution"}]},
    "mcp_servers": {"mcp_servers": [{"type": "url", "url": "https://evil.example.com/", "name": "x"}]},
    "url": {
        "messages": [
            {
                "role": "user",
                "content": [{"type": "image", "source": {"type": "url", "url": "https://evil.example.com/"}}],
            }
        ]
    },
}
"""What a program that the agent starts may ask the API for, with the agent's own key."""

PROGRAM = """
import json, os, sys, urllib.error, urllib.request

for name, more in json.load(open(sys.argv[1])).items():
    body = {"model": sys.argv[2], "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}], **more}
    headers = {"x-api-key": os.environ["ANTHROPIC_API_KEY"], "anthropic-version": "2023-06-01"}
    url = os.environ["ANTHROPIC_BASE_URL"] + "/v1/messages"
    try:
        status = urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers)).status
    except urllib.error.HTTPError as error:
        status = error.code
    print(name, status)
"""


@pytest.mark.parametrize("allowed", [False, True], ids=["refused", "allowed"])
async def test_the_api_s_own_tools_reach_the_network_only_where_the_stack_lets_them(
    allowed: bool, dynamodb_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CLAUDECODE", raising=False)
    program, bodies = tmp_path / "ask.py", tmp_path / "bodies.json"
    program.write_text(PROGRAM)
    bodies.write_text(json.dumps(BODIES))
    async with agent_stack(dynamodb_endpoint, tmp_path / "s", model_network_tools=allowed) as (stack, asked):
        session = await stack.session()
        frames = await stack.ask(session, SEARCH)
        assert_whole(frames)
        kinds = [tool.get("type", "") for body in asked for tool in body["tools"]]
        assert any(kind.startswith("web_search_") for kind in kinds) == allowed
        assert ("reach the network for this sandbox" in outputs(frames)) != allowed
        frames = await stack.ask(session, f'run the command "{sys.executable} {program} {bodies} {MODEL}"')
        assert_whole(frames)
        lines = [line.split() for line in outputs(frames).splitlines()]
        assert dict(line for line in lines if len(line) == 2) == dict.fromkeys(
            BODIES, "200" if allowed else "403"
        )


def outputs(frames: list[dict[str, Any]]) -> str:
    """What the agent's tools answered."""
    return "\n".join(str(frame["output"]) for frame in frames if frame["type"] == "tool-result")
