"""Background jobs that were ended, in Chromium."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.people import People
    from tests.gateway.stack import Stack

pytestmark = pytest.mark.e2e


async def test_the_next_answer_says_which_jobs_were_ended(
    people: People, stack: Stack, tmp_path: Path
) -> None:
    ada = await people.person()
    await ada.open()
    await ada.ask("Echo one")
    await stack.gateways[0].runs.driver.stop(ada.session)
    list_of_jobs = tmp_path / "sandboxes" / ada.session / "home" / ".vaporforge" / "jobs.json"
    list_of_jobs.write_text(json.dumps(["npm run dev"]))
    await ada.ask("Echo two")
    note = ada.answers.last.get_by_role("note")
    await expect(note).to_contain_text("npm run dev")
    await ada.page.reload()
    await expect(note).to_contain_text("npm run dev")
    await expect(ada.prose).to_have_text("two")
