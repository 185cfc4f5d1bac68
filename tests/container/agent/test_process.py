"""One agent process: output by lines, signals to its group, an end in bounded time."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from container.agent import process as agent_process
from container.agent.lines import Line, Texts
from container.agent.process import AgentProcess
from tests.container.conftest import eventually


class Output:
    """What a process wrote, by stream."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.stderr: list[Line] = []

    async def spawn(
        self, source: str, on_texts: Callable[[AgentProcess, Texts], bool] | None = None
    ) -> AgentProcess:
        return await AgentProcess.spawn(
            [sys.executable, "-c", source],
            os.environ,
            Path.cwd(),
            on_lines=lambda _process, lines: self.lines.extend(lines),
            on_stderr=lambda _process, lines: self.stderr.extend(lines),
            on_texts=on_texts,
        )


def exists(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] not in {"Z", "X"}


async def test_output_comes_by_lines_from_both_streams_and_then_the_exit_code() -> None:
    output = Output()
    process = await output.spawn(
        "import sys; print('a'); print('b', end=''); print('e', file=sys.stderr); sys.exit(7)"
    )
    assert await process.ended == 7
    assert [line.data for line in output.lines] == [b"a", b"b"]
    assert [line.data for line in output.stderr] == [b"e"]
    assert await process.close() == 7


@pytest.mark.parametrize("takes", [True, False])
async def test_plain_texts_come_at_once_or_as_lines_where_they_are_not_taken(takes: bool) -> None:
    output = Output()
    asked: list[bytes] = []

    def on_texts(_process: AgentProcess, texts: Texts) -> bool:
        asked.extend(texts.bodies)
        return takes

    text = '{"type":"text-delta","text":"a"}'
    process = await output.spawn(f"import os; os.write(1, {text.encode()!r} + b'\\nb\\n')", on_texts)
    await process.ended
    assert [line.data for line in output.lines] == [text.encode(), b"b"]
    assert asked == []
    process = await output.spawn(f"import os; os.write(1, ({text.encode()!r} + b'\\n') * 2)", on_texts)
    await process.ended
    assert asked == [text.encode()] * 2
    assert [line.data for line in output.lines[2:]] == ([] if takes else asked)


async def test_a_line_of_20_mb_comes_whole_and_a_stderr_line_is_bounded() -> None:
    output = Output()
    process = await output.spawn(
        "import sys; print('x' * 20_000_000); print('y' * 1_000_000, file=sys.stderr)"
    )
    assert await process.ended == 0
    assert [line.length for line in output.lines] == [20_000_000]
    assert output.lines[0].is_whole
    assert (len(output.stderr[0].data), output.stderr[0].length) == (8192, 1_000_000)


async def test_what_is_sent_arrives_even_when_it_is_longer_than_a_pipe() -> None:
    output = Output()
    process = await output.spawn("import sys; print(len(sys.stdin.readline()))")
    process.send(b"q" * 500_000)
    await process.ended
    assert output.lines[0].data == b"500001"
    process.send(b"nobody reads this")


async def test_what_was_written_to_stderr_before_a_line_of_stdout_can_be_read_with_it() -> None:
    seen: list[tuple[bytes, list[bytes]]] = []
    output = Output()

    def on_lines(process: AgentProcess, lines: list[Line]) -> None:
        process.read_stderr()
        seen.extend((line.data, [told.data for told in output.stderr]) for line in lines)
        output.stderr.clear()
        process.send(b"go on")

    source = (
        "import os, sys\n"
        "for number in range(50):\n"
        "    os.write(2, b'x' * 2000 * number + b'\\nlast %d\\n' % number)\n"
        "    os.write(1, b'%d\\n' % number)\n"
        "    sys.stdin.readline()\n"
    )
    process = await AgentProcess.spawn(
        [sys.executable, "-c", source],
        os.environ,
        Path.cwd(),
        on_lines=on_lines,
        on_stderr=lambda _process, lines: output.stderr.extend(lines),
    )
    assert await process.ended == 0
    assert [(said, told[-1]) for said, told in seen] == [
        (b"%d" % number, b"last %d" % number) for number in range(50)
    ]
    process.read_stderr()  # its pipe is closed


