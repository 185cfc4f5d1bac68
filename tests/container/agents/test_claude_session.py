"""The SDK's session id: kept over restarts, and given up only when its conversation is what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from container.agents.claude_session import Conversation

SAID = "Claude Code returned an error result: No conversation found with session ID: s1 (exit code: 1)"


def test_it_is_kept_over_restarts(tmp_path: Path) -> None:
    assert Conversation(tmp_path).remembered() is None
    Conversation(tmp_path).remember("s1")
    assert Conversation(tmp_path).remembered() == "s1"
    Conversation(tmp_path).remember(None)
    assert Conversation(tmp_path).remembered() is None


def test_a_home_that_takes_nothing_is_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ".vaporforge").write_text("a file where the folder should be")
    Conversation(tmp_path).remember("s1")
    assert "not kept" in capsys.readouterr().err
    assert Conversation(tmp_path).remembered() is None


@pytest.mark.parametrize("configured", ["", "elsewhere"])
def test_why_a_conversation_is_lost(tmp_path: Path, configured: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLAUDE_CONFIG_DIR", raising=False)
    env = {"CLAUDE_CONFIG_DIR": str(tmp_path / configured)} if configured else {}
    conversation = Conversation(tmp_path)
    assert "is gone" in (conversation.why_lost("s1", env, SAID) or "")
    assert "is gone" in (conversation.why_lost("s1", env, "Control request timeout: initialize") or "")
    folder = tmp_path / (configured or ".claude") / "projects" / "-workspace-a"
    folder.mkdir(parents=True)
    (folder / "s1.jsonl").write_text("{}")
    assert "in another folder" in (conversation.why_lost("s1", env, SAID) or "")
    assert conversation.why_lost("s1", env, "Control request timeout: initialize") is None
    assert "is gone" in (conversation.why_lost("s2", env, SAID) or "")
