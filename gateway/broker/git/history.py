"""What a host says of its own commits: whether one is among the forebears of others that it has (gitprotocol-v2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from typing import Final

from gateway.broker.git.commits import Commits
from gateway.broker.git.pack_entries import BadPack
from gateway.broker.git.pkt_lines import FLUSH, BadPktLine, Lines, line

MOST_TIPS: Final = 64
MOST_BYTES: Final = 64 * 1024 * 1024
"""Of a pack of commits alone."""

DELIMITER: Final = b"0001"
_PACK, _ERROR = 1, 3
"""Bands of an answer."""


def question(old: str, tips: Collection[str]) -> bytes:
    """The commits that `tips` have and `old` has not, without their trees and files."""
    form = "sha1" if len(old) == 40 else "sha256"
    wants = [line(b"want %s\n" % tip.encode()) for tip in sorted(tips)]
    asked = [line(b"ofs-delta\n"), line(b"no-progress\n"), line(b"filter tree:0\n"), *wants]
    told = [line(b"have %s\n" % old.encode()), line(b"done\n")]
    head = line(b"command=fetch") + line(b"object-format=%s" % form.encode())
    return head + DELIMITER + b"".join([*asked, *told]) + FLUSH


async def comes_from(answer: AsyncIterator[bytes], old: str, tips: Collection[str], commits: Commits) -> bool:
    """Whether one of `tips` leads back to `old`, by the answer to `question`; False too for what is no such answer.
    `commits`: is fed with it."""
    lines, in_pack, came = Lines(), False, 0
    try:
        async for piece in answer:
            came += len(piece)
            if came > MOST_BYTES:
                return False
            lines.feed(piece)
            pack: list[bytes] = []
            while (payload := lines.next()) is not None:
                if not in_pack:
                    in_pack = payload == b"packfile\n"
                elif payload and payload[0] == _PACK:
                    pack.append(payload[1:])
                elif payload and payload[0] == _ERROR:
                    return False
            lines.forget()
            if pack:
                await asyncio.to_thread(commits.feed, b"".join(pack))
        return await asyncio.to_thread(commits.only_adds, old, *tips)
    except (BadPktLine, BadPack):
        return False
