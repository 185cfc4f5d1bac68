"""The tables of `scripts/scale`: every model asked about one plan, as plain text."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

from tests.bench.figures import table
from tests.scale.figure import Bar
from tests.scale.models import pool, storm, takeover, traffic
from tests.scale.models.fleet import fleet, own_calls
from tests.scale.models.queues import erlang_b, pool_size
from tests.scale.models.units import costs, load, per_second
from tests.scale.models.walls import Wall, hot_keys, rates, walls
from tests.scale.plan import Plan

EMPTY: Final = 0.01
"""Claims that may find the pool empty."""

CELL: Final = 10_000
"""Sessions of a cell where no wall asks for fewer: what one fault, or one wrong update, may reach."""

DAYS: Final = 7
"""For which messages and frames are kept (`messageTtlDays`)."""

QUIET: Final = 1 / 3
"""The mean of a day, in its busiest hour."""


@dataclass(frozen=True, slots=True)
class Report:
    """The tables, and the figure's bars."""

    text: str
    bars: tuple[Bar, ...]


def report(plan: Plan, seed: int) -> Report:
    """All of it; the same seed, the same text."""
    seen = traffic.simulate(plan, seed)
    found = walls(seen.shard.burst)
    now, then = cell(plan, found), cell(plan.changed(), found)
    parts = [
        f"{plan.users:,} users, {plan.sessions:,} live sessions, seed {seed}",
        _people(plan, seen),
        _operations(plan),
        _hot(plan),
        _walls(plan, found),
        _fleets(plan, then),
        _pools(plan, then, seed),
        _storms(plan, then, seed),
        _cells(plan, now, then),
    ]
    bars = tuple(
        Bar(wall.name, wall.reached(plan), wall.reached(plan.changed())) for wall in _in_order(plan, found)
    )
    return Report("\n".join(parts) + "\n", bars)


def cell(plan: Plan, found: tuple[Wall, ...]) -> int:
    """The most sessions of one stack: no wall of the code or of nature is reached, and it is no larger than `CELL`."""
    return int(min(CELL, *(wall.reached(plan) for wall in found if wall.kind in ("code", "law"))))


def _in_order(plan: Plan, found: tuple[Wall, ...]) -> list[Wall]:
    return sorted(found, key=lambda wall: (wall.reached(plan), wall.name))


def _people(plan: Plan, seen: traffic.Traffic) -> str:
    units = load(plan)
    kept = plan.prompts * QUIET * 86_400 * DAYS
    size = (
        kept * (plan.run * plan.streaming / plan.flush * 300 + plan.prompt_bytes + plan.answer_bytes) / 1e12
    )
    rows = [
        ("prompts a second", f"{plan.prompts:,.0f}", f"{seen.prompts.mean:,.0f}", f"{seen.prompts.peak:,.0f}"),
        ("runs at once", f"{plan.runs:,.0f}", f"{seen.runs.mean:,.0f}", f"{seen.runs.peak:,.0f}"),
        ("sandboxes started a second", f"{plan.starts:,.1f}", f"{seen.starts.mean:,.1f}", f"{seen.starts.peak:,.0f}"),
        ("busiest partition of the index, units/s", f"{units.index / plan.shards:,.0f}",
         f"{seen.shard.mean:,.0f}", f"{seen.shard.peak:,.0f}"),
        ("the table: units written/s", f"{units.write:,.0f}", "", ""),
        ("the table: units read/s, without reapers", f"{units.read:,.0f}", "", ""),
        ("calls of the table/s, without reapers", f"{units.calls:,.0f}", "", ""),
        (f"TB kept, {DAYS} days", f"{size:,.1f}", "", ""),
        ("live sessions of 1,000 users", f"{1000 * plan.sessions / plan.users:,.0f}", "", ""),
    ]  # fmt: skip
    return table("What comes", ("", "formula", "simulated", "worst second"), rows)


def _operations(plan: Plan) -> str:
    prices, often, sums = costs(plan), per_second(plan), rates(plan)
    rows = [
        (name, f"{often[name]:,.0f}", f"{prices[name].calls:g}", f"{prices[name].write:g}", f"{prices[name].index:g}",
         f"{prices[name].read:g}", f"{sums[name]:,.0f}")
        for name in sums
    ]  # fmt: skip
    return table(
        "Calls of the table",
        ("operation", "a second", "calls", "write", "index", "read", "units written/s"),
        rows,
    )


def _hot(plan: Plan) -> str:
    rows = [(whose, what, f"{units:,.0f}") for whose, what, units in hot_keys(plan)]
    return table(
        "One key's share of its partition (1,000 write, 3,000 read units/s)",
        ("whose", "what", "units/s"),
        rows,
    )


def _walls(plan: Plan, found: tuple[Wall, ...]) -> str:
    rows = [
        (wall.name, wall.kind, f"{wall.limit:,.0f} {wall.unit}", _number(wall.load(plan)), _number(wall.reached(plan)),
         _number(wall.reached(plan.changed())), wall.remedy)
        for wall in _in_order(plan, found)
    ]  # fmt: skip
    return table(
        "What breaks, the first first: one stack, one account",
        ("what", "kind", "limit", "asked by the plan", "reached at", "with the changes", "remedy"),
        rows,
    )


