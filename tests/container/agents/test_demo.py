"""The demo agent, through the agent server, as a browser sees it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.container.conftest import Sandbox, Start, eventually, text


@pytest.fixture
async def demo(start: Start, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """A sandbox with the demo agent, which waits a millisecond between words."""
    monkeypatch.setenv("VF_DEMO_DELAY_MS", "1")
    return await start("demo")


def types(frames: list[dict[str, object]]) -> list[object]:
    """The types in order, a row of text as one."""
    found = [frame["type"] for frame in frames]
    return [kind for n, kind in enumerate(found) if n == 0 or not kind == found[n - 1] == "text-delta"]


async def test_it_writes_the_file_with_text_before_and_after(demo: Sandbox, tmp_path: Path) -> None:
    prompt = "Create a file called test.txt in /workspace with 'Hello from WS streaming'"
    frames = await demo.ask("r", prompt)
    assert types(frames) == [
        "run",
        "session-init",
        "text-delta",
        "tool-start",
        "tool-result",
        "text-delta",
        "done",
        "process-exit",
    ]
    assert (tmp_path / "workspace" / "test.txt").read_text() == "Hello from WS streaming"
    start = next(frame for frame in frames if frame["type"] == "tool-start")
    assert start["name"] == "Write"
    assert start["input"] == {"file_path": "/workspace/test.txt", "content": "Hello from WS streaming"}
    done = frames[-2]
    assert done["fullText"] == text(frames)
    assert done["costUsd"] == 0
    assert "Hello from WS streaming" in text(await demo.ask("s", "read the file test.txt"))
    assert "test.txt" in text(await demo.ask("t", "list files"))


async def test_plan_mode_describes_and_writes_nothing(demo: Sandbox, tmp_path: Path) -> None:
    frames = await demo.ask("r", "Create a file called a.txt in /workspace with 'x'", mode="plan")
    assert "a.txt" in text(frames)
    assert "tool-start" not in types(frames)
    assert list((tmp_path / "workspace").iterdir()) == []


async def test_a_long_answer_comes_in_many_pieces_of_markdown(demo: Sandbox) -> None:
    frames = await demo.ask("r", "Write a detailed explanation of how WebSocket connections work. every 0 ms")
    assert sum(frame["type"] == "text-delta" for frame in frames) > 200
    for element in ("# How", "1. The", "| opcode |", "```http", "- remember", "**no HTTP"):
        assert element in text(frames)


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ("count to 5", "1 2 3 4 5 "),
        ("echo a  b\nc", "a  b\nc"),
        ("read the file none.txt", "Let me read `none.txt`. "),
    ],
)
async def test_small_answers(demo: Sandbox, prompt: str, answer: str) -> None:
    assert text(await demo.ask("r", prompt)) == answer


async def test_fail_and_crash(demo: Sandbox) -> None:
    failed = await demo.ask("r", "fail")
    assert (failed[-2]["code"], failed[-1]["reason"]) == ("demo", "failed")
    crashed = await demo.ask("s", "crash")
    assert (crashed[-1]["exitCode"], crashed[-1]["reason"]) == (3, "failed")
    assert (await demo.ask("t", "hi"))[-1]["reason"] == "completed"


async def test_stop_ends_it_at_once_and_it_remembers_the_session_over_a_restart(demo: Sandbox) -> None:
    await demo.put("r", "count to 100000 every 20 ms")
    async with demo.connect("r"):
        await eventually(lambda: demo.runs.get("r").frames.last > 10)
        await (await demo.http.post("/runs/r/stop")).read()
        await eventually(lambda: demo.runs.get("r").is_final)
    assert demo.runs.get("r").frames.last < 5000
    process = demo.agent.process
    assert process is not None
    await process.close()
    assert "talked 1 times before" in text(await demo.ask("s", "hello"))


async def test_a_home_that_takes_nothing_fails_no_answer(demo: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "home" / ".vaporforge" / "demo-sessions").write_text("a file where the folder should be")
    assert text(await demo.ask("r", "echo x")) == "x"


async def test_a_name_that_no_system_takes_is_a_failed_tool(demo: Sandbox) -> None:
    for run, prompt in (
        ("r", "Create a file called a\0b in /workspace with 'x'"),
        ("s", "read the file a\0b"),
        ("t", "Create a file called a.txt in /workspace with '\ud800'"),
    ):
        frames = await demo.ask(run, prompt)
        result = next(frame for frame in frames if frame["type"] == "tool-result")
        assert result["isError"] is True
        assert frames[-1]["reason"] == "completed"
    assert text(await demo.ask("u", "echo still there")) == "still there"


async def test_it_reads_regular_files_up_to_a_mebibyte(demo: Sandbox, tmp_path: Path) -> None:
    frames = await demo.ask("r", "read the file /dev/zero")
    result = next(frame for frame in frames if frame["type"] == "tool-result")
    assert (result["isError"], result["output"]) == (True, "Not a regular file: /dev/zero")
    with (tmp_path / "workspace" / "large.txt").open("wb") as file:
        file.truncate(3 << 20)
    assert "It has 1048576 characters" in text(await demo.ask("s", "read the file large.txt"))
