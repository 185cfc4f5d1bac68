"""Rules of both targets: lives, snapshots, connections."""

from __future__ import annotations

from typing import Final

from infra.rules import facts, shape
from infra.rules.rule import BOTH, Ordered, Rule
from infra.rules.terms import figure, key, longest

RULES: Final[tuple[Rule, ...]] = (
    Ordered(
        name="leeway",
        targets=BOTH,
        left=key("token_leeway_seconds")
        + figure(facts.EXPIRY_LOOK_SECONDS, "a live connection's look at the clock"),
        right=figure(facts.EXPIRY_SECONDS, "what is promised of a token's end"),
        change="token_leeway_seconds",
        why="a live connection ends within a minute of its token, the leeway and the pause between two looks included",
    ),
    Ordered(
        name="ticket",
        targets=BOTH,
        left=key("head_seconds"),
        right=figure(facts.TICKET_SECONDS, "a ticket's life"),
        strict=True,
        change="head_seconds",
        why="a handshake whose head may take longer comes with a ticket that has expired on its way",
    ),
    Ordered(
        name="lifetime",
        targets=BOTH,
        left=longest(key("idle_minutes"), key("background_minutes")),
        right=key("message_ttl_days") * figure(24 * 60, "minutes of a day"),
        strict=True,
        change="message_ttl_days",
        why="a session expires so long after its last prompt, and its sandbox with it, whatever is left of its time",
    ),
    Ordered(
        name="start",
        targets=BOTH,
        left=key("start_seconds"),
        right=key("idle_minutes") * figure(60, "seconds of a minute"),
        change="idle_minutes",
        why="a sandbox counts as used from its start on: one that may start for longer than it may be idle is stopped "
        "while its session waits for it",
    ),
    Ordered(
        name="restore",
        targets=BOTH,
        left=key("snapshot_mb"),
        right=figure(facts.RESTORE_MB, "MiB that an agent server unpacks"),
        change="snapshot_mb",
        why="a larger snapshot would be kept, and never given back",
    ),
    Ordered(
        name="snapshot",
        targets=BOTH,
        left=key("snapshot_seconds"),
        right=figure(facts.TAKE_SECONDS, "seconds after which an agent server gives it up"),
        change="snapshot_seconds",
        why="more is never waited for",
    ),
    Ordered(
        name="gateway-files",
        targets=BOTH,
        left=2 * key("connections") + 2 * key("broker_connections") + facts.GATEWAY_FILES,
        right=key("part_files"),
        change="part_files",
        why="behind each connection of a gateway there may be another one, to a sandbox or to the model's API",
    ),
    Ordered(
        name="egress-files",
        targets=BOTH,
        left=2 * key("connections")
        + 2 * key("broker_connections")
        + 2 * key("egress_connections")
        + facts.GATEWAY_FILES,
        right=key("part_files"),
        change="part_files",
        when=shape.has_egress_proxy,
        given=("egress",),
        told_when=", where sandboxes reach hosts by the forward proxy (`egress`)",
        why="behind each connection of a gateway there may be another one, to the forward proxy too",
    ),
)
