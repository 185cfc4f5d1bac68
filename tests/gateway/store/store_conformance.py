"""What every `Store` must do: subclass `StoreConformance` where a fixture `store` gives an open, empty one."""

from __future__ import annotations

import asyncio
import base64
import random
from typing import TYPE_CHECKING, Any

import pytest

from gateway.errors import BadRequest, NotOwner, SessionGone, SessionNotFound
from gateway.model import Message, Page, RunState
from tests.gateway.store.frames_conformance import FramesConformance
from tests.gateway.store.rates_conformance import QuotasConformance
from tests.gateway.store.runs_conformance import RunsConformance
from tests.gateway.store.store_samples import admit, frames, message, session

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.store import Store


async def pages(listing: Callable[..., Awaitable[Page[Any]]], **arguments: Any) -> list[list[Any]]:
    """Every page of a listing."""
    found: list[list[Any]] = []
    cursor: str | None = None
    while True:
        page = await listing(cursor=cursor, **arguments)
        found.append(list(page.items))
        if page.cursor is None:
            return found
        cursor = page.cursor


def forged(prefix: str) -> str:
    """A cursor with a sort key that is longer than any."""
    return base64.urlsafe_b64encode((prefix + "x" * 2000).encode()).decode()


class SessionsConformance:
    """Sessions."""

    async def test_a_session_is_read_back_as_it_was_put(self, store: Store) -> None:
        made = session("s1", title="Ünïcode 🦊")
        assert await store.create_session(made) == made
        assert await store.get_session("s1") == made

    async def test_the_same_session_again_returns_what_is_there(self, store: Store) -> None:
        await store.create_session(session("s1", title="first"))
        await store.rename_session("s1", "renamed")
        again = await store.create_session(session("s1", title="first"))
        assert again.title == "renamed"

    async def test_a_session_of_another_owner_is_not_given_away(self, store: Store) -> None:
        await store.create_session(session("s1", owner="alice"))
        with pytest.raises(NotOwner):
            await store.create_session(session("s1", owner="bob"))
        assert (await store.list_sessions("bob")).items == ()

    async def test_a_missing_session_is_an_error(self, store: Store) -> None:
        for attempt in (
            store.get_session("none"),
            store.rename_session("none", "x"),
            store.set_sdk_session("none", "x"),
            store.put_message(message("none", "m1")),
            admit(store, "none", "m1"),
        ):
            with pytest.raises(SessionNotFound):
                await attempt
        with pytest.raises(SessionNotFound):
            await store.get_session("none")

    async def test_renaming_changes_the_title_alone(self, store: Store) -> None:
        made = await store.create_session(session("s1"))
        renamed = await store.rename_session("s1", "new")
        assert renamed.title == "new"
        assert renamed.version > made.version
        await store.set_sdk_session("s1", "sdk-1")
        found = await store.get_session("s1")
        assert (found.title, found.sdk_session_id, found.created_at) == ("new", "sdk-1", made.created_at)

    async def test_sessions_are_listed_newest_first_in_pages_and_by_owner(self, store: Store) -> None:
        order = list(range(7))
        random.Random(1).shuffle(order)
        for number in order:
            await store.create_session(session(f"s{9 - number}", created_at=1_800_000_000.0 + number))
        await store.create_session(session("other", owner="bob"))
        found = await pages(store.list_sessions, owner="alice", limit=3)
        assert [len(page) for page in found] == [3, 3, 1]
        assert [item.id for page in found for item in page] == [
            f"s{9 - number}" for number in reversed(range(7))
        ]

    async def test_a_cursor_that_no_listing_gave_is_refused(self, store: Store) -> None:
        await store.create_session(session("s1"))
        for cursor in ("x", "%%%", "TUVUQQ", "ü", *map(forged, ("MSG#", "SESSION#"))):
            with pytest.raises(BadRequest):
                await store.list_sessions("alice", cursor=cursor)
            with pytest.raises(BadRequest):
                await store.list_messages("s1", cursor=cursor)

    async def test_deleting_leaves_nothing(self, store: Store) -> None:
        await store.create_session(session("s1"))
        run = (await admit(store, "s1", "m1")).run
        queued = (await admit(store, "s1", "m2")).run
        await store.append_frames(run, first=1, last=3, frames=frames(run.id, 1, 3))
        for number in range(40):
            await store.put_message(message("s1", f"more-{number}"))
        await store.put_message(message("s1", "large", content=_noise(900_000)))
        await store.delete_session("s1")
        for attempt in (store.get_session("s1"), admit(store, "s1", "m9")):
            with pytest.raises(SessionNotFound):
                await attempt
        assert (await store.list_sessions("alice")).items == ()
        assert (await store.list_messages("s1")).items == ()
        assert (await store.list_runs("s1")).items == ()
        assert await store.get_message("s1", "m1") is None
        assert await store.expired_runs(now=run.lease_until + 1e6) == []
        assert await store.append_frames(run, first=4, last=4, frames=frames(run.id, 4, 4)) is None
        assert await store.renew_lease(run, lease_seconds=1, now=0) is None
        assert queued.state is RunState.QUEUED
        await store.delete_session("s1")

    async def test_a_session_that_is_being_deleted_says_so_and_takes_nothing(self, store: Store) -> None:
        await store.create_session(session("s1"))
        run = (await admit(store, "s1", "m1")).run
        assert not (await store.get_session("s1")).deleting
        for _ in range(2):
            await store.begin_delete("s1")
            assert (await store.get_session("s1")).deleting
        for attempt in (
            admit(store, "s1", "m2"),
            store.put_message(message("s1", "m3")),
            store.rename_session("s1", "x"),
        ):
            with pytest.raises(SessionGone):
                await attempt
        assert (await store.get_run("s1", run.id)) == run
        await store.delete_session("s1")
        await store.begin_delete("s1")
        with pytest.raises(SessionNotFound):
            await store.get_session("s1")

    async def test_nothing_is_admitted_while_a_session_is_deleted(self, store: Store) -> None:
        await store.create_session(session("s1"))

        started = asyncio.Event()

        async def flood() -> int:
            for number in range(200):
                if number == 3:
                    started.set()
                try:
                    await admit(store, "s1", f"m{number}", queue_limit=500)
                except (SessionGone, SessionNotFound):
                    return number
            raise AssertionError("the session was never deleted")

        flooding = asyncio.create_task(flood())
        await started.wait()
        await store.delete_session("s1")
        assert await flooding > 0
        assert (await store.list_runs("s1")).items == ()
        assert (await store.list_messages("s1")).items == ()

    async def test_ping(self, store: Store) -> None:
        await store.ping()


