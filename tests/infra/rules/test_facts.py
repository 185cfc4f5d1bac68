"""The figures that rules compare with are those of the code that they name."""

from __future__ import annotations

import re
from dataclasses import fields

from container.protocol import PING_SECONDS
from container.settings import RESTORE_BYTES
from container.workspace.snapshot import TAKE_SECONDS
from gateway import config, serve
from gateway.store.blobs.s3 import PART_BYTES
from gateway.web.request import expiry
from gateway.web.streams.sinks import EVENT_HEARTBEAT_SECONDS
from gateway.websocket.liveness import PING_TICKS, SILENT_TICKS, TICK_SECONDS
from infra.config import ROOT
from infra.rules import facts
from infra.targets.cloud.tasks import KEEPALIVE_MARGIN_SECONDS

PROXY = ROOT / "infra" / "proxy"


def default(name: str) -> float:
    """Of the gateway's own settings."""
    [found] = [item.default for item in fields(config.Settings) if item.name == name]
    return float(found)  # type: ignore[arg-type]


def test_figures_of_the_gateway_and_the_agent_server() -> None:
    assert facts.PING_SECONDS == PING_TICKS * TICK_SECONDS == PING_SECONDS
    assert facts.EVENT_HEARTBEAT_SECONDS == EVENT_HEARTBEAT_SECONDS
    assert default("ticket_seconds") == facts.TICKET_SECONDS
    assert default("keepalive_seconds") == facts.KEEPALIVE_SECONDS
    assert facts.EXPIRY_LOOK_SECONDS == expiry.LOOK_SECONDS
    assert facts.EXPIRY_LOOK_SECONDS + config.MOST_LEEWAY_SECONDS == facts.EXPIRY_SECONDS
    assert facts.CLOSE_SECONDS == serve.CLOSE_SECONDS
    assert facts.TAKE_SECONDS == TAKE_SECONDS
    assert facts.RESTORE_MB * 1024 * 1024 == RESTORE_BYTES
    assert facts.MOST_TASK_SUBNETS == config.MOST_SUBNETS


def test_what_may_be_kept_fits_the_parts_of_an_upload() -> None:
    assert facts.RESTORE_MB * 1024 * 1024 <= 10_000 * PART_BYTES


def test_a_gateway_has_twice_the_time_that_it_needs_to_close() -> None:
    assert facts.STOP_MARGIN_SECONDS >= 2 * facts.CLOSE_SECONDS


def test_the_proxys_times_are_those_of_its_file_and_outlast_what_is_silent() -> None:
    text = (PROXY / "haproxy.cfg").read_text(encoding="utf-8")
    found = dict(re.findall(r"^ +timeout (\S+) +(\d+[a-z]+)$", text, re.MULTILINE))
    seconds = {
        name: int(time[:-1]) * {"s": 1, "h": 3600}[time[-1]]
        for name, time in found.items()
        if "ms" not in time
    }
    assert {name: seconds[name] for name in facts.PROXY_TIMEOUTS} == facts.PROXY_TIMEOUTS
    for name in ("client", "server"):
        assert facts.PROXY_TIMEOUTS[name] > 2 * facts.EVENT_HEARTBEAT_SECONDS, name
    assert facts.PROXY_TIMEOUTS["tunnel"] > SILENT_TICKS * TICK_SECONDS
    assert facts.PROXY_TIMEOUTS["tunnel"] > 2 * facts.PING_SECONDS


def test_whoever_is_in_front_closes_first() -> None:
    assert facts.PROXY_TIMEOUTS["http-keep-alive"] < facts.KEEPALIVE_SECONDS
    assert KEEPALIVE_MARGIN_SECONDS > 0


def test_the_proxy_counts_its_files_as_the_rule_does() -> None:
    text = (PROXY / "start").read_text(encoding="utf-8")
    counted = f"VF_FILES=$((VF_CONNECTIONS * {facts.PROXY_FILES_PER_CLIENT} + {facts.PROXY_FILES}))"
    assert counted in text
