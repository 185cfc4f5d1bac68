"""The real agent on a deployed stack with `egress: registries`: what it installs, and what it is refused."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.e2e.deployed import visitors
from tests.e2e.wire import recorded

if TYPE_CHECKING:
    from playwright.async_api import Browser

    from tests.e2e.deployed import Claude
    from tests.e2e.people import Person

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(2400)]

UNLISTED = "ci.example.com"
"""There is no such host: what is let through fails behind the proxy, and says something else."""

INSTALL = "/opt/venv/bin/python -m pip install -q --no-cache-dir --target /workspace/lib six==1.17.0"

FETCH = f"curl -sS -o /dev/null https://{UNLISTED}/"


async def run(person: Person, command: str) -> str:
    """What the command said that the agent ran."""
    await person.ask(f'run the command "{command}"')
    outputs = [str(frame["output"]) for frame in await recorded(person) if frame["type"] == "tool-result"]
    return outputs[-1]


async def test_a_package_is_installed_and_an_unlisted_host_is_refused_until_its_owner_allows_it(
    claude_stack: Claude, browser: Browser
) -> None:
    claude_stack.give_key()
    async with visitors(claude_stack.stack, browser, "claude-egress") as people:
        ada = await people.person()
        await ada.open()
        said = await run(ada, f"{INSTALL} && cat /workspace/lib/six-1.17.0.dist-info/INSTALLER")
        assert said.strip().endswith("pip")
        await expect(ada.see("egress-blocked")).to_have_count(0)
        assert "__version__" in claude_stack.stack.file(ada.session, "/workspace/lib/six.py")

        assert re.search("403", await run(ada, FETCH))
        note = ada.see("egress-blocked").first
        await expect(note).to_contain_text(UNLISTED)
        button = note.get_by_test_id("allow-host")
        await expect(button).to_have_text("Allow for this session")
        await button.click()
        await expect(note).to_contain_text("Allowed for this session")
        await ada.page.wait_for_timeout(2500)  # what a gateway knows of a session may be two seconds old
        assert "403" not in await run(ada, FETCH)
        await expect(ada.answers.last.get_by_test_id("egress-blocked")).to_have_count(0)

        await expect(button).to_have_text("Take back")
        await button.click()
        await expect(button).to_have_text("Allow for this session")
        await ada.page.wait_for_timeout(2500)
        assert "403" in await run(ada, FETCH)
