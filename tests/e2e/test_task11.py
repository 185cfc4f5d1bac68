"""The seed's Task 11 in Chromium on a deployed stack, and what a rolling update and a dead gateway do to an answer."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.e2e.deployed import PATIENCE_MS, visitors
from tests.e2e.people import until
from tests.e2e.wire import WATCH_TEXT, Wire, order, recorded, text_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser

    from tests.e2e.deployed import Deployed
    from tests.e2e.people import People, Person

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(1800)]

LONG = "Write a detailed explanation of how WebSocket connections work"

CREATE = "Create a file called test.txt in /workspace with 'Hello from WS streaming'"

STEPS = 20

HOGS = """
import os, time
for _ in range(60):
    if os.fork() == 0:
        held = b"x" * (30 << 20)
        time.sleep(60)
        os._exit(0)
    time.sleep(0.02)
time.sleep(60)
"""
"""Processes with 30 MiB each, more of them than a gateway's memory has room for; they are gone after a minute."""


@pytest_asyncio.fixture(loop_scope="session")
async def people(
    browser: Browser, demo_stack: Deployed, request: pytest.FixtureRequest
) -> AsyncIterator[People]:
    """People in front of the deployed stack."""
    async with visitors(demo_stack, browser, f"demo-{request.node.name}") as people:
        yield people


async def assert_shown_once(person: Person, wire: Wire) -> None:
    """The page's text is the run's recorded text, each frame came once and in order, and a reload shows the same."""
    frames = await recorded(person)
    text = text_of(frames).strip()
    assert [frame["seq"] for frame in frames] == list(range(1, len(frames) + 1))
    await expect(person.answers).to_have_count(1)
    assert await person.prose.inner_text() == text
    assert wire.numbers == list(range(1, len(frames) + 1))
    await person.page.reload()
    await expect(person.prose).to_have_text(text)
    await expect(person.answers).to_have_count(1)


async def test_text_arrives_as_it_is_written(people: People) -> None:
    ada = await people.person()
    await ada.open()
    wire = await Wire().tap(ada.page)
    await ada.page.evaluate(WATCH_TEXT)
    answer = await ada.ask(LONG)
    assert "The upgrade handshake" in answer

    times = [at for at, _ in wire.of("text-delta")]
    assert len(set(times)) >= STEPS
    # The agent pauses for 15 ms after each piece: slower is possible, all at once is not.
    assert times[-1] - times[0] >= 0.5 * 0.015 * len(times)
    lengths: list[int] = await ada.page.evaluate("window.lengths")
    assert sum(after > before for before, after in itertools.pairwise(lengths)) >= STEPS
    assert wire.numbers == list(range(1, len(wire.numbers) + 1))
    assert wire.frames[-1][1]["type"] == "process-exit"


async def test_the_stream_is_a_websocket_whose_address_tells_nothing(people: People) -> None:
    ada = await people.person()
    await ada.open()
    token = str(await ada.page.evaluate("localStorage.getItem('vaporforge.token')"))
    wire = await Wire().tap(ada.page)
    await ada.ask("Echo something-private")
    [socket] = wire.sockets
    assert "/api/sdk/ws?" in socket
    assert wire.sent[0][1]["type"] == "start"
    assert wire.sent[0][1]["prompt"] == "Echo something-private"
    assert {"run", "session-init", "text-delta", "done", "process-exit"} <= {
        frame["type"] for _, frame in wire.frames
    }
    assert len(wire.addresses) > 1
    for address in wire.addresses:
        assert token not in address
        assert "token=" not in address
        assert "something-private" not in address


async def test_a_file_is_written_in_the_sandbox(people: People, demo_stack: Deployed) -> None:
    ada = await people.person()
    await ada.open()
    await ada.ask(CREATE)
    card = ada.see("tool-card")
    await expect(card).to_have_attribute("data-state", "done")
    await expect(card).to_contain_text("/workspace/test.txt")
    await expect(card).to_contain_text("File created successfully")
    assert await order(ada) == ["prose", "tool", "prose"]
    texts = await ada.texts.all_inner_texts()
    assert [text.split()[0] for text in texts] == ["I'll", "Done:"]
    assert demo_stack.file(ada.session, "/workspace/test.txt") == "Hello from WS streaming"