async def test_it_has_ended_only_when_nothing_of_it_is_to_be_ended_any_more() -> None:
    """Else what is started next would be ended with it, where it is known by its user alone."""
    output = Output()
    stays = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"
    source = (
        f"import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', {stays!r}], stdout=-1); "
        "p.stdout.readline(); print(p.pid, flush=True); time.sleep(600)"
    )
    process = await output.spawn(source)
    await eventually(lambda: bool(output.lines))
    closing = asyncio.create_task(process.close())
    await process.ended
    assert not exists(int(output.lines[0].data))
    await closing


GRANDCHILD = (
    "import subprocess, sys, time; p = subprocess.Popen(['sleep', '600']); print(p.pid, flush=True); "
)


async def test_a_grandchild_goes_with_the_agent_that_ends() -> None:
    output = Output()
    process = await output.spawn(GRANDCHILD)
    assert await process.ended == 0
    pid = int(output.lines[0].data)
    await eventually(lambda: not exists(pid))


async def test_close_ends_an_agent_that_ignores_term_and_its_grandchild() -> None:
    output = Output()
    ignore = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    process = await output.spawn(f"{ignore}{GRANDCHILD}time.sleep(600)")
    await eventually(lambda: bool(output.lines))
    async with asyncio.timeout(30):
        codes = await asyncio.gather(process.close(), process.close())
    assert set(codes) == {128 + signal.SIGKILL}
    pid = int(output.lines[0].data)
    await eventually(lambda: not exists(pid))


async def test_close_lets_an_agent_go_by_itself_when_its_stdin_ends() -> None:
    output = Output()
    process = await output.spawn("import sys; sys.stdin.read(); print('bye')")
    assert await process.close(grace=20) == 0
    assert output.lines[0].data == b"bye"


ELSEWHERE = (
    "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', {source!r}], start_new_session=True); "
    "print(p.pid, flush=True); "
)
"""A child in a session of its own, as Claude Code's Bash tool has them."""


async def test_what_has_left_the_group_is_paused_and_ended_too() -> None:
    output = Output()
    child = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "print('up', flush=True); time.sleep(600)"
    )
    process = await output.spawn(ELSEWHERE.format(source=child) + "time.sleep(600)")
    await eventually(lambda: len(output.lines) == 2)
    pid = int(min(line.data for line in output.lines))
    process.signal_tree(signal.SIGSTOP)
    stat = Path(f"/proc/{pid}/stat")
    await eventually(lambda: stat.read_text(encoding="ascii").rpartition(")")[2].split()[0] == "T")
    async with asyncio.timeout(30):
        await process.close()
    await eventually(lambda: not exists(pid))


async def test_what_has_left_the_group_goes_with_an_agent_that_ends() -> None:
    output = Output()
    process = await output.spawn(ELSEWHERE.format(source="import time; time.sleep(600)"))
    await process.ended
    pid = int(output.lines[0].data)
    await eventually(lambda: not exists(pid))


async def test_the_rest_has_time_to_end_by_itself_when_the_agent_goes_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_process, "TERM_SECONDS", 20.0)
    output = Output()
    said = tmp_path / "said"
    tidy = (
        "import signal, sys, time, pathlib\n"
        f"def end(*_): time.sleep(0.3); pathlib.Path({str(said)!r}).write_text('tidy'); sys.exit()\n"
        "signal.signal(signal.SIGTERM, end)\nprint('up', flush=True)\ntime.sleep(600)"
    )
    process = await output.spawn(
        f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {tidy!r}]); time.sleep(600)"
    )
    await eventually(lambda: bool(output.lines))
    async with asyncio.timeout(30):
        assert await process.close() == 128 + signal.SIGTERM
    assert said.read_text() == "tidy"


async def test_an_interrupt_of_one_that_has_just_ended_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    output = Output()
    process = await output.spawn("import time; time.sleep(600)")

    def gone(_pid: int, _number: int) -> None:
        raise ProcessLookupError

    with monkeypatch.context() as patched:
        patched.setattr(os, "kill", gone)
        process.interrupt()
    await process.close()


async def test_a_stopped_group_is_closed_too() -> None:
    output = Output()
    process = await output.spawn("import time; print('up', flush=True); time.sleep(600)")
    await eventually(lambda: bool(output.lines))
    process.signal_tree(signal.SIGSTOP)
    assert await process.close() == 128 + signal.SIGTERM


async def test_a_program_that_is_not_there_is_an_error() -> None:
    with pytest.raises(OSError, match="no-such-program"):
        await AgentProcess.spawn(
            ["/no-such-program"], {}, Path.cwd(), on_lines=lambda *_: None, on_stderr=lambda *_: None
        )
