"""`python -m gateway.audit verify|export`: reads the audit's chain from a gateway, or a file, with the standard library
alone. `scripts/audit` starts it for a deployed stack."""

from __future__ import annotations

import argparse
import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from gateway.audit.chain import Block, Head, Verifier, canonical

TIMEOUT: Final = 60.0
PAGE: Final = 500

TOKEN: Final = "VF_AUDIT_TOKEN"  # noqa: S105 - a variable's name
"""Where the admin's token is: never on argv."""


class CommandError(Exception):
    """Why nothing could be read, in a sentence."""


def main(arguments: Sequence[str]) -> int:
    """0: the chain is whole, or was exported; 1: something is wrong with it; 2: it could not be read."""
    parser = argparse.ArgumentParser(prog="scripts/audit", description="Verify or export who did what.")
    parser.add_argument("action", choices=("verify", "export"))
    parser.add_argument("--url", default="", help=f"a gateway; the admin's token is in {TOKEN}")
    parser.add_argument("--from", dest="first", type=date.fromisoformat, help="first day, UTC (today)")
    parser.add_argument("--to", dest="last", type=date.fromisoformat, help="last day, UTC (today)")
    parser.add_argument(
        "--blocks", action="store_true", help="export: whole blocks, which `verify FILE` reads"
    )
    parser.add_argument("file", nargs="?", help="verify: what `export --blocks` wrote; - is stdin")
    options = parser.parse_args(arguments)
    today = datetime.now(UTC).date()
    first = options.first or today
    last = options.last or max(first, today)
    try:
        if options.action == "export":
            for told in _told(options.url, first, last):
                for line in [told] if options.blocks else _events(told):
                    sys.stdout.write(canonical(line) + "\n")
            return 0
        if options.file:
            return _verify(_lines(options.file))
        head = _head(options.url)
        blocks = _told(options.url, first, last)
        if head.day > last.isoformat():
            return _verify(blocks, later=_first_behind(options.url, last, head))
        return _verify(blocks, head if head.day >= first.isoformat() else None)
    except (CommandError, OSError, ValueError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2


def _verify(
    told: Iterable[dict[str, Any]], head: Head | None = None, later: Iterable[dict[str, Any]] = ()
) -> int:
    """`head`: with which they end. `later`: the first block behind them."""
    verifier = Verifier()
    faults: list[str] = []
    for value in told:
        block = Block.of(value)
        faults += verifier.take(block)
        if value.get("sealed") is False:
            faults.append(f"{block.day} block {block.number} has no seal of this stack's")
    if head is not None:
        # It may have grown while the blocks were read: only an end before the head that was asked first is one.
        last = verifier.last
        if last is None or (last.day, last.number) <= (head.day, head.number):
            faults += verifier.end(head)
    for value in later:
        faults += verifier.behind(Block.of(value))
    for fault in faults:
        sys.stdout.write(f"{fault}\n")
    what = f"{verifier.blocks} blocks, {verifier.events} events"
    sys.stdout.write(f"{what}: {'whole' if not faults else f'{len(faults)} fault(s)'}\n")
    if verifier.last is not None:
        sys.stdout.write(
            f"ends with {verifier.last.day} block {verifier.last.number}, {verifier.last.hash}\n"
        )
    return 1 if faults else 0


def _events(block: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for event in block["events"]:
        yield {**event, "day": block["day"], "block": block["number"], "gateway": block["gateway"]}


def _lines(path: str) -> Iterator[dict[str, Any]]:
    with sys.stdin if path == "-" else open(path, encoding="utf-8") as file:  # noqa: PTH123 - stdin is none
        for line in file:
            if line.strip():
                yield json.loads(line)


def _told(url: str, first: date, last: date) -> Iterator[dict[str, Any]]:
    """Every block of the days, as the gateway tells them."""
    for number in range((last - first).days + 1):
        cursor: str | None = ""
        while cursor is not None:
            day = (first + timedelta(days=number)).isoformat()
            page = _ask(url, {"day": day, "limit": str(PAGE), **({"cursor": cursor} if cursor else {})})
            yield from page["blocks"]
            cursor = page["cursor"]


def _first_behind(url: str, last: date, head: Head) -> Iterator[dict[str, Any]]:
    """The first block of the days behind `last`: that of the newest, if there is no other."""
    day = last
    while day.isoformat() < head.day:
        day += timedelta(days=1)
        if blocks := _ask(url, {"day": day.isoformat(), "limit": "1"})["blocks"]:
            yield blocks[0]
            return


def _head(url: str) -> Head:
    return Head(**_ask(url, {"limit": "1"})["head"])


def _ask(url: str, query: dict[str, str]) -> dict[str, Any]:
    token = os.environ.get(TOKEN, "")
    if not url.startswith(("http://", "https://")) or not token:
        raise CommandError(f"name a gateway with --url http://…, and give an admin's token in {TOKEN}")
    request = urllib.request.Request(  # noqa: S310 - http or https, as was just checked
        f"{url.rstrip('/')}/api/admin/audit?{urllib.parse.urlencode(query)}",
        headers={"Authorization": f"Bearer {token}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:  # noqa: S310 - the same
            answer: dict[str, Any] = json.loads(response.read())
    except urllib.error.HTTPError as error:
        raise CommandError(
            f"the gateway says {error.code}: {error.read(4096).decode(errors='replace')}"
        ) from None
    except urllib.error.URLError as error:
        raise CommandError(f"{url} cannot be reached: {error.reason}") from None
    return answer


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
