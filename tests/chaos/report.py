"""The tables that a campaign prints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tests.chaos.campaign import Campaign, Order
from tests.chaos.judge import Verdict
from tests.chaos.work import Kind

MOST_FINDINGS = 40


def table(rows: Iterable[tuple[str, object]]) -> Iterator[str]:
    """Lines of a Markdown table."""
    yield "| what | count |"
    yield "| --- | ---: |"
    for name, value in rows:
        yield f"| {name} | {value} |"


def campaign_lines(order: Order, campaign: Campaign, where: str, notes: Iterable[str]) -> Iterator[str]:
    """All that is to be said of a campaign."""
    verdict = campaign.verdict
    yield f"seed {order.seed}, {campaign.seconds:.0f} s, {where}"
    yield from (f"note: {note}" for note in notes)
    yield ""
    rows: list[tuple[str, object]] = [("connections cut", campaign.cuts)]
    rows += [("faults of other kinds", campaign.done.total())]
    rows += [(f"… {name}", count) for name, count in sorted(campaign.done.items())]
    rows += [("runs", verdict.runs)]
    rows += [(f"… {reason}", count) for reason, count in sorted(verdict.reasons.items())]
    rows += [(kind.value, campaign.kinds[kind]) for kind in Kind if kind is not Kind.PLAIN]
    rows += [("readers", verdict.readers), ("… of server-sent events", campaign.event_readers)]
    rows += [("reconnects", verdict.reconnects), ("frames read", verdict.frames)]
    yield from table([*rows, *promise_rows(verdict)])
    yield from conclusion(verdict)


def promise_rows(verdict: Verdict) -> list[tuple[str, object]]:
    """What must be 0."""
    return [
        ("**frames lost**", verdict.lost),
        ("**frames duplicated**", verdict.duplicated),
        ("**frames reordered**", verdict.reordered),
        ("**histories that differ**", verdict.different),
        ("**readers refused**", verdict.refused),
        ("**wrong texts**", verdict.wrong_text),
        ("**wrong transcripts**", verdict.wrong_messages),
        ("**wrong ends**", verdict.wrong_ends),
        ("**stuck runs**", verdict.stuck),
        ("**leftovers**", verdict.leftovers),
    ]


def conclusion(verdict: Verdict) -> Iterator[str]:
    """The findings, and one sentence."""
    yield ""
    yield from (f"FOUND {finding}" for finding in verdict.findings[:MOST_FINDINGS])
    yield "Nothing was lost." if verdict.faultless else f"{len(verdict.findings)} findings."
