"""Data keys under the stack's key."""

from __future__ import annotations

import pytest

from gateway.store.wrapping import ID_BYTES, StackKey, UnknownKey, UnwrapError, Wrapping

OLD, NEW, OTHER = (StackKey(letter * 48) for letter in "onx")


async def test_what_is_wrapped_opens_with_its_key_and_its_name_alone() -> None:
    wrapping = Wrapping(OLD)
    wrapped = await wrapping.wrap(b"a data key", "content-1")
    assert b"a data key" not in wrapped
    assert await Wrapping(StackKey("o" * 48)).unwrap(wrapped, "content-1") == b"a data key"
    with pytest.raises(UnwrapError, match="changed"):
        await wrapping.unwrap(wrapped, "content-2")
    with pytest.raises(UnknownKey, match=f"the key {wrapping.id}"):
        await Wrapping(OTHER).unwrap(wrapped, "content-1")
    assert await wrapping.wrap(b"a data key", "content-1") != wrapped


async def test_whatever_is_left_of_it_or_made_of_it_is_told_as_changed() -> None:
    wrapping = Wrapping(OLD)
    wrapped = await wrapping.wrap(b"a data key", "content-1")
    shorter = [wrapped[:length] for length in range(ID_BYTES, len(wrapped))]
    flipped = [
        wrapped[:at] + bytes([wrapped[at] ^ 1]) + wrapped[at + 1 :] for at in range(ID_BYTES, len(wrapped))
    ]
    for bad in (*shorter, *flipped, wrapped + b"x"):
        with pytest.raises(UnwrapError, match="changed"):
            await wrapping.unwrap(bad, "content-1")
    with pytest.raises(UnknownKey):
        await wrapping.unwrap(b"", "content-1")


async def test_while_it_is_rotated_both_open_and_one_is_current() -> None:
    old, both, new = Wrapping(OLD), Wrapping(NEW, OLD), Wrapping(NEW)
    before = await old.wrap(b"a data key", "content-1")
    assert await both.unwrap(before, "content-1") == b"a data key"
    assert not both.is_current(before)
    after = await both.wrap(b"a data key", "content-1")
    assert both.is_current(after)
    assert await new.unwrap(after, "content-1") == b"a data key"
    assert both.id == new.id != old.id
    assert await Wrapping(OLD, NEW).unwrap(after, "content-1") == b"a data key"


def test_the_id_tells_nothing_of_the_secret() -> None:
    assert StackKey("o" * 48).id == OLD.id
    assert b"ooo" not in OLD.id
    assert len(OLD.id) == ID_BYTES
