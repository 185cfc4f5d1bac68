"""The kept agent: one query at a time, and how each ends."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from container.agent import agent as agents
from container.agent.agent import Agent, AgentState
from container.agent.answer import Outcome
from container.agent.keeper import MAX_IDLE_DEATHS
from container.protocol import ExitReason
from tests.container.agent.test_process import exists
from tests.container.conftest import KEPT, ONE_SHOT, eventually, settings_in, text


class Asked:
    """An agent and the frames of its answers."""

    def __init__(self, agent: Agent, folder: Path) -> None:
        self.agent, self.folder = agent, folder
        self.frames: list[dict[str, Any]] = []

    async def ask(self, prompt: str, **query: Any) -> Outcome:
        """Every answer begins with no frames."""
        self.frames = []
        cwd = str(self.folder / "workspace")
        whole = {"run": "r", "prompt": prompt, "env": {}, "cwd": cwd, **query}
        return await self.agent.answer(
            whole, lambda bodies: self.frames.extend(json.loads(body) for body in bodies)
        )

    @property
    def text(self) -> str:
        return text(self.frames)


Keep = Callable[[str], Awaitable[Asked]]


@pytest.fixture
async def keep(tmp_path: Path) -> AsyncIterator[Keep]:
    """Start an agent by its command line."""
    agents: list[Agent] = []

    async def start(command: str = KEPT) -> Asked:
        agent = Agent(settings_in(tmp_path, command))
        agents.append(agent)
        agent.start()
        await eventually(lambda: agent.state in {AgentState.READY, AgentState.STARTING})
        return Asked(agent, tmp_path)

    yield start
    for agent in agents:
        await agent.close()
        await agent.close()


async def test_one_process_answers_one_query_after_another(keep: Keep) -> None:
    asked = await keep(KEPT)
    assert await asked.ask("say(str(os.getpid()))") == (0, ExitReason.COMPLETED)
    first = asked.text
    assert await asked.ask("say(str(os.getpid()))") == (0, ExitReason.COMPLETED)
    assert asked.text == first
    assert asked.agent.state is AgentState.READY


async def test_a_query_sent_before_the_first_ready_is_not_ended_by_it(keep: Keep, tmp_path: Path) -> None:
    slow = tmp_path / "slow.sh"
    slow.write_text(f"#!/bin/sh\nsleep 0.5\nexec {KEPT}\n")
    slow.chmod(0o755)
    agent = Agent(settings_in(tmp_path, str(slow)))
    asked = Asked(agent, tmp_path)
    assert (await asked.ask("say('here')")).reason is ExitReason.COMPLETED
    assert asked.text == "here"
    await agent.close()


async def test_an_agent_that_never_says_ready_gets_one_query_and_its_end_is_the_runs(keep: Keep) -> None:
    asked = await keep(ONE_SHOT)
    assert await asked.ask("say(str(os.getpid()))") == (0, ExitReason.COMPLETED)
    first = asked.text
    assert await asked.ask("say(str(os.getpid())); sys.exit(9)") == (9, ExitReason.FAILED)
    assert asked.text != first
    assert asked.frames[-1]["code"] == "agent-failed"


async def test_a_one_shot_agent_is_started_with_the_querys_env_and_directory(
    keep: Keep, tmp_path: Path
) -> None:
    asked = await keep(ONE_SHOT)
    (tmp_path / "workspace" / "sub").mkdir()
    prompt = "say(f\"{os.environ['EXTRA']} {os.getcwd()} {os.environ['PATH'] != ''} {os.environ['HOME']}\")"
    await asked.ask(prompt, env={"EXTRA": "more"}, cwd=str(tmp_path / "workspace" / "sub"))
    assert asked.text == f"more {tmp_path}/workspace/sub True {tmp_path}/home"
    await asked.ask("say(str('EXTRA' in os.environ))")
    assert asked.text == "False"


async def test_a_kept_agent_that_dies_ends_the_run_and_is_started_again(keep: Keep) -> None:
    asked = await keep(KEPT)
    assert await asked.ask("say('a'); sys.stderr.write('why\\n'); sys.stderr.flush(); os._exit(3)") == (
        3,
        ExitReason.FAILED,
    )
    assert [frame["type"] for frame in asked.frames if frame["type"] != "text-delta"] == ["stderr", "error"]
    await eventually(lambda: asked.agent.state is AgentState.READY)
    assert (await asked.ask("say('b')")).reason is ExitReason.COMPLETED


async def test_an_error_frame_without_done_is_a_failed_run(keep: Keep) -> None:
    asked = await keep(KEPT)
    assert await asked.ask("send({'type': 'error', 'error': 'no', 'code': 'x'})") == (1, ExitReason.FAILED)


async def test_stop_interrupts_and_keeps_an_agent_that_obeys(
    keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agents, "INTERRUPT_SECONDS", 30.0)
    asked = await keep(KEPT)
    answer = asyncio.create_task(asked.ask("say(str(os.getpid())); time.sleep(600)"))
    await eventually(lambda: bool(asked.text))
    pid = int(asked.text)
    await asyncio.gather(asked.agent.stop(), asked.agent.stop())
    assert await answer == (None, ExitReason.STOPPED)
    assert asked.text.endswith("(interrupted)")
    assert exists(pid)
    await asked.agent.stop()


async def test_a_query_that_was_stopped_while_its_process_was_awaited_is_never_asked(keep: Keep) -> None:
    asked = await keep(KEPT)
    async with asked.agent.away():
        answer = asyncio.create_task(asked.ask("say('asked all the same')"))
        await eventually(lambda: asked.agent.state is AgentState.BUSY)
        await asked.agent.stop()
    assert await answer == (None, ExitReason.STOPPED)
    assert asked.frames == []
    assert (await asked.ask("say('next')")).reason is ExitReason.COMPLETED
    assert asked.text == "next"


async def test_a_stopped_querys_environment_is_not_the_next_ones(keep: Keep) -> None:
    asked = await keep(ONE_SHOT)
    async with asked.agent.away():
        answer = asyncio.create_task(asked.ask("say('asked all the same')", env={"EXTRA": "more"}))
        await eventually(lambda: asked.agent.state is AgentState.BUSY)
        await asked.agent.stop()
    assert await answer == (None, ExitReason.STOPPED)
    assert asked.frames == []
    await asked.ask("say(str('EXTRA' in os.environ))")
    assert asked.text == "False"


STUBBORN = """
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(['sleep', '600'])
say(f'{os.getpid()} {child.pid}')
time.sleep(600)
"""


async def test_stop_ends_the_whole_group_of_one_that_does_not_obey(keep: Keep) -> None:
    asked = await keep(KEPT)
    answer = asyncio.create_task(asked.ask(STUBBORN))
    await eventually(lambda: bool(asked.text))
    async with asyncio.timeout(30):
        await asked.agent.stop()
        outcome = await answer
    assert outcome == (137, ExitReason.STOPPED)
    await eventually(lambda: not any(exists(int(pid)) for pid in asked.text.split()))
    assert (await asked.ask("say('again')")).reason is ExitReason.COMPLETED


async def test_a_paused_agent_can_be_stopped(keep: Keep) -> None:
    asked = await keep(KEPT)
    answer = asyncio.create_task(asked.ask("say('up'); time.sleep(600)"))
    await eventually(lambda: bool(asked.text))
    asked.agent.pause()
    await asked.agent.stop()
    assert (await answer).reason is ExitReason.STOPPED


async def test_cancelling_an_answer_ends_the_process(keep: Keep) -> None:
    asked = await keep(KEPT)
    answer = asyncio.create_task(asked.ask("say(str(os.getpid())); time.sleep(600)"))
    await eventually(lambda: bool(asked.text))
    answer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await answer
    assert not exists(int(asked.text))


async def test_frames_between_answers_are_left_out(keep: Keep) -> None:
    asked = await keep(KEPT)
    late = "import threading; threading.Timer(0.1, lambda: say('late')).start()"
    await asked.ask(late)
    await asked.ask("time.sleep(0)")
    await asyncio.sleep(0)
    assert asked.agent.state is AgentState.READY


async def test_a_program_that_is_not_there_fails_the_run_with_a_sentence(tmp_path: Path) -> None:
    agent = Agent(settings_in(tmp_path, "/no/such/agent"))
    agent.start()
    await eventually(lambda: agent.state is AgentState.DOWN)
    asked = Asked(agent, tmp_path)
    assert await asked.ask("x") == (None, ExitReason.FAILED)
    assert asked.frames[-1]["code"] == "agent-not-started"
    await agent.close()


async def test_one_that_dies_at_once_each_time_is_not_started_for_ever(tmp_path: Path) -> None:
    count = tmp_path / "count"
    agent = Agent(settings_in(tmp_path, f"{sys.executable} -c \"open('{count}', 'a').write('x')\""))
    agent.start()
    await eventually(lambda: count.exists() and len(count.read_text()) == 5)
    await eventually(lambda: agent.state is AgentState.DOWN)
    asked = Asked(agent, tmp_path)
    await asked.ask("x")
    assert len(count.read_text()) <= 6
    await agent.close()


async def test_one_that_says_ready_and_dies_is_not_started_for_ever(keep: Keep, tmp_path: Path) -> None:
    count = tmp_path / "count"
    script = tmp_path / "brief.sh"
    script.write_text(f"""#!/bin/sh\necho '{{"type":"ready"}}'\nprintf x >> {count}\n""")
    script.chmod(0o755)
    agent = Agent(settings_in(tmp_path, str(script)))
    agent.start()
    await eventually(lambda: count.exists() and len(count.read_text()) >= 5)
    await asyncio.sleep(0.3)
    assert len(count.read_text()) == 5
    await agent.close()


