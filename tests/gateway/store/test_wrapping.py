"""Data keys under the stack's key."""

from __future__ import annotations

import pytest

from gateway.store.wrapping import StackKey, UnwrapError

OLD, NEW, OTHER = "o" * 48, "n" * 48, "x" * 48


async def test_what_is_wrapped_opens_with_its_key_and_its_name_alone() -> None:
    wrapping = StackKey(OLD)
    wrapped = await wrapping.wrap(b"a data key", "content-1")
    assert b"a data key" not in wrapped
    assert await StackKey(OLD).unwrap(wrapped, "content-1") == b"a data key"
    with pytest.raises(UnwrapError, match="changed"):
        await wrapping.unwrap(wrapped, "content-2")
    with pytest.raises(UnwrapError, match="changed"):
        await wrapping.unwrap(wrapped[:-1] + bytes([wrapped[-1] ^ 1]), "content-1")
    with pytest.raises(UnwrapError, match=f"the key {wrapping.id}"):
        await StackKey(OTHER).unwrap(wrapped, "content-1")
    assert await wrapping.wrap(b"a data key", "content-1") != wrapped


async def test_while_it_is_rotated_both_open_and_one_is_current() -> None:
    old, both, new = StackKey(OLD), StackKey(NEW, OLD), StackKey(NEW)
    before = await old.wrap(b"a data key", "content-1")
    assert await both.unwrap(before, "content-1") == b"a data key"
    assert not both.is_current(before)
    after = await both.wrap(b"a data key", "content-1")
    assert both.is_current(after)
    assert await new.unwrap(after, "content-1") == b"a data key"
    assert both.id == new.id != old.id
    assert await StackKey(OLD, NEW).unwrap(after, "content-1") == b"a data key"


def test_the_id_tells_nothing_of_the_secret() -> None:
    assert StackKey(OLD).id == StackKey(OLD).id
    assert OLD not in StackKey(OLD).id
    assert len(bytes.fromhex(StackKey(OLD).id)) == 8