class MessagesConformance:
    """Messages."""

    async def test_a_message_is_read_back_as_it_was_put(self, store: Store) -> None:
        await store.create_session(session("s1"))
        made = Message(
            id="m1",
            session="s1",
            role="assistant",
            content="text\x00 🦊",
            created_at=1_800_000_000.123456,
            run="r1",
            parts=(
                {"type": "text", "text": "text"},
                {
                    "type": "tool",
                    "id": "t",
                    "name": "n",
                    "input": {"": [1, 2.5, None, 2**53 + 1, -(2**64)]},
                    "output": None,
                },
            ),
            meta={"usage": {"tokens": 3}, "costUsd": 0.0000001, "sdkSessionId": ""},
        )
        assert await store.put_message(made)
        assert await store.get_message("s1", "m1") == made
        assert (await store.list_messages("s1")).items == (made,)
        assert await store.get_message("s1", "m2") is None
        assert await store.get_message("s2", "m1") is None

    async def test_a_message_is_put_once(self, store: Store) -> None:
        await store.create_session(session("s1"))
        racing = [store.put_message(message("s1", "m1", content=f"try {number}")) for number in range(6)]
        won = await asyncio.gather(*racing)
        assert sorted(won) == [False] * 5 + [True]
        kept = await store.get_message("s1", "m1")
        assert kept is not None
        assert kept.content == f"try {won.index(True)}"
        assert len((await store.list_messages("s1")).items) == 1

    async def test_messages_keep_their_order_in_both_directions(self, store: Store) -> None:
        await store.create_session(session("s1"))
        order = list(range(12))
        random.Random(2).shuffle(order)
        for number in order:
            await store.put_message(message("s1", f"{99 - number}", created_at=1_800_000_000 + number / 1000))
        expected = [f"{99 - number}" for number in range(12)]
        oldest = await pages(store.list_messages, session="s1", limit=5)
        newest = await pages(store.list_messages, session="s1", limit=5, newest=True)
        assert [item.id for page in oldest for item in page] == expected
        assert [item.id for page in newest for item in page] == expected[::-1]
        assert [len(page) for page in oldest] == [5, 5, 2]

    async def test_large_messages_and_pages_over_a_megabyte_are_joined(self, store: Store) -> None:
        await store.create_session(session("s1"))
        made = [message("s1", f"m{number}", content=_noise(250_000)) for number in range(6)]
        made.append(message("s1", "m9", content=_noise(2_000_000), created_at=made[-1].created_at + 1))
        for item in made:
            assert await store.put_message(item)
        assert (await store.list_messages("s1")).items == tuple(made)
        assert await store.get_message("s1", "m9") == made[-1]
        assert not await store.put_message(made[-1])

    async def test_a_page_ends_where_its_messages_are_large_together(self, store: Store) -> None:
        await store.create_session(session("s1"))
        # One after another so well compressed that DynamoDB's own pages of 1 MB would hold them all.
        made = [
            message("s1", f"m{number}", content=str(number) * 700_000, created_at=1_800_000_000.0 + number)
            for number in range(7)
        ]
        for item in made:
            await store.put_message(item)
        for newest in (False, True):
            found = await pages(store.list_messages, session="s1", limit=50, newest=newest)
            assert [len(page) for page in found] == [3, 3, 1]
            assert [item for page in found for item in page] == (made[::-1] if newest else made)

    async def test_the_longest_prompt_is_kept(self, store: Store) -> None:
        await store.create_session(session("s1"))
        prompt = "".join(map(chr, random.Random(3).choices(range(0x1F300, 0x1F600), k=100_000)))
        await admit(store, "s1", "m1", prompt=prompt)
        kept = await store.get_message("s1", "m1")
        assert kept is not None
        assert (kept.content, kept.role) == (prompt, "user")


