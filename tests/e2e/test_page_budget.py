"""A budget that the real agent uses up in mid-stream, as the page shows it: live, and when it is read again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.conftest import ROOT
from tests.e2e.people import People
from tests.gateway.broker.agent_stack import LONG, agent_stack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from playwright.async_api import Browser

    from tests.e2e.people import Person

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]

SENTENCE = "This run's budget of $0.10 is used up: send another prompt to go on."

LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 780}, "has_touch": True, "is_mobile": True},
}


@pytest_asyncio.fixture(loop_scope="session")
async def people(
    browser: Browser, dynamodb_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[People]:
    monkeypatch.delenv("CLAUDECODE", raising=False)
    async with agent_stack(dynamodb_endpoint, tmp_path, budget_run_usd=0.1) as (stack, _):
        people = People(browser, stack, ROOT / "artifacts" / "page", "budget")
        yield people
        await people.leave()


async def said(person: Person) -> None:
    """What was paid for, one note that most is used up, one problem with what to do, and no word of the agent's own
    about a call that failed."""
    answer = person.answers.last
    await expect(answer).to_contain_text("Sentence piece 100")
    await expect(answer).not_to_contain_text("Sentence piece 399")
    await expect(answer.locator(".turn-note.error")).to_have_count(1)
    await expect(answer.locator(".turn-note.error")).to_have_text(SENTENCE)
    near = answer.locator(".turn-note.info").filter(has_text="This run's budget of $0.10 is used up to $0.0")
    await expect(near).to_have_count(1)
    await expect(answer).not_to_contain_text("API Error")


async def test_what_is_used_up_is_said_once_with_what_to_do(people: People) -> None:
    ada = await people.person(**LOOKS["light"])
    await ada.open()
    await ada.ask(LONG)
    await said(ada)
    await ada.page.reload()
    await said(ada)
    for name, look in LOOKS.items():
        other = await people.person(**look)
        await other.open(f"/#/s/{ada.session}")
        await said(other)
        await other.page.screenshot(path=ROOT / "artifacts" / "page" / f"budget-{name}.png")
    assert "You said: hello" in await ada.ask("hello")
