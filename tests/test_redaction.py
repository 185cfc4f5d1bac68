"""Secrets from an agent's stdout to a reader, the store and the history, through a gateway and an agent server."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from tests.container.redaction.secret_samples import GITHUB
from tests.gateway.stack import Stack, assert_whole, numbered, text_of

AGENT = """
import json, sys, time
query = json.loads(sys.stdin.readline())
def say(**frame):
    print(json.dumps(frame), flush=True)
given = query["mcpServers"]["git"]["env"]["GIT_TOKEN"]
text = f"tokens: {GITHUB}, {given}, {OWN}."
for at in range(0, len(text), 5):
    say(type="text-delta", text=text[at : at + 5])
    time.sleep(0.002)
say(type="tool-start", id="t", name="Bash", input={"command": "echo " + GITHUB})
say(type="tool-result", id="t", name="Bash", output=given)
print("export TOKEN=" + GITHUB, flush=True)
print("to stderr: " + GITHUB, file=sys.stderr, flush=True)
say(type="done", sessionId="s", fullText=text, usage={}, costUsd=0)
"""

GIVEN, OWN = "hunter-two-2", "my-own-model-key-1"


async def played(stack: Stack) -> tuple[list[dict[str, object]], str, str]:
    """The frames that a reader had, those that are recorded, and the history."""
    session = await stack.session()
    settings = {"mcpServers": {"git": {"command": "x", "env": {"GIT_TOKEN": GIVEN}}}, "credential": OWN}
    url = f"{stack.url}/api/settings"
    async with stack.http.put(url, json=settings, headers=stack.headers()) as response:
        assert response.status == 200, await response.text()
    frames = await stack.ask(session, "say them")
    assert_whole(frames)
    run = next(str(frame["run"]) for frame in frames if "run" in frame)
    await stack.final(session, run)
    url = f"{stack.url}/api/sdk/replay/{session}?run={run}"
    async with stack.http.get(url, headers=stack.headers()) as response:
        recorded = await response.text()
    return frames, recorded, json.dumps(await stack.get(f"/api/sessions/{session}/messages"))


@pytest.fixture
def agent(tmp_path: Path) -> str:
    path = tmp_path / "agent.py"
    path.write_text(f"GITHUB, OWN = {GITHUB!r}, {OWN!r}\n{AGENT}")
    return f"{sys.executable} {path}"


async def test_no_secret_is_shown_recorded_or_kept(
    dynamodb_endpoint: str, tmp_path: Path, agent: str
) -> None:
    async with Stack(dynamodb_endpoint, f"t{uuid4().hex}", tmp_path / "s", agent=agent) as stack:
        frames, recorded, history = await played(stack)
        shown = json.dumps(numbered(frames))
        for secret in (GITHUB, GIVEN):
            assert secret not in shown + recorded + history
        # The sandbox never has the user's own key: only what is kept is searched for it. In frames it came in pieces.
        assert OWN not in history
        assert text_of(frames) == f"tokens: [redacted: github-token], [redacted: GIT_TOKEN], {OWN}."
        for text in (shown, recorded):
            assert '"command": "echo [redacted: github-token]"' in text.replace('":"', '": "')
            assert "export TOKEN=[redacted: github-token]" in text
            assert "to stderr: [redacted: github-token]" in text
        assert (
            "tokens: [redacted: github-token], [redacted: GIT_TOKEN], [redacted: model-credential]."
            in history
        )


async def test_a_stack_can_have_it_off(dynamodb_endpoint: str, tmp_path: Path, agent: str) -> None:
    async with Stack(
        dynamodb_endpoint, f"t{uuid4().hex}", tmp_path / "s", agent=agent, redact=False
    ) as stack:
        frames, recorded, history = await played(stack)
        assert GITHUB in text_of(frames)
        assert all(GITHUB in text for text in (recorded, history))