def _fleets(plan: Plan, most: int) -> str:
    rows = []
    for sessions in sorted({500, 1_000, 2_000, 5_000, most, plan.sessions}):
        one = replace(plan, sessions=sessions)
        as_built, changed = fleet(one), fleet(one.changed())
        own = own_calls(one) / (one.store_calls * one.gateway_cpus)
        rows.append(
            (
                f"{sessions:,}",
                _number(as_built.gateways),
                f"{own:.0%}",
                _number(changed.gateways),
                changed.why,
            )
        )
    return table(
        f"Gateways of {plan.gateway_cpus:g} vCPU, in {plan.zones} zones of which one may go",
        ("sessions", "as built", "of each for its reaper", "with the changes", "asked for by"),
        rows,
    )


def _pools(plan: Plan, most: int, seed: int) -> str:
    rows = []
    for sessions in sorted({500, 2_000, most, min(plan.sessions, 50_000)}):
        one = replace(plan, sessions=sessions)
        offered = one.starts * one.sandbox_start
        size = pool_size(offered, EMPTY)
        seen = pool.simulate(
            rate=one.starts,
            size=size,
            start=one.sandbox_start,
            seconds=max(1_000.0, 20_000 / one.starts),
            seed=seed,
            bucket=pool.Bucket(pool.RUN_TASK_BURST, pool.RUN_TASK_RATE),
        )
        rows.append(
            (f"{sessions:,}", f"{one.starts:.2f}", f"{offered:,.0f}", str(size), f"{erlang_b(size, offered):.2%}",
             f"{seen.share:.2%}", f"{seen.quota_wait:.1f}")
        )  # fmt: skip
    return table(
        f"Pool that is empty for {EMPTY:.0%} of claims, {plan.sandbox_start:g} s a start",
        (
            "sessions",
            "claims/s",
            "starting, mean",
            "pool",
            "empty, Erlang B",
            "empty, simulated",
            "longest wait, s",
        ),
        rows,
    )


def _storms(plan: Plan, most: int, seed: int) -> str:
    one = replace(plan, sessions=most).changed()
    number = fleet(one).gateways
    left = math.floor(number * (one.zones - 1) / one.zones)
    lost = math.ceil(one.runs / one.zones)
    rows = []
    for how, silent in (("its connections are reset", False), ("it falls silent", True)):
        seen = storm.simulate(
            readers=lost, gateways=left, attach_cpu=one.attach_cpu, cpus=one.gateway_cpus,
            streaming=one.streaming, silent=silent, seed=seed,
        )  # fmt: skip
        rows.append(
            (
                how,
                f"{seen.p50:.1f}",
                f"{seen.p99:.1f}",
                f"{seen.last:.1f}",
                f"{seen.peak:,}",
                f"{seen.tries:.2f}",
            )
        )
    taken = takeover.simulate(runs=lost, gateways=left, lease=one.lease, seed=seed)
    title = (
        f"A zone of {one.zones} is lost: {most:,} sessions, {number:,} gateways of which {left:,} are left"
    )
    after = (
        f"its {lost:,} runs have a recorder again {one.lease + taken.seconds:.1f} s after the loss (a lease of"
        f" {one.lease:g} s, then {taken.seconds:.1f} s; {taken.wasted:.0%} of takes in vain);"
        f" their sandboxes' starts take {max(0.0, lost - pool.RUN_TASK_BURST) / pool.RUN_TASK_RATE:,.0f} s of one"
        f" account's RunTask, those of all {plan.sessions:,} sessions'"
        f" {max(0.0, plan.runs / plan.zones - pool.RUN_TASK_BURST) / pool.RUN_TASK_RATE:,.0f} s"
    )
    header = (
        f"{lost:,} readers",
        "p50, s",
        "p99, s",
        "last, s",
        "attempts, worst second",
        "attempts a reader",
    )
    return table(title, header, rows) + "\n" + after


def _cells(plan: Plan, now: int, then: int) -> str:
    rows = []
    for name, one, size in (("as built", plan, now), ("with the changes", plan.changed(), then)):
        part = replace(one, sessions=min(size, plan.sessions))
        cells = math.ceil(plan.sessions / part.sessions)
        gateways = fleet(part).gateways
        rows.append(
            (name, f"{part.sessions:,}", f"{cells:,}", f"{math.ceil(plan.users / cells):,}", _number(gateways),
             _number(gateways * cells), f"{pool_size(part.starts * part.sandbox_start, EMPTY) * cells:,}",
             f"{load(part).write:,.0f}", f"{math.ceil(plan.starts / pool.RUN_TASK_RATE)}")
        )  # fmt: skip
    header = ("", "sessions", "cells", "users each", "gateways each", "gateways", "warm, in all", "write units/s each",
              "accounts by RunTask")  # fmt: skip
    return table("Cells", header, rows)


def _number(value: float) -> str:
    if math.isinf(value):
        return "-"
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
