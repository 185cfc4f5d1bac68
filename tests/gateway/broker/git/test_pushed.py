"""A push whose host is asked about commits that it does not carry."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Collection

import pytest

from gateway.broker.git.pkt_lines import line
from gateway.broker.git.pushed import MOST_ASKED, Pushed, PushRefused

OLD, NEW = "1" * 40, "2" * 40


def push_of(branches: int) -> bytes:
    """It moves so many to what the host has already."""
    lines = [f"{OLD} {NEW} refs/heads/{number}".encode() for number in range(branches)]
    lines[0] += b"\0report-status"
    pack = b"PACK\0\0\0\x02\0\0\0\0"
    return b"".join(map(line, lines)) + b"0000" + pack + hashlib.sha1(pack).digest()


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(data), 1000):
        yield data[at : at + 1000]


@pytest.mark.parametrize(("branches", "passes"), [(1, True), (MOST_ASKED, True), (MOST_ASKED + 1, False)])
async def test_a_host_is_asked_about_so_many_branches_and_no_more(branches: int, passes: bool) -> None:
    asked: list[str] = []

    async def ask(old: str, tips: Collection[str]) -> bool:
        asked.extend([old, *tips])
        return True

    data = push_of(branches)
    pushed = await Pushed.begun(pieces(data), ask, most=1 << 20, may_rewrite=False)
    sent = bytearray()
    try:
        async for piece in pushed.pieces():
            sent += piece
    except PushRefused:
        assert all("push fewer at once" in why for _, why in pushed.refused)
        assert len(pushed.refused) == branches
    assert (bytes(sent) == data) is passes
    assert len(asked) == 2 * min(branches, MOST_ASKED)