async def test_a_one_shot_agent_is_kept_warm_after_any_number_of_queries_of_their_own(keep: Keep) -> None:
    asked = await keep(ONE_SHOT)
    for number in range(MAX_IDLE_DEATHS + 1):
        await asked.ask("say(os.environ['N'])", env={"N": str(number)})
        assert asked.text == str(number)
    await eventually(lambda: asked.agent.state is AgentState.READY)


async def test_none_is_paused_before_it_has_the_query(keep: Keep) -> None:
    asked = await keep(KEPT)
    assert not asked.agent.pause()
    async with asked.agent.away():
        answer = asyncio.create_task(asked.ask("say('up'); time.sleep(600)"))
        await eventually(lambda: asked.agent.state is AgentState.BUSY)
        assert not asked.agent.pause()
    await eventually(lambda: bool(asked.text))
    assert asked.agent.pause()
    await asked.agent.stop()
    await answer


async def test_a_secret_that_comes_in_pieces_is_struck_and_what_the_query_brought_is_known(
    keep: Keep,
) -> None:
    asked = await keep(KEPT)
    servers = {"git": {"env": {"GIT_TOKEN": "hunter-two-2"}}}
    program = "for letter in 'it is ' + query['mcpServers']['git']['env']['GIT_TOKEN'] + '!': say(letter)"
    assert await asked.ask(program, mcpServers=servers) == (0, ExitReason.COMPLETED)
    assert asked.text == "it is [redacted: GIT_TOKEN]!"
    await asked.ask("say('hunter-two-2')")
    assert asked.text == "hunter-two-2"  # of another query, which did not bring it


async def test_what_may_begin_a_secret_is_shown_in_a_while_though_nothing_follows(keep: Keep) -> None:
    asked = await keep(KEPT)
    answer = asyncio.create_task(asked.ask("say('gh'); time.sleep(60)"))
    await eventually(lambda: asked.text == "gh")
    await asked.agent.stop()
    await answer
    assert asked.text == "gh(interrupted)"


async def test_redaction_can_be_off(tmp_path: Path) -> None:
    agent = Agent(settings_in(tmp_path, KEPT, VF_REDACT="false"))
    agent.start()
    asked = Asked(agent, tmp_path)
    await asked.ask("say('ghp_' + 'a' * 36)")
    assert asked.text == "ghp_" + "a" * 36
    await agent.close()
