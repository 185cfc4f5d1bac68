"""What every `Store` must do with rates, places and what users hold."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.errors import Conflict, QueueFull, RateLimited, SessionBusy, SessionNotFound
from gateway.model import OnBusy
from gateway.store.quotas import DAY, HOUR, MINUTE, Claim, Crowd, Held, Limit, Rate, Reached
from tests.gateway.store.store_samples import LEASE, admit, message, new_run, session

if TYPE_CHECKING:
    from gateway.model import Admission
    from gateway.store import Store

NOON = 20_000 * DAY + 12 * HOUR + 0.5
"""Half a second after a minute, an hour and half a day have begun."""


def rate(*, minute: int = 0, day: int = 0, size: int = 0, who: str = "alice") -> Rate:
    limits = (
        Limit("prompts", minute, MINUTE, "a minute"),
        Limit("prompts", day, DAY, "a day"),
        Limit("bytes", size, DAY, "bytes a day"),
    )
    return Rate("prompts", who, tuple(limit for limit in limits if limit.most))


class OneUnit:
    """An allowance of one prompt at noon."""

    def __init__(self, store: Store, counted: Rate) -> None:
        self.store, self.rate = store, counted

    async def take(self) -> None:
        reached = await self.store.count(self.rate, {"prompts": 1}, now=NOON)
        if reached is not None:
            raise RateLimited(reached.sentence(), retry_after=reached.seconds)

    async def give_back(self) -> None:
        await self.store.give_back(self.rate, {"prompts": 1}, counted_at=NOON)


async def counted(store: Store, wanted: Rate, now: float = NOON) -> bool:
    return await store.count(wanted, {"prompts": 1}, now=now) is None


async def left(store: Store, wanted: Rate) -> int:
    """How many prompts the rate still takes, by taking them."""
    for count in range(100):
        if not await counted(store, wanted):
            return count
    return 100


async def send(
    store: Store, name: str, wanted: Rate, on_busy: OnBusy = OnBusy.QUEUE, queue: int = 8
) -> Admission:
    return await store.create_run(
        new_run("s1", name),
        on_busy=on_busy,
        queue_limit=queue,
        gateway="g1",
        lease_seconds=LEASE,
        allowance=OneUnit(store, wanted),
    )


class RatesConformance:
    """Rates."""

    async def test_a_limit_is_met_exactly_and_says_when_again(self, store: Store) -> None:
        wanted = rate(minute=3)
        assert [await counted(store, wanted) for _ in range(5)] == [True] * 3 + [False] * 2
        reached = await store.count(wanted, {"prompts": 1}, now=NOON + 19.5)
        assert reached == Reached(wanted.limits[0], 40.0)
        assert await counted(store, rate(minute=3, who="bob"))

    async def test_windows_roll_over_each_for_itself(self, store: Store) -> None:
        wanted = rate(minute=2, day=5)
        assert [await counted(store, wanted, NOON + second) for second in (0, 1, 2)] == [True, True, False]
        assert [await counted(store, wanted, NOON + 60 + second) for second in (0, 1, 2)] == [
            True,
            True,
            False,
        ]
        assert await counted(store, wanted, NOON + 120)
        reached = await store.count(wanted, {"prompts": 1}, now=NOON + 180)
        assert reached == Reached(wanted.limits[1], 12 * HOUR - 180.5)
        assert await counted(store, wanted, NOON + 12 * HOUR)

    async def test_racing_counts_pass_no_limit(self, store: Store) -> None:
        wanted = rate(minute=10, day=1000)
        racing = await asyncio.gather(*(counted(store, wanted) for _ in range(50)))
        assert sum(racing) == 10

    async def test_what_was_given_back_is_there_again(self, store: Store) -> None:
        wanted = rate(minute=2, day=2)
        assert await left(store, wanted) == 2
        await store.give_back(wanted, {"prompts": 1}, counted_at=NOON)
        assert await left(store, wanted) == 1
        await store.give_back(rate(minute=2, who="nobody"), {"prompts": 1}, counted_at=NOON)
        assert await left(store, rate(minute=2, who="nobody")) == 2

    async def test_units_of_one_rate_have_limits_of_their_own(self, store: Store) -> None:
        wanted = rate(minute=10, size=1000)
        assert await counted(store, wanted)
        assert await store.count(wanted, {"bytes": 999}, now=NOON, always=True) is None
        assert await counted(store, wanted)
        assert await store.count(wanted, {"bytes": 5000}, now=NOON, always=True) is None
        reached = await store.count(wanted, {"prompts": 1}, now=NOON)
        assert reached is not None
        assert reached.limit.unit == "bytes"
        assert await left(store, rate(minute=10, size=10**6)) == 8

    async def test_an_amount_past_its_limit_is_not_counted(self, store: Store) -> None:
        wanted = rate(size=1000)
        assert await store.count(wanted, {"bytes": 1001}, now=NOON) is not None
        assert await store.count(wanted, {"bytes": 600}, now=NOON) is None
        assert await store.count(wanted, {"bytes": 401}, now=NOON) is not None
        assert await store.count(wanted, {"bytes": 400}, now=NOON) is None

    async def test_no_limits_count_nothing(self, store: Store) -> None:
        assert await left(store, rate()) == 100


class CountedPromptsConformance:
    """Prompts with an allowance."""

    async def test_prompts_past_the_limit_are_refused_and_change_nothing(self, store: Store) -> None:
        wanted = rate(minute=2)
        await store.create_session(session("s1"))
        assert [(await send(store, name, wanted)).position for name in ("m1", "m2")] == [0, 1]
        before = await store.get_session("s1")
        with pytest.raises(RateLimited, match="try again in 60 s") as refused:
            await send(store, "m3", wanted)
        assert refused.value.retry_after == 60
        assert await store.get_session("s1") == before
        assert await store.get_message("s1", "m3") is None

    async def test_a_prompt_sent_again_is_counted_once(self, store: Store) -> None:
        wanted = rate(minute=5)
        await store.create_session(session("s1"))
        first = await send(store, "m1", wanted)
        for _ in range(3):
            assert (await send(store, "m1", wanted)).run.id == first.run.id
        assert await left(store, wanted) == 4

    async def test_a_known_prompt_is_answered_also_where_the_limit_is_reached(self, store: Store) -> None:
        wanted = rate(minute=1)
        await store.create_session(session("s1"))
        first = await send(store, "m1", wanted)
        again = await send(store, "m1", wanted)
        assert (again.run.id, again.duplicate) == (first.run.id, True)

    async def test_racing_duplicates_are_counted_once(self, store: Store) -> None:
        wanted = rate(minute=50)
        await store.create_session(session("s1"))
        racing = await asyncio.gather(*(send(store, "m1", wanted) for _ in range(8)))
        assert len({admission.run.id for admission in racing}) == 1
        assert await left(store, wanted) == 49

    async def test_what_is_refused_for_another_reason_costs_nothing(self, store: Store) -> None:
        wanted = rate(minute=10)
        with pytest.raises(SessionNotFound):
            await send(store, "m0", wanted)
        await store.create_session(session("s1"))
        await store.put_message(message("s1", "no-run"))
        await send(store, "m1", wanted)
        with pytest.raises(SessionBusy):
            await send(store, "m2", wanted, on_busy=OnBusy.REJECT)
        with pytest.raises(QueueFull):
            await send(store, "m3", wanted, queue=0)
        with pytest.raises(Conflict):
            await send(store, "no-run", wanted)
        assert await left(store, wanted) == 9

    async def test_fifty_at_once_are_exactly_as_many_as_may_be(self, store: Store) -> None:
        wanted = rate(minute=10)
        await asyncio.gather(*(store.create_session(session(f"s{number}")) for number in range(50)))
        racing = await asyncio.gather(
            *(
                store.create_run(
                    new_run(f"s{number}", "m1"),
                    on_busy=OnBusy.QUEUE,
                    queue_limit=8,
                    gateway="g1",
                    lease_seconds=LEASE,
                    allowance=OneUnit(store, wanted),
                )
                for number in range(50)
            ),
            return_exceptions=True,
        )
        assert [type(item) for item in racing if isinstance(item, BaseException)] == [RateLimited] * 40
        found = await asyncio.gather(*(store.get_session(f"s{number}") for number in range(50)))
        assert sum(item.active_run is not None for item in found) == 10


def claim(name: str, *running: str, owner: str = "alice", user: int = 0, most: int = 0) -> Claim:
    """A place for `name`'s sandbox while those of `running` (`session:owner`) run."""
    return Claim(
        session=name,
        owner=owner,
        until=NOON + 60,
        running=dict(pair.split(":") for pair in running),
        most_of_user=user,
        most=most,
    )


