"""The real agent on a deployed stack with `egress: registries`: what it installs, what it is refused, and its git."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from playwright.async_api import expect

from tests.e2e.deployed import run_in, visitors
from tests.e2e.threaded import Threaded
from tests.e2e.wire import recorded
from tests.gateway.broker.git.git_host import TOKEN, GitHost, run_git

if TYPE_CHECKING:
    from collections.abc import Iterator

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


@pytest.fixture(scope="module")
def git(claude_stack: Claude, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[GitHost, str]]:
    """A git host with one private repository, that the stack knows, and its URL."""
    host = GitHost(tmp_path_factory.mktemp("git"))
    host.make("acme/site")
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", host.handle)
    with Threaded(app, claude_stack.stack.public_address()) as served:
        claude_stack.give_key("--set", f"gitHosts={served.url}/acme")
        yield host, served.url


async def test_a_private_repository_is_changed_and_pushed_without_its_token_in_the_sandbox(
    claude_stack: Claude, browser: Browser, git: tuple[GitHost, str]
) -> None:
    host, url = git
    name = url.removeprefix("http://")
    async with visitors(claude_stack.stack, browser, "claude-git") as people:
        ada = await people.person()
        await ada.open()
        await ada.see("settings").click()
        await ada.page.get_by_label("Add a git host").select_option(name)
        await ada.page.get_by_label(f"Token for {name}").fill(TOKEN)
        await ada.page.get_by_role("button", name="Save").click()
        await expect(ada.page.locator("#settings")).to_be_hidden()

        clone = f"git clone -q {url}/acme/site.git /workspace/site && cd /workspace/site"
        change = "echo changed > README && git commit -qam changed && git push -q origin HEAD:topic"
        said = await run(ada, f"{clone} && {change} && git log -1 --format='%an pushed %s'")
        assert said.strip().endswith("ada pushed changed")
        bare = host.folder / "acme" / "site.git"
        assert run_git(bare, "show", "topic:README") == "changed\n"
        assert run_git(bare, "log", "-1", "--format=%an", "topic").strip() == "ada"

        again = "cd /workspace/site && git commit -q --amend -m anew && git push --force origin HEAD:topic"
        assert "the broker lets no push through" in await run(ada, again)
        assert run_git(bare, "log", "-1", "--format=%s", "topic") == "changed\n"

        sandbox = claude_stack.stack.sandbox(ada.session)
        # A class of one letter, so that the search does not find its own words.
        places = "/workspace /home/agent /tmp /proc/[0-9]*/environ /proc/[0-9]*/cmdline"
        found = run_in(sandbox, "sh", "-c", f"grep -rls '[{TOKEN[0]}]{TOKEN[1:]}' {places}; true")
        assert found.strip() == ""
        logs = "".join(part.logs().decode(errors="replace") for part in claude_stack.stack.containers())
        assert TOKEN not in logs

        await ada.see("settings").click()
        token = ada.page.get_by_label(f"Token for {name}")
        await expect(token).to_have_attribute("placeholder", re.compile("A token is set"))
        await ada.page.get_by_label(f"Remove {name}").click()
        await ada.page.get_by_role("button", name="Save").click()
        await expect(ada.page.locator("#settings")).to_be_hidden()
        await ada.page.wait_for_timeout(
            5500
        )  # what a gateway knows of a user's hosts may be five seconds old
        refused = await run(ada, "cd /workspace/site && git fetch")
        assert "is not among your git hosts" in refused


async def test_a_package_is_installed_and_an_unlisted_host_is_refused_until_its_owner_allows_it(
    claude_stack: Claude, browser: Browser, git: tuple[GitHost, str]
) -> None:
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
