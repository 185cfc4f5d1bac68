"""Who asks, as git names people: from a token's claims to the author of a commit in the sandbox."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from gateway.ids import new_id
from gateway.web.request.author import author_of
from tests.gateway.stack import SECRET, Stack, assert_whole, read_all

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

COMMITS = (
    'sh -c \'read -r query && cd "$VF_WORKSPACE" && git init -q . && git commit -q --allow-empty -m first'
    ' && git log -1 --format="%an|%ae|%cn|%ce"\''
)
"""An agent that commits when it is asked, and says whose commit it is."""


def token(**claims: Any) -> str:
    return jwt.encode({"sub": "ada", "aud": "vaporforge", "exp": int(time.time()) + 600, **claims}, SECRET)


@pytest.mark.parametrize(
    ("claims", "name", "email"),
    [
        ({"name": "Ada Lovelace", "email": "ada@example.com"}, "Ada Lovelace", "ada@example.com"),
        ({}, "ada", "ada@noreply.invalid"),
        ({"name": "", "email": ""}, "ada", "ada@noreply.invalid"),
        ({"name": 7, "email": ["x@y"]}, "ada", "ada@noreply.invalid"),
        ({"sub": "ada@example.com"}, "ada@example.com", "ada@example.com"),
        ({"email": "ada@example.com", "email_verified": False}, "ada", "ada@noreply.invalid"),
        ({"name": "Ada\n[core]\n\tpager = evil"}, "Ada [core] pager = evil", "ada@noreply.invalid"),
        ({"name": 'A"da\\ <x@y>'}, "A da x@y", "ada@noreply.invalid"),
        ({"email": "a b@example.com"}, "ada", "ada@noreply.invalid"),
        ({"email": "a@example.com\n[core]"}, "ada", "ada@noreply.invalid"),
        ({"email": f"{'a' * 250}@example.com"}, "ada", "ada@noreply.invalid"),
        ({"name": "Ädä \u202eLövelace 🦊"}, "Ädä Lövelace 🦊", "ada@noreply.invalid"),
        ({"name": "x" * 300}, "x" * 100, "ada@noreply.invalid"),
        ({"sub": ".,;:", "name": "..."}, "user", "user@noreply.invalid"),
        ({"sub": "auth0|Ada 1"}, "auth0|Ada 1", "auth0-Ada-1@noreply.invalid"),
    ],
)
def test_a_token_names_its_person(claims: dict[str, Any], name: str, email: str) -> None:
    author = author_of({"sub": "ada", **claims})
    assert (author.name, author.email) == (name, email)


@pytest.fixture
async def committing(dynamodb_endpoint: str, tmp_path: Path) -> AsyncIterator[Stack]:
    """A stack whose agent commits."""
    async with Stack(dynamodb_endpoint, f"test-{new_id()}", tmp_path / "sandboxes", agent=COMMITS) as stack:
        yield stack


async def committed(stack: Stack, credential: dict[str, str]) -> str:
    """Whose the commit is that a prompt of this person leads to, by a ticket as the page asks for one."""
    session = await stack.session()
    async with stack.http.post(f"{stack.url}/api/sdk/ticket", json={}, headers=credential) as response:
        ticket = (await response.json())["ticket"]
    query = {"sessionId": session, "prompt": "commit", "ticket": ticket}
    async with stack.http.ws_connect(f"{stack.url}/api/sdk/ws", params=query) as socket:
        frames = await read_all(socket)
    assert_whole(frames)
    return "".join(frame["text"] for frame in frames if frame["type"] == "stderr").strip()


async def test_a_commit_in_the_sandbox_is_of_whoever_asked(committing: Stack) -> None:
    known = {"Authorization": f"Bearer {token(name='Ada Lovelace', email='ada@example.com')}"}
    assert await committed(committing, known) == "Ada Lovelace|ada@example.com|Ada Lovelace|ada@example.com"
    assert await committed(committing, committing.headers()) == (
        "ada|ada@noreply.invalid|ada|ada@noreply.invalid"
    )
