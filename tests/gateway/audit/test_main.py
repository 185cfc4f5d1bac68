"""The command without a gateway: which days it asks for, and what it says of them."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.audit import __main__ as command
from gateway.audit.chain import Block
from tests.gateway.audit.test_chain import DAYS, chain


class Gateway:
    """Answers as one does that has these blocks."""

    def __init__(self, blocks: list[Block]) -> None:
        self.blocks = blocks
        last = blocks[-1]
        self.head = {"day": last.day, "number": last.number, "hash": last.hash}

    def ask(self, _url: str, query: dict[str, str]) -> dict[str, Any]:
        found = [block.json() for block in self.blocks if block.day == query.get("day")]
        start, limit = int(query.get("cursor", 0)), int(query["limit"])
        end = start + limit
        return {
            "blocks": found[start:end],
            "cursor": str(end) if end < len(found) else None,
            "head": self.head,
        }


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Gateway:
    gateway = Gateway(chain(*DAYS))
    monkeypatch.setattr(command, "_ask", gateway.ask)
    monkeypatch.setattr(command, "PAGE", 1)
    return gateway


def verify(first: str, last: str) -> int:
    return command.main(["verify", "--url", "http://gateway", "--from", first, "--to", last])


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("2026-11-29", "2026-12-02"),
        ("2026-11-29", "2026-12-09"),
        ("2026-11-29", "2026-11-30"),
        ("2026-11-30", "2026-11-30"),
        ("2026-11-01", "2026-11-29"),
        ("2026-11-01", "2026-11-02"),
        ("2026-12-03", "2026-12-09"),
    ],
)
def test_days_of_a_whole_chain_are_whole(gateway: Gateway, first: str, last: str) -> None:
    assert verify(first, last) == 0


@pytest.mark.parametrize("last", ["2026-11-30", "2026-12-01", "2026-12-02", "2026-12-09"])
def test_a_day_that_was_cut_off_at_its_end_is_found_wherever_it_is(
    gateway: Gateway, capsys: pytest.CaptureFixture[str], last: str
) -> None:
    del gateway.blocks[4]
    assert verify("2026-11-29", last) == 1
    assert "2026-12-02 block 1 follows another block than 2026-11-30 block 2" in capsys.readouterr().out


def test_a_chain_that_was_cut_off_at_its_end_is_found(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    del gateway.blocks[5]
    assert verify("2026-11-29", "2026-12-09") == 1
    assert "its newest block is 2026-12-02 block 1" in capsys.readouterr().out
