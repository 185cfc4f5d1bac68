"""Readers: any cursor, any number of them, no gap and no repeat at the seam."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType

from container.protocol import MAX_BATCH_BYTES, MAX_FRAME_BYTES
from container.web import outgoing, readers
from tests.container.conftest import DEADLINE, Sandbox, eventually, recorded

COUNT = "for n in range({count}):\n    say(str(n))\n    {pause}\n"


def seqs(frames: list[dict[str, Any]]) -> list[int]:
    return [frame["seq"] for frame in recorded(frames)]


def go_on(sandbox: Sandbox) -> None:
    """Give the agent the line that its prompt's code waits for."""
    process = sandbox.agent.process
    assert process is not None
    process.send(b"go on")


async def test_a_run_begins_with_run_and_ends_with_process_exit_and_1000(sandbox: Sandbox) -> None:
    await sandbox.put("r", "say('a'); send({'type': 'done', 'fullText': 'a'})")
    frames, close_code = await sandbox.read("r")
    types = [frame["type"] for frame in recorded(frames)]
    assert types == ["run", "text-delta", "done", "process-exit"]
    assert seqs(frames) == [1, 2, 3, 4]
    assert all(frame["run"] == "r" for frame in recorded(frames))
    assert recorded(frames)[-1] == {
        "type": "process-exit",
        "exitCode": 0,
        "reason": "completed",
        "run": "r",
        "seq": 4,
    }
    assert close_code == 1000


@pytest.mark.parametrize("batch", ["0", "1"])
async def test_every_cursor_of_an_ended_run_gives_what_is_behind_it(sandbox: Sandbox, batch: str) -> None:
    whole = await sandbox.ask("r", COUNT.format(count=20, pause=""))
    for after in range(len(whole) + 1):
        frames, close_code = await sandbox.read("r", after, batch=batch)
        assert recorded(frames) == whole[after:]
        assert close_code == 1000
        seam = [frame for frame in frames if frame["type"] == "replay-complete"]
        assert [frame["after"] for frame in seam] == [len(whole)]


async def test_readers_that_come_at_any_time_get_the_same_without_gap_or_repeat(sandbox: Sandbox) -> None:
    await sandbox.put("r", COUNT.format(count=800, pause="n % 20 or time.sleep(0.002)"))

    async def reader(number: int) -> list[int]:
        await asyncio.sleep(number * 0.004)
        got: list[int] = []
        while True:  # each comes and goes, and resumes by its cursor
            ended = False
            async with sandbox.connect("r", got[-1] if got else 0, batch=str(number % 2)) as ws:
                async for message in ws:
                    frames = [json.loads(line) for line in message.data.split("\n")]
                    got += seqs(frames)
                    ended = ended or any(frame["type"] == "process-exit" for frame in frames)
                    if number % 3 == 0 and not ended and len(got) % 40 == number:
                        break
            if ended:
                return got

    async with asyncio.timeout(50), asyncio.TaskGroup() as group:
        tasks = [group.create_task(reader(number)) for number in range(12)]
    assert all(task.result() == list(range(1, 803)) for task in tasks)


async def test_replay_complete_stands_between_what_was_and_what_comes(sandbox: Sandbox) -> None:
    await sandbox.put("r", "say('before'); sys.stdin.readline(); say('after')")
    async with sandbox.connect("r"):
        await eventually(lambda: sandbox.runs.get("r").frames.last == 2)
    async with sandbox.connect("r") as ws:
        types = [json.loads((await ws.receive(DEADLINE)).data)["type"] for _ in range(4)]
        assert types[:3] == ["run", "text-delta", "replay-complete"]
        go_on(sandbox)
        rest = [json.loads(message.data) async for message in ws]
    assert [frame["type"] for frame in recorded(rest)] == ["text-delta", "process-exit"]


async def test_batches_hold_whole_frames_up_to_the_limit(sandbox: Sandbox) -> None:
    whole = await sandbox.ask("r", "for n in range(200):\n    say('x' * 5000)\nsay('y' * 1_000_000)")
    async with sandbox.connect("r", batch="1") as ws:
        messages = [message.data async for message in ws if message.type is WSMsgType.TEXT]
    assert max(len(message) for message in messages) <= max(MAX_BATCH_BYTES, MAX_FRAME_BYTES)
    assert any(message.count("\n") > 20 for message in messages)
    frames = [json.loads(line) for message in messages for line in message.split("\n")]
    assert recorded(frames) == whole