class PlacesConformance:
    """Places of sandboxes."""

    async def test_places_are_those_that_run_and_those_that_are_held(self, store: Store) -> None:
        assert await store.claim_place(claim("s1", most=2), now=NOON) is None
        assert await store.claim_place(claim("s1", most=1), now=NOON) is None
        assert await store.claim_place(claim("s2", "s9:bob", most=2), now=NOON) is Crowd.ALL
        assert await store.claim_place(claim("s2", "s1:alice", most=2), now=NOON) is None
        assert await store.claim_place(claim("s3", owner="bob", most=2), now=NOON) is Crowd.ALL

    async def test_a_user_has_places_of_their_own(self, store: Store) -> None:
        assert await store.claim_place(claim("s1", user=2), now=NOON) is None
        assert await store.claim_place(claim("s2", "s8:alice", user=2), now=NOON) is Crowd.USER
        assert await store.claim_place(claim("s2", "s8:bob", user=2), now=NOON) is None
        assert await store.claim_place(claim("s3", owner="bob", user=2), now=NOON) is None

    async def test_a_place_runs_out_and_can_be_let_go(self, store: Store) -> None:
        assert await store.claim_place(claim("s1", most=1), now=NOON) is None
        assert await store.claim_place(claim("s2", most=1), now=NOON + 59) is Crowd.ALL
        assert await store.claim_place(claim("s2", most=1), now=NOON + 61) is None
        assert await store.claim_place(claim("s3", most=1), now=NOON + 59) is Crowd.ALL
        await store.release_place("s2")
        await store.release_place("s2")
        assert await store.claim_place(claim("s3", most=1), now=NOON + 59) is None

    async def test_racing_claims_take_no_place_twice(self, store: Store) -> None:
        racing = await asyncio.gather(
            *(store.claim_place(claim(f"s{number}", most=5), now=NOON) for number in range(20))
        )
        assert sum(crowd is None for crowd in racing) == 5


