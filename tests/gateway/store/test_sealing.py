"""What the table holds of a session's messages and frames, and what opens it: the stack's key, also a rotated one."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gateway.broker.credentials import credential_of, encrypt, key_of
from gateway.errors import StoreUnavailable
from gateway.store import keys
from gateway.store.dynamo import DynamoStore
from gateway.store.frames import PIECE_LIMIT
from gateway.store.keyring import RELOAD_SECONDS
from gateway.store.pool import SETTLE_SECONDS
from gateway.store.requests import delete
from gateway.store.sealing import KEY_NAME, OVERHEAD
from tests.gateway.store.store_samples import admit, frames, message, numbered, read, session
from tests.gateway.store.store_table import lose_answers_to, patiently, scan

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.config import Settings
    from tests.gateway.fault_proxy import FaultProxy

MARK = "a-sentence-that-nobody-else-reads"

NOISE = random.Random(7).randbytes(200_000).hex()
"""Too much for one item, and not to be compressed below that."""

OLD, NEW = "s" * 32, "n" * 48
"""The first is that of `store_settings`."""

DAY = 86_400.0


@asynccontextmanager
async def opened(settings: Settings, **changes: Any) -> AsyncIterator[DynamoStore]:
    """A store of the same table with other settings."""
    clock = changes.pop("clock", time.time)
    store = DynamoStore(replace(settings, **changes), clock=clock)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def write(store: DynamoStore, name: str = "s1") -> None:
    """A prompt, frames and messages, small and large, with the mark in each."""
    await store.create_session(replace(session(name), title=f"{MARK} called"))
    run = (await admit(store, name, f"{name}-m1", prompt=f"{MARK} asked")).run
    small = frames(run.id, 1, 2, text=MARK)
    run = await store.append_frames(run, first=1, last=2, frames=small) or run
    await store.append_frames(run, first=3, last=4, frames=frames(run.id, 3, 4, text=f"{MARK} {NOISE}"))
    await store.put_message(message(name, f"{name}-m2", content=f"{MARK} answered"))
    await store.put_message(message(name, f"{name}-m3", content=f"{MARK} {NOISE}{NOISE}"))


async def assert_there(store: DynamoStore, name: str = "s1") -> None:
    """All that `write` wrote."""
    title = f"{MARK} called"
    assert (await store.get_session(name)).title == title
    listed = (await store.list_sessions((await store.get_session(name)).owner)).items
    assert [item.title for item in listed if item.id == name] == [title]
    texts = [item.content for item in (await store.list_messages(name)).items]
    assert sorted(texts) == sorted([f"{MARK} asked", f"{MARK} answered", f"{MARK} {NOISE}{NOISE}"])
    [run] = (await store.list_runs(name)).items
    told = await read(store, run)
    assert numbered(told) == [1, 2, 3, 4]
    assert told.count(MARK.encode()) == 4
    found = await store.get_message(name, f"{name}-m3")
    assert found is not None
    assert found.content.endswith(NOISE)


async def bodies(store: DynamoStore) -> list[dict[str, Any]]:
    return [item for item in await scan(store) if "body" in item]


async def test_nothing_of_a_session_s_content_is_in_the_table(store: DynamoStore) -> None:
    await write(store)
    await assert_there(store)
    found = await bodies(store)
    assert {item["sk"]["S"].partition("#")[0] for item in found} == {"LOG", "META", "MSG", "PART"}
    assert all(KEY_NAME in item for item in found)
    assert MARK not in str(await scan(store))
    assert NOISE[:64] not in str(await scan(store))


async def test_without_encryption_it_is_plain_and_each_reads_the_other_s(
    store: DynamoStore, store_settings: Settings
) -> None:
    await write(store, "s1")
    async with opened(store_settings, encrypt=False) as plain:
        await write(plain, "s2")
        await assert_there(plain, "s1")
    await assert_there(store, "s2")
    plain_ones = [item for item in await bodies(store) if KEY_NAME not in item]
    assert {item["pk"]["S"] for item in plain_ones} == {keys.session("s2")}
    assert MARK in str(await scan(store))


async def test_a_title_is_encrypted_also_where_it_is_changed(
    store: DynamoStore, store_settings: Settings
) -> None:
    await store.create_session(replace(session("s1"), title=f"{MARK} at first"))
    assert (await store.rename_session("s1", f"{MARK} later")).title == f"{MARK} later"
    assert MARK not in str(await scan(store))
    async with opened(store_settings, encrypt=False) as plain:
        assert (await plain.get_session("s1")).title == f"{MARK} later"
        assert (await plain.rename_session("s1", f"{MARK} in the clear")).title == f"{MARK} in the clear"
    assert MARK in str(await scan(store))
    assert (await store.get_session("s1")).title == f"{MARK} in the clear"
    await store.rename_session("s1", "again")
    assert MARK not in str(await scan(store))
    # A second one that creates it is told what it is called.
    assert (await store.create_session(session("s1"))).title == "again"


async def test_a_title_that_was_changed_hides_no_session(store: DynamoStore) -> None:
    for name in ("s1", "s2"):
        await store.create_session(replace(session(name), title=MARK))
    [meta] = [item for item in await bodies(store) if item["pk"]["S"] == keys.session("s1")]
    await put_back(store, {**meta, "body": {"B": meta["body"]["B"][:-1]}})
    listed = (await store.list_sessions(session("s1").owner)).items
    assert {item.id: item.title for item in listed} == {"s1": "(this title cannot be read)", "s2": MARK}
    assert (await store.rename_session("s1", "mended")).title == "mended"
    assert (await store.get_session("s1")).title == "mended"


async def test_a_body_opens_in_no_other_item_s_place(store: DynamoStore) -> None:
    await store.create_session(session("s1"))
    for name in ("m1", "m2"):
        await store.put_message(message("s1", name, content=f"{MARK} {name}"))
    first, second = (item for item in await bodies(store) if item["sk"]["S"].startswith("MSG#"))
    await put_back(store, {**first, "body": second["body"]})
    with pytest.raises(StoreUnavailable, match="does not open with its key"):
        await store.list_messages("s1")


async def put_back(store: DynamoStore, *items: dict[str, Any]) -> None:
    """As DynamoDB holds them: what somebody does to a table by hand."""
    for item in items:
        await store._table.call("put_item", TableName=store._table.name, Item=item)


async def test_a_body_that_was_changed_is_told_with_the_remedy_and_the_rest_stays(store: DynamoStore) -> None:
    for name in ("s1", "s2"):
        await write(store, name)
    for kind in ("MSG#", "LOG#", "PART#"):
        item = next(
            item
            for item in await bodies(store)
            if item["pk"]["S"] == keys.session("s1") and item["sk"]["S"].startswith(kind)
        )
        body = item["body"]["B"]
        flipped = bytes([body[0] ^ 1]) + body[1:]
        for bad in ({"B": flipped}, {"B": body[:-1]}, {"B": body[:20]}, {"B": body[:3]}, {"S": "text"}):
            await put_back(store, {**item, "body": bad})
            with pytest.raises(StoreUnavailable, match=rf"the item {kind}.*Restore it from a backup"):
                await assert_there(store, "s1")
            await assert_there(store, "s2")
        await put_back(store, item)
        await assert_there(store, "s1")


async def key_items(store: DynamoStore, prefix: str = "") -> list[dict[str, Any]]:
    return [item for item in await scan(store) if item["sk"]["S"].startswith(f"KEY#{prefix}")]


@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
async def test_a_damaged_data_key_is_told_with_the_remedy_and_put_back_without_a_restart(
    store: DynamoStore, store_settings: Settings, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    await write(store, "s1")
    tomorrow = lambda: time.time() + DAY  # noqa: E731
    [item] = await key_items(store, "content-")
    name, wrapped = item["sk"]["S"].removeprefix("KEY#"), item["wrapped"]["B"]
    bad = {
        "cut": {**item, "wrapped": {"B": wrapped[:9]}},
        "changed": {**item, "wrapped": {"B": wrapped[:-1] + bytes([wrapped[-1] ^ 1])}},
        "gone": {key: item[key] for key in ("pk", "sk")},
    }[damage]
    await put_back(store, bad)
    async with opened(store_settings, clock=tomorrow) as other:
        assert f"the data key {name} is damaged" in caplog.text
        await write(other, "s2")
        await assert_there(other, "s2")
        with pytest.raises(StoreUnavailable, match=f"the data key {name} is damaged.*restore its item"):
            await other.list_messages("s1")
        # Nothing was written in its place.
        assert bad in await key_items(store)
        await put_back(store, item)
        await assert_there(other, "s1")


@pytest.mark.parametrize("number", [1, 2])
async def test_a_damaged_key_of_credentials_leaves_them_unread_and_as_they_are(
    store: DynamoStore, store_settings: Settings, number: int
) -> None:
    rotation: dict[str, Any] = {"credential_key": NEW, "credential_key_accepted": OLD}
    async with opened(store_settings, **(rotation if number == 2 else {})) as writer:
        own = encrypt(await writer.credential_keys(), "ada", "sk-ada")
        await writer.put_settings("ada", {"credential": own})
    [item] = await key_items(store, f"credentials-{number}")
    bad = {**item, "wrapped": {"B": item["wrapped"]["B"][:-1]}}
    await put_back(store, bad)
    settings = replace(store_settings, **rotation)
    async with opened(settings) as other:
        assert await credential_of(other, settings, "ada") is None
        assert await other.get_settings("ada") == {"credential": own}
        again = encrypt(await other.credential_keys(), "bob", "sk-bob")
        await other.put_settings("bob", {"credential": again})
        assert await credential_of(other, settings, "bob") == "sk-bob"
        assert bad in await key_items(store)
        await put_back(store, item)
        assert await credential_of(other, settings, "ada") == "sk-ada"
        assert await credential_of(other, settings, "bob") == "sk-bob"


async def test_a_backup_from_before_a_rotation_is_read_with_the_old_key_accepted(
    store: DynamoStore, store_settings: Settings
) -> None:
    await write(store, "s1")
    await store.put_settings("ada", {"credential": encrypt(await store.credential_keys(), "ada", "sk-ada")})
    finished = replace(store_settings, credential_key=NEW)
    with pytest.raises(StoreUnavailable, match=r"cannot be opened.*accept it beside \(docs/secrets.md\)"):
        async with opened(finished):
            pass
    async with opened(finished, credential_key_accepted=OLD) as restored:
        await assert_there(restored, "s1")
    async with opened(finished) as again:
        await assert_there(again, "s1")
        assert await credential_of(again, finished, "ada") == "sk-ada"


async def test_a_lost_answer_leaves_one_key_that_all_have(
    store: DynamoStore, store_settings: Settings, fault_proxy: FaultProxy
) -> None:
    behind = replace(store_settings, dynamodb_endpoint=fault_proxy.url)
    weak = DynamoStore(behind, clock=lambda: time.time() + DAY, retry_seconds=0.0)
    with patiently(weak):
        await weak.open()
    with lose_answers_to(fault_proxy, "PutItem"):
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await weak._keys.today()
    key = await weak._keys.today()
    sealed = key.aead.encrypt(bytes(12), b"x", b"")
    await weak.close()
    async with opened(store_settings, clock=lambda: time.time() + DAY) as other:
        assert (await other._keys.today()).aead.encrypt(bytes(12), b"x", b"") == sealed


async def test_at_midnight_many_writers_of_many_gateways_have_one_key(
    store: DynamoStore, store_settings: Settings
) -> None:
    midnight = time.time() // DAY * DAY + DAY
    now = midnight - 1
    async with AsyncExitStack() as stack:
        stores = [
            await stack.enter_async_context(opened(store_settings, clock=lambda: now)) for _ in range(3)
        ]
        names = set()
        for _ in range(2):
            made = await asyncio.gather(*(one._keys.today() for one in stores for _ in range(5)))
            assert len({key.id for key in made}) == 1
            assert len({key.aead.encrypt(bytes(12), b"x", b"") for key in made}) == 1
            names.add(made[0].id)
            now = midnight + 1
        assert len(names) == 2


async def test_a_gateway_that_writes_nothing_puts_late_keys_under_the_new_one_too(
    store: DynamoStore, store_settings: Settings
) -> None:
    first, second, last = rotated(store_settings).values()
    now = time.time()
    async with opened(second, clock=lambda: now) as used, opened(first, clock=lambda: now + DAY) as late:
        await late._keys.today()
        now += RELOAD_SECONDS + 1
        await used.expired_runs(now=now)
        async with opened(last):
            pass


async def test_a_gateway_learns_of_the_key_that_another_has_made(
    store: DynamoStore, store_settings: Settings
) -> None:
    """Both were open when the day began."""
    async with opened(store_settings, clock=lambda: time.time() + DAY) as tomorrow:
        await store.create_session(session("s1"))
        await tomorrow.put_message(message("s1", "m1", content=MARK))
        assert [item.content for item in (await store.list_messages("s1")).items] == [MARK]
        names = {item[KEY_NAME]["S"] for item in await bodies(store) if item["sk"]["S"].startswith("MSG#")}
        assert names == {f"content-{time.strftime('%Y%m%d', time.gmtime(time.time() + DAY))}"}


async def test_two_that_begin_a_day_have_one_key(store: DynamoStore, store_settings: Settings) -> None:
    async with opened(store_settings) as other:
        first, second = await store._keys.today(), await other._keys.today()
        nonce = bytes(12)
        assert first.id == second.id
        assert first.aead.encrypt(nonce, b"x", b"") == second.aead.encrypt(nonce, b"x", b"")


async def test_in_a_table_of_the_version_before_nothing_is_encrypted_until_its_gateways_are_gone(
    store_settings: Settings,
) -> None:
    async with opened(store_settings, encrypt=False) as before:
        await before.create_session(session("s1"))
    async with opened(store_settings) as store:
        await store.put_message(message("s1", "m1", content=MARK))
        assert [item for item in await bodies(store) if KEY_NAME in item] == []
    async with opened(store_settings, clock=lambda: time.time() + SETTLE_SECONDS + 60) as later:
        await later.put_message(message("s1", "m2", content=MARK))
        assert len([item for item in await bodies(later) if KEY_NAME in item]) == 1
        assert [item.content for item in (await later.list_messages("s1")).items] == [MARK, MARK]


async def test_the_largest_piece_fits_with_what_encrypting_adds(store: DynamoStore) -> None:
    """DynamoDB itself counts: 400 KB with every name and value."""
    await store.create_session(session("s1"))
    run = (await admit(store, "s1", "m1")).run
    text = random.Random(3).randbytes((PIECE_LIMIT - OVERHEAD) // 2 + 200_000).hex()
    with pytest.raises(ValueError, match="too long to be stored"):
        await store.append_frames(run, first=1, last=1, frames=frames(run.id, 1, 1, text=text + text))
    low, high = 500_000, len(text)
    while high - low > 2_000:  # the longest frame that is still taken
        middle = (low + high) // 2
        try:
            run = (
                await store.append_frames(
                    run,
                    first=run.recorded + 1,
                    last=run.recorded + 1,
                    frames=frames(run.id, run.recorded + 1, run.recorded + 1, text=text[:middle]),
                )
                or run
            )
            low = middle
        except ValueError:
            high = middle
    assert run.recorded > 2
    largest = max(len(item["body"]["B"]) for item in await bodies(store))
    assert PIECE_LIMIT - 5_000 < largest <= PIECE_LIMIT


def rotated(settings: Settings) -> dict[str, Settings]:
    """The settings of each update of a rotation."""
    return {
        "accepted": replace(settings, credential_key=OLD, credential_key_accepted=NEW),
        "used": replace(settings, credential_key=NEW, credential_key_accepted=OLD),
        "finished": replace(settings, credential_key=NEW),
    }


async def test_a_rotation_of_the_stack_s_key_loses_nothing(
    store: DynamoStore, store_settings: Settings
) -> None:
    await write(store, "s0")
    for owner in ("ada", "bob"):
        own = encrypt(await store.credential_keys(), owner, f"sk-{owner}")
        assert key_of(own) == "credentials-1"
        await store.put_settings(owner, {"credential": own})
    written, before = ["s0"], store
    async with AsyncExitStack() as stack:
        for phase, settings in rotated(store_settings).items():
            now = await stack.enter_async_context(opened(settings))
            # Side by side with the gateways that are replaced, each reads what the other writes.
            for name, writer in ((f"{phase}-new", now), (f"{phase}-old", before)):
                await write(writer, name)
                written.append(name)
            for name in written:
                await assert_there(now, name)
                await assert_there(before, name)
            assert await credential_of(now, settings, "ada") == "sk-ada"
            assert await credential_of(before, settings, "ada") == "sk-ada"
            kept = (await now.get_settings("ada"))["credential"]
            assert key_of(kept) == ("credentials-1" if phase == "accepted" else "credentials-2")
            before = now
        # One who was away all the time has lost nothing either.
        assert key_of((await now.get_settings("bob"))["credential"]) == "credentials-1"
        assert await credential_of(now, settings, "bob") == "sk-bob"
        assert key_of((await now.get_settings("bob"))["credential"]) == "credentials-2"


async def test_a_gateway_of_the_first_update_that_starts_again_after_the_second_puts_nothing_back(
    store: DynamoStore, store_settings: Settings
) -> None:
    """It makes keys under the earlier one, as it must: the later ones put those under the new one."""
    await write(store)
    first, second, last = rotated(store_settings).values()
    now = time.time()
    async with opened(second, clock=lambda: now) as used:
        await used.credential_keys()
        async with opened(first, clock=lambda: now + DAY) as again:
            assert (await again.credential_keys()).current == "credentials-2"
            await again._keys.today()
        assert sorted(
            item["sk"]["S"] for item in await scan(store) if item["sk"]["S"].startswith("KEY#cred")
        ) == [
            "KEY#credentials-1",
            "KEY#credentials-2",
        ]
        too_early = DynamoStore(last)
        with pytest.raises(StoreUnavailable, match=r"the data key content-\d+ cannot be opened"):
            await too_early.open()
        await too_early.close()
        now += RELOAD_SECONDS + 1
        await used._keys.today()
    async with opened(last) as finished:
        await assert_there(finished)


async def test_a_gateway_without_the_key_refuses_to_start_and_says_which_is_missing(
    store: DynamoStore, store_settings: Settings
) -> None:
    await write(store)
    stranger = DynamoStore(replace(store_settings, credential_key=NEW))
    with pytest.raises(
        StoreUnavailable, match=r"the data key .* cannot be opened: it was encrypted with the key"
    ):
        await stranger.open()
    await stranger.close()


async def test_settings_are_replaced_by_who_knows_them_alone(store: DynamoStore) -> None:
    await store.put_settings("ada", {"a": 1})
    assert not await store.replace_settings("ada", {"a": 2}, {"a": 3})
    assert await store.get_settings("ada") == {"a": 1}
    assert await store.replace_settings("ada", {"a": 1}, {"a": 3})
    assert await store.replace_settings("ada", {"a": 1}, {"a": 3})  # an answer that was lost
    assert await store.get_settings("ada") == {"a": 3}


async def test_a_key_that_is_gone_is_told(store: DynamoStore, store_settings: Settings) -> None:
    await write(store)
    for item in await scan(store):
        if item["sk"]["S"].startswith("KEY#content-"):
            await store._table.write(delete((item["pk"]["S"], item["sk"]["S"])))
    async with opened(store_settings) as other:
        with pytest.raises(StoreUnavailable, match="no data key content-"):
            await other.list_messages("s1")