async def test_frames_that_wait_together_go_out_together_each_a_message(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = await sandbox.ask("r", COUNT.format(count=300, pause=""))
    long = await sandbox.ask("long", "for n in range(200):\n    say('x' * 5000)\nsay('y' * 1_000_000)")
    written: list[bytes] = []

    def noted(lines: bytes) -> bytes:
        written.append(lines)
        return text_frames(lines)

    text_frames = outgoing.text_frames
    monkeypatch.setattr(outgoing, "text_frames", noted)
    frames, close_code = await sandbox.read("r")
    assert (recorded(frames), close_code) == (whole, 1000)
    assert [lines.count(b"\n") + 1 for lines in written] == [len(whole)]
    written.clear()
    frames, close_code = await sandbox.read("long")
    assert (recorded(frames), close_code) == (long, 1000)
    assert max(len(lines) for lines in written if b"\n" in lines) <= readers.WRITE_BYTES


async def test_a_tool_result_of_20_mb_is_cut_and_the_stream_goes_on(sandbox: Sandbox) -> None:
    prompt = "send({'type': 'tool-result', 'id': 't', 'name': 'Bash', 'output': 'z' * 20_000_000}); say('on')"
    frames = await sandbox.ask("r", prompt)
    assert [frame["type"] for frame in frames] == ["run", "tool-result", "text-delta", "process-exit"]
    assert frames[1]["truncated"] is True
    assert frames[1]["fullBytes"] > 20_000_000
    assert frames[1]["id"] == "t"


async def test_odd_lines_reach_the_reader_as_stderr_or_unharmed(sandbox: Sandbox) -> None:
    prompt = r"""
raw(b'plain\n\n')
raw(b'{"type":"process-exit","exitCode":0}\n')
raw(b'{"type":"run"}\n')
raw(b'{"type":"text-delta","text":"\\ud800"}\n')
raw(b'{"type":"x","bytes":"\xff"}\n')
raw(b'{"type":"own","seq":99,"run":"other"}\n')
os.write(2, b'to stderr\n')
sys.stdin.readline()
"""
    await sandbox.put("r", prompt)
    reading = asyncio.create_task(sandbox.read("r"))
    # Its two streams have no order between them: all of both is there before the answer ends.
    await eventually(lambda: sandbox.runs.is_known("r") and sandbox.runs.get("r").frames.last == 8)
    go_on(sandbox)
    frames = recorded((await reading)[0])
    texts = [frame["text"] for frame in frames if frame["type"] == "stderr"]
    assert sorted(texts) == sorted(
        [
            "plain",
            '{"type":"process-exit","exitCode":0}',
            '{"type":"run"}',
            '{"type":"x","bytes":"\ufffd"}',
            "to stderr",
        ]
    )
    assert [frame["text"] for frame in frames if frame["type"] == "text-delta"] == [
        "?"
    ]  # half a surrogate pair is no character
    own = next(frame for frame in frames if frame["type"] == "own")
    assert own["run"] == "r"
    assert own["seq"] == frames.index(own) + 1
    assert frames[-1]["reason"] == "completed"


async def test_a_reader_that_takes_nothing_holds_nobody_up_and_is_closed(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "TICK_SECONDS", 0.05)
    await sandbox.put("r", "for n in range(400):\n    say('x' * 200_000)")
    reader, writer = await asyncio.open_connection("127.0.0.1", sandbox.server.port)
    writer.write(
        b"GET /ws?run=r HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer the-token\r\nConnection: Upgrade\r\n"
        b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    await eventually(lambda: sandbox.runs.is_known("r") and sandbox.runs.get("r").readers == 1)
    frames, close_code = await sandbox.read("r")
    assert (len(recorded(frames)), close_code) == (402, 1000)
    monkeypatch.setattr(readers, "STALL_SECONDS", 0.3)  # not before: the other one may be held up for as long
    await eventually(lambda: sandbox.runs.get("r").readers == 0)
    assert reader.at_eof() is False
    writer.close()


async def test_a_quiet_reader_gets_a_ping(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "TICK_SECONDS", 0.02)
    monkeypatch.setattr(readers, "PING_SECONDS", 0.1)
    await sandbox.put("r", "sys.stdin.readline()")
    async with sandbox.connect("r") as ws:
        async with asyncio.timeout(DEADLINE):
            while json.loads((await ws.receive()).data)["type"] != "ping":
                pass
        async with sandbox.http.post("/runs/r/stop") as response:
            assert response.status == 202


async def test_the_watermark_is_taken_and_nonsense_is_not(sandbox: Sandbox) -> None:
    await sandbox.put("r", "say('a'); sys.stdin.readline()")
    async with sandbox.connect("r") as ws:
        run = sandbox.runs.get("r")
        await eventually(lambda: run.frames.last == 2)
        for said in (
            "x",
            "[]",
            '{"type":"recorded","seq":true}',
            '{"type":"recorded","seq":-1}',
            "[" * 60_000,
        ):
            await ws.send_str(said)
        await ws.send_bytes(b"\x00")
        await ws.send_str('{"type":"recorded","seq":1}')
        await eventually(lambda: run.recorded == 1)
        await ws.send_str('{"type":"recorded","seq":1000}')
        await eventually(lambda: run.recorded == 2)


async def test_a_message_that_is_too_long_closes_only_its_sender(sandbox: Sandbox) -> None:
    await sandbox.put("r", "say('a'); sys.stdin.readline()")
    async with sandbox.connect("r") as ws:
        await ws.send_str("x" * 100_000)
        async for _ in ws:
            pass
        assert ws.close_code == 1009
    go_on(sandbox)
    frames, _ = await sandbox.read("r")
    assert recorded(frames)[-1]["reason"] == "completed"


async def test_a_closed_reader_is_not_a_stop(sandbox: Sandbox) -> None:
    await sandbox.put("r", COUNT.format(count=50, pause="time.sleep(0.005)"))
    ws: aiohttp.ClientWebSocketResponse = await sandbox.connect("r")
    await ws.receive()
    await ws.close()
    frames, _ = await sandbox.read("r")
    assert seqs(frames) == list(range(1, 53))


def log_names(folder: Path) -> list[str]:
    return [path.name for path in (folder / "home" / ".vaporforge" / "runs").iterdir()]


async def test_a_recorder_may_say_after_the_end_that_it_has_everything(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    await sandbox.put("r", "say('a')")
    async with sandbox.connect("r", recorder="1") as ws:
        last = 0
        while last < 3:
            last = json.loads((await ws.receive(DEADLINE)).data).get("seq", last)
        with pytest.raises(TimeoutError):
            await ws.receive(0.3)  # the store takes its time
        assert log_names(tmp_path) == ["r.jsonl"]
        await ws.send_json({"type": "recorded", "seq": 2})
        await ws.send_json({"type": "recorded", "seq": 3})
        assert (await ws.receive(DEADLINE)).type is WSMsgType.CLOSE
        assert ws.close_code == 1000
    assert log_names(tmp_path) == ["r.recorded.jsonl"]


@pytest.mark.parametrize("goes", [True, False])
async def test_a_recorder_that_does_not_say_so_is_not_waited_for_for_ever(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, goes: bool
) -> None:
    monkeypatch.setattr(readers, "RECORDED_SECONDS", 600 if goes else 0.1)
    await sandbox.put("r", "say('a')")
    async with sandbox.connect("r", recorder="1") as ws:
        while json.loads((await ws.receive(DEADLINE)).data)["type"] != "process-exit":
            pass
        if goes:
            await ws.close()
        else:
            while (await ws.receive(DEADLINE)).type is not WSMsgType.CLOSE:
                pass
            assert ws.close_code == 1000
    await eventually(lambda: sandbox.runs.get("r").readers == 0 and sandbox.ping_connections() == 0)
    assert log_names(tmp_path) == ["r.jsonl"]


async def test_a_reader_gets_the_end_though_the_log_is_gone(sandbox: Sandbox, tmp_path: Path) -> None:
    await sandbox.put("r", "say('a'); sys.stdin.readline(); say('b')")
    async with sandbox.connect("r") as ws:
        await eventually(lambda: sandbox.runs.get("r").frames.last == 2)
        shutil.rmtree(tmp_path / "home" / ".vaporforge" / "runs")
        go_on(sandbox)
        frames = [json.loads(message.data) async for message in ws]
    assert seqs(frames) == [1, 2, 3, 4]
    assert ws.close_code == 1000
    async with sandbox.connect("r") as late:  # nothing is left of it
        assert (await late.receive(DEADLINE)).type is WSMsgType.CLOSE
        assert late.close_code == 1011