class TicketsConformance:
    """Tickets and settings."""

    async def test_a_ticket_is_used_once(self, store: Store) -> None:
        await store.put_ticket("t1", {"sub": "alice", "n": 1.5}, expires_at=1_900_000_000.0)
        won = await asyncio.gather(*(store.take_ticket("t1", now=1_899_999_999.0) for _ in range(8)))
        assert [claims for claims in won if claims is not None] == [{"sub": "alice", "n": 1.5}]
        assert await store.take_ticket("t1", now=1_899_999_999.0) is None

    async def test_a_ticket_ends_at_its_time(self, store: Store) -> None:
        await store.put_ticket("t1", {}, expires_at=1_900_000_000.25)
        assert await store.take_ticket("t1", now=1_900_000_000.25) is None
        assert await store.take_ticket("t1", now=1_900_000_000.2) == {}
        assert await store.take_ticket("unknown", now=0) is None

    async def test_a_used_ticket_is_not_made_new(self, store: Store) -> None:
        await store.put_ticket("t1", {"n": 1}, expires_at=1_900_000_000)
        assert await store.take_ticket("t1", now=0) == {"n": 1}
        await store.put_ticket("t1", {"n": 1}, expires_at=1_900_000_000)
        assert await store.take_ticket("t1", now=0) is None

    async def test_settings_are_each_users_own(self, store: Store) -> None:
        assert await store.get_settings("alice") == {}
        settings = {"mcpServers": {"a": {"args": ["-x", 1, 0.5, None, True]}}, "credential": ""}
        await store.put_settings("alice", settings)
        assert await store.get_settings("alice") == settings
        assert await store.get_settings("bob") == {}
        await store.put_settings("alice", {})
        assert await store.get_settings("alice") == {}


class StoreConformance(
    SessionsConformance,
    MessagesConformance,
    RunsConformance,
    FramesConformance,
    TicketsConformance,
    QuotasConformance,
):
    """All of it."""


def _noise(size: int) -> str:
    """Text that does not compress to less than half."""
    return random.Random(size).randbytes(size // 2).hex()