async def test_stop_keeps_the_text_and_stops_the_agent(people: People, demo_stack: Deployed) -> None:
    ada = await people.person()
    await ada.open()
    await ada.say("Count to 100000 every 20 ms")
    await expect(ada.prose).to_contain_text("1 2 3 4 5 6 7 8 9 10")
    assert (await asyncio.to_thread(demo_stack.ping, ada.session))["agent"] == "busy"
    await ada.see("stop").click()
    await ada.rest()
    await until(lambda: demo_stack.ping(ada.session)["agent"] == "ready")
    assert demo_stack.ping(ada.session)["activeRun"] is None
    kept = await ada.prose.inner_text()
    assert "9 10" in kept
    await expect(ada.answers.last).to_contain_text("Stopped")
    frames = await recorded(ada)
    assert frames[-1]["reason"] == "stopped"
    assert text_of(frames).strip() == kept
    await ada.page.reload()
    await expect(ada.prose).to_have_text(kept)


async def test_a_gateway_that_is_killed_loses_nothing(people: People, demo_stack: Deployed) -> None:
    ada = await people.person()
    await ada.open()
    wire = await Wire().tap(ada.page)
    await ada.say("Count to 400 every 50 ms")
    await expect(ada.prose).to_contain_text(" 40 ")
    gateway = await asyncio.to_thread(demo_stack.serving, ada.session)
    await asyncio.to_thread(gateway.kill)
    try:
        await expect(ada.prose).to_contain_text(" 399 400", timeout=PATIENCE_MS)
        await ada.rest()
        assert len(wire.sockets) >= 2
        await assert_shown_once(ada, wire)
    finally:
        await asyncio.to_thread(gateway.start)


async def test_a_gateway_that_its_memory_limit_kills_is_started_again_and_loses_nothing(
    people: People, demo_stack: Deployed
) -> None:
    ada = await people.person()
    await ada.open()
    wire = await Wire().tap(ada.page)
    await ada.say("Count to 400 every 50 ms")
    await expect(ada.prose).to_contain_text(" 40 ")
    gateway = await asyncio.to_thread(demo_stack.serving, ada.session)
    restarts = gateway.attrs["RestartCount"]
    # Each less than the gateway itself has: in a group without room the kernel kills the largest.
    await asyncio.to_thread(gateway.exec_run, ["python", "-c", HOGS], detach=True)
    await expect(ada.prose).to_contain_text(" 399 400", timeout=PATIENCE_MS)
    await ada.rest()
    await assert_shown_once(ada, wire)

    def is_back() -> bool:
        gateway.reload()
        state = gateway.attrs["State"]
        healthy: bool = state.get("Health", {}).get("Status") == "healthy"
        return healthy and int(gateway.attrs["RestartCount"]) > restarts

    await until(is_back)
    assert len(wire.sockets) >= 2


async def test_an_update_of_the_gateways_is_not_noticed(people: People, demo_stack: Deployed) -> None:
    ada = await people.person()
    await ada.open()
    wire = await Wire().tap(ada.page)
    await ada.say("Count to 100000 every 50 ms")
    await expect(ada.prose).to_contain_text(" 20 ")
    before = {gateway.id for gateway in demo_stack.containers("vaporforge.role=gateway")}
    with (demo_stack.tree / "gateway" / "ids.py").open("a") as file:
        file.write("# another version\n")
    await asyncio.to_thread(demo_stack.up)
    after = {gateway.id for gateway in demo_stack.containers("vaporforge.role=gateway")}
    assert len(after) == len(before)
    assert not after & before
    now = wire.numbers[-1]
    await expect(ada.prose).to_contain_text(f" {now + 20} ")
    await ada.see("stop").click()
    await ada.rest()
    assert len(wire.sockets) >= 2
    await assert_shown_once(ada, wire)
