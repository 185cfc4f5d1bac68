"""The beginning of a push, and what is said of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.broker.git.pkt_lines import BadPktLine, Command, Push, PushReader, advertised, line, refusal

OLD, NEW, NONE = "a" * 40, "b" * 40, "0" * 40


def beginning(*commands: tuple[str, str, str], capabilities: str = " report-status side-band-64k") -> bytes:
    lines = [f"{old} {new} {ref}".encode() for old, new, ref in commands]
    lines[0] += b"\0" + capabilities.encode()
    return b"".join(map(line, lines)) + b"0000"


@given(st.lists(st.integers(1, 30), max_size=40))
def test_it_is_read_in_any_pieces(sizes: list[int]) -> None:
    data = (
        line(b"shallow " + b"c" * 40)
        + beginning((OLD, NEW, "refs/heads/main"), (OLD, NONE, "refs/heads/x"))
        + b"PACK"
    )
    reader, at, push = PushReader(1000), 0, None
    for size in [*sizes, len(data)]:
        push = reader.read(data[at : at + size])
        at += size
        if push:
            break
    assert push is not None
    assert push.commands == (Command(OLD, NEW, "refs/heads/main"), Command(OLD, NONE, "refs/heads/x"))
    assert [command.deletes for command in push.commands] == [False, True]
    assert "side-band-64k" in push.capabilities
    assert (reader.taken()[-len(reader.rest()) :] if reader.rest() else b"") == reader.rest()
    assert b"PACK".startswith(reader.rest())


@pytest.mark.parametrize(
    "data",
    [
        b"zzzz",
        b"0003",
        b"fff1" + b"x" * 10,
        line(b"push-cert\0 report-status"),
        line(f"{OLD} {NEW} ".encode()),
        line(f"{OLD} {NEW} refs/heads/a\nrefs/heads/b".encode()),
        line(f"{OLD} {NEW} a\0x".encode()) + line(f"{OLD} {NEW} b\0x".encode()),
        b"0004",
        line(f"{OLD} {NEW} refs/heads/a".encode()) * 40,
        line(f"{OLD} {NEW} refs/heads/a".encode()) + b"0001",
    ],
)
def test_what_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(BadPktLine):
        PushReader(2000).read(data)


def test_an_empty_push_is_one() -> None:
    assert PushReader(100).read(b"0000") == Push((), frozenset())


@pytest.mark.parametrize("size", [1, 9, 1000])
def test_options_stand_between_commands_and_pack(size: int) -> None:
    data = (
        beginning((OLD, NEW, "refs/heads/main"), capabilities=" report-status push-options")
        + line(b"ci.skip")
        + line(b"x\0y" * 9)
        + b"0000PACK"
    )
    reader, push, at = PushReader(1000), None, 0
    while push is None:
        push = reader.read(data[at : at + size])
        at += size
    assert push.commands == (Command(OLD, NEW, "refs/heads/main"),)
    assert reader.rest() + data[at:] == b"PACK"


def test_a_refusal_is_in_bands_where_they_were_asked_for() -> None:
    plain = refusal(Push((), frozenset()), [("refs/heads/main", "no")])
    assert plain == line(b"unpack ok\n") + line(b"ng refs/heads/main no\n") + b"0000"
    assert (
        refusal(Push((), frozenset({"side-band-64k"})), [("refs/heads/main", "no")])
        == line(b"\x01" + plain) + b"0000"
    )


def test_capabilities_are_mended_and_nothing_else() -> None:
    refs = (
        line(b"# service=git-receive-pack\n")
        + b"0000"
        + line(b"%s refs/heads/main\0report-status push-cert=1 ofs-delta\n" % OLD.encode())
    )
    more = line(b"%s refs/heads/x\n" % NEW.encode()) + b"0000"
    made = advertised(refs + more, add="no-thin", without=("push-cert",))
    assert b"\0report-status ofs-delta no-thin\n" in made
    assert made.endswith(more)
    assert advertised(b"no refs", add="no-thin", without=()) == b"no refs"
    late = b"0000" * 1000 + refs
    assert advertised(late, add="no-thin", without=()) == late  # nobody looks for it for ever


@given(st.binary(max_size=200))
def test_any_bytes_come_to_an_end(data: bytes) -> None:
    advertised(data, add="no-thin", without=("push-cert",))
