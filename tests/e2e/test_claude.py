"""The real agent's binary in Chromium on a deployed stack: Task 11 again, its key, and a conversation that goes on."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from playwright.async_api import expect

from gateway.web.request.auth import mint
from tests.e2e.deployed import run_in, visitors
from tests.e2e.people import until
from tests.e2e.wire import WATCH_TEXT, Wire, order, recorded, text_of
from tests.gateway.stack import SECRET

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser

    from tests.e2e.deployed import Claude
    from tests.e2e.people import People

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(2400)]

CREATE = "Create a file called test.txt in /workspace with 'Hello from WS streaming'"

STEPS = 20
PAINTED = 5
"""Steps that the page shows of them at least: how often a browser paints is the machine's affair."""

AGENT = "10001"
"""The uid that the agent has in its sandbox."""

WRITABLE = "/home /workspace /tmp /run /var /etc /opt/vaporforge /dev/shm"


@pytest_asyncio.fixture(loop_scope="session")
async def people(
    browser: Browser, claude_stack: Claude, request: pytest.FixtureRequest
) -> AsyncIterator[People]:
    """People in front of the stack with the real agent."""
    async with visitors(claude_stack.stack, browser, f"claude-{request.node.name}") as people:
        yield people


@pytest.fixture
def claude(claude_stack: Claude) -> Claude:
    """The stack with the deployment's key."""
    claude_stack.give_key()
    return claude_stack


async def test_without_a_key_the_page_says_what_to_do(people: People, claude_stack: Claude) -> None:
    await asyncio.to_thread(claude_stack.take_key)
    bob = await people.person()
    await bob.open(user="bob")
    await bob.say("Hello")
    sentence = "The agent needs a credential for the model's API, and none is set"
    await expect(bob.page.get_by_text(sentence).first).to_be_visible()
    answer = await bob.page.context.request.post(
        f"{bob.url}/api/sdk/stream",
        data={"sessionId": bob.session, "prompt": "Hello"},
        headers={"Authorization": f"Bearer {mint('bob', 600, secret=SECRET)}"},
    )
    told = await answer.json()
    assert (answer.status, told["code"], told["field"]) == (403, "credential-missing", "credential")
    assert sentence in told["error"]


async def test_text_arrives_as_it_is_written(people: People, claude: Claude) -> None:
    ada = await people.person()
    await ada.open()
    wire = await Wire().tap(ada.page)
    await ada.page.evaluate(WATCH_TEXT)
    await ada.ask("Write a detailed explanation of how WebSocket connections work")
    times = [at for at, _ in wire.of("text-delta")]
    assert len(set(times)) >= STEPS
    # The fake model pauses for 10 ms before each of 400 pieces: slower is possible, all at once is not.
    assert times[-1] - times[0] >= 0.5 * 0.010 * 400
    lengths: list[int] = await ada.page.evaluate("window.lengths")
    assert sum(after > before for before, after in itertools.pairwise(lengths)) >= PAINTED
    text = "".join(f"Sentence piece {number} of the explanation. " for number in range(400))
    assert text_of(await recorded(ada)) == text
    assert await ada.prose.inner_text() == text.strip()


async def test_a_file_is_written_in_the_sandbox(people: People, claude: Claude) -> None:
    ada = await people.person()
    await ada.open()
    await ada.ask(CREATE)
    card = ada.see("tool-card")
    await expect(card).to_have_attribute("data-state", "done")
    await expect(card).to_contain_text("Write")
    await expect(card).to_contain_text("/workspace/test.txt")
    await expect(card).to_contain_text("Hello from WS streaming")
    assert await order(ada) == ["prose", "tool", "prose"]
    texts = await ada.texts.all_inner_texts()
    assert [" ".join(text.split()[:2]) for text in texts] == ["I will", "Done. The"]
    assert claude.stack.file(ada.session, "/workspace/test.txt") == "Hello from WS streaming"


async def test_stop_keeps_the_text_and_stops_the_agent(people: People, claude: Claude) -> None:
    ada = await people.person()
    await ada.open()
    await ada.say("Be slow")
    await expect(ada.prose).to_contain_text("piece 9 piece 10")
    assert (await asyncio.to_thread(claude.stack.ping, ada.session))["agent"] == "busy"
    await until(lambda: claude.api.busy == 1)
    await ada.see("stop").click()
    await ada.rest()
    await until(lambda: claude.api.busy == 0)
    await until(lambda: claude.stack.ping(ada.session)["agent"] == "ready")
    assert claude.stack.ping(ada.session)["activeRun"] is None
    kept = await ada.prose.inner_text()
    assert "piece 9 piece 10" in kept
    await expect(ada.answers.last).to_contain_text("Stopped")
    frames = await recorded(ada)
    assert frames[-1]["reason"] == "stopped"
    assert text_of(frames).strip() == kept
    await ada.page.reload()
    await expect(ada.prose).to_have_text(kept)
    assert "You said: hello again" in await ada.ask("hello again")


async def test_the_key_never_enters_the_sandbox(people: People, claude: Claude) -> None:
    ada = await people.person()
    await ada.open()
    await ada.ask("remember the word heliotrope")
    assert claude.api.keys == {claude.KEY}
    sandbox = claude.stack.sandbox(ada.session)
    inspected = json.dumps(sandbox.attrs)
    seen = {
        "inspect": inspected,
        "processes": run_in(
            sandbox,
            "sh",
            "-c",
            "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n'",
            user=AGENT,
        ),
        "files": run_in(
            sandbox, "sh", "-c", f"grep -rlsF {claude.KEY} {WRITABLE}; echo searched", user=AGENT
        ),
    }
    # Each search would have found it: they find what is there.
    token = next(item for item in sandbox.attrs["Config"]["Env"] if item.startswith("VF_SANDBOX_TOKEN="))
    assert token in seen["processes"].splitlines()
    remembered = run_in(sandbox, "sh", "-c", f"grep -rlsF heliotrope {WRITABLE}; echo searched", user=AGENT)
    assert "/home/agent" in remembered
    assert seen["files"] == "searched\n"
    assert claude.KEY not in seen["inspect"] + seen["processes"]
    for container in claude.stack.containers():
        assert claude.KEY.encode() not in container.logs(), container.name


async def test_a_conversation_goes_on_in_the_next_prompt_and_the_next_sandbox(
    people: People, claude: Claude
) -> None:
    ada = await people.person()
    await ada.open()
    wire = await Wire().tap(ada.page)
    await ada.ask("remember the word marigold")
    await ada.ask("and the word bergamot")
    asked = "\n".join(claude.api.prompts())
    assert "marigold" in asked
    assert "bergamot" in asked

    await asyncio.to_thread(claude.stack.sandbox(ada.session).remove, force=True)
    await ada.ask("what were they")
    asked = "\n".join(claude.api.prompts())
    assert "marigold" in asked
    assert "bergamot" in asked
    assert "what were they" in asked
    assert wire.of("session-reset") == []
    assert len({frame["sessionId"] for _, frame in wire.of("session-init")}) == 1
    assert len(wire.of("session-init")) == 3