class HoldingsConformance:
    """What users hold."""

    async def test_what_a_user_has_is_counted_from_the_sessions(self, store: Store) -> None:
        assert await store.held_by("alice") == Held(0, 0)
        for number in range(3):
            await store.create_session(session(f"s{number}"))
        await store.create_session(session("other", owner="bob"))
        await store.set_stored("s0", 100)
        await store.set_stored("s1", 50)
        await store.set_stored("s1", 20)
        await store.set_stored("other", 7)
        await store.set_stored("none", 7)
        assert await store.held_by("alice") == Held(3, 120)
        await store.delete_session("s0")
        assert await store.held_by("alice") == Held(2, 20)
        with pytest.raises(SessionNotFound):
            await store.get_session("none")

    async def test_counting_may_end_where_it_is_enough(self, store: Store) -> None:
        for number in range(102):
            await store.create_session(session(f"s{number}"))
            await store.set_stored(f"s{number}", 10)
        everything = Held(102, 1020)
        assert await store.held_by("alice") == everything
        assert await store.held_by("alice", most=200, stored=2000) == everything
        for enough in ({"most": 5}, {"stored": 50}):
            held = await store.held_by("alice", **enough)
            assert not held.whole
            assert (held.sessions, held.stored) < (102, 1020)

    async def test_a_size_outlives_a_run_and_a_new_title(self, store: Store) -> None:
        await store.create_session(session("s1"))
        await store.set_stored("s1", 100)
        await admit(store, "s1", "m1")
        await store.rename_session("s1", "another")
        assert await store.held_by("alice") == Held(1, 100)

    async def test_owners_are_told_of_sessions_that_are_there(self, store: Store) -> None:
        await store.create_session(session("s1"))
        await store.create_session(session("s2", owner="bob"))
        assert await store.owners(["s1", "s2", "s1", "none"]) == {"s1": "alice", "s2": "bob"}
        assert await store.owners([]) == {}


class QuotasConformance(RatesConformance, CountedPromptsConformance, PlacesConformance, HoldingsConformance):
    """All of it."""
