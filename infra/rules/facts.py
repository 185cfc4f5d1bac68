"""Figures that rules compare settings with: of the gateway, the agent server, the proxy, Linux and AWS.

infra imports neither gateway nor container: tests hold those of the code to their places."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

PING_SECONDS: Final = 20
"""Between a gateway's questions to a WebSocket's peer that is silent (gateway/websocket/connection.py)."""

EVENT_HEARTBEAT_SECONDS: Final = 30
"""Between the comments of a stream of server-sent events that is silent (gateway/web/streams/sinks.py)."""

TICKET_SECONDS: Final = 60
"""A ticket's life (`ticket_seconds` of gateway/config.py)."""

EXPIRY_LOOK_SECONDS: Final = 10
"""Between two looks at the clock of a live connection (gateway/web/request/expiry.py)."""

EXPIRY_SECONDS: Final = 60
"""A live connection ends within so many seconds of its token's end: what docs/protocol.md promises."""

KEEPALIVE_SECONDS: Final = 20
"""Between two requests of a connection at a gateway (`keepalive_seconds` of gateway/config.py), unless set."""

CLOSE_SECONDS: Final = 5
"""What a gateway takes at most to close when its drain is over (gateway/serve.py)."""

STOP_MARGIN_SECONDS: Final = 10
"""What a gateway's container has behind its drain before it is killed: twice `CLOSE_SECONDS`."""

SANDBOX_STOP_MARGIN_SECONDS: Final = 20
"""What a sandbox on Fargate has behind a run's stop before it is killed."""

FARGATE_STOP_SECONDS: Final = 120
"""The most that a container's stopTimeout may be on Fargate (*ECS Developer Guide*, task definition parameters)."""

TAKE_SECONDS: Final = 1800
"""An agent server gives up a snapshot that takes longer (container/workspace/snapshot.py)."""

RESTORE_MB: Final = 16 * 1024
"""MiB that a snapshot may unpack to (`RESTORE_BYTES` of container/settings.py)."""

PROXY_FILES: Final = 200
PROXY_FILES_PER_CLIENT: Final = 4
"""Open files of the proxy, as infra/proxy/start counts them."""

GATEWAY_FILES: Final = 200
"""Of a gateway besides its connections: what it loads, its table's, bucket's and driver's clients, its own logs."""

GATEWAY_LEAST_MB: Final = 256
"""Memory of a gateway beside the forward proxy: three times what a busy one was measured with (docs/limits.md), and
half of Fargate's smallest task."""

LOOPBACK_CONNECTIONS: Final = 2500
"""What a port that is published on a loopback or an IPv6 address can have: between it and the proxy is the engine's own
one for such addresses, which died for good at 3,362 connections (six open files each, of 20,000)."""

PROXY_TIMEOUTS: Final[Mapping[str, int]] = MappingProxyType(
    {"http-keep-alive": 10, "client": 75, "server": 120, "tunnel": 7200}
)
"""Seconds, of infra/proxy/haproxy.cfg."""

RESERVED_ADDRESSES: Final = 5
"""Of each subnet, AWS's own (*Amazon VPC User Guide*, subnet sizing)."""

WIDEST_PREFIX: Final = 16
NARROWEST_PREFIX: Final = 24
"""Networks of a VPC that is made, by their prefixes: AWS makes none wider (*Amazon VPC User Guide*, VPC sizing), and an
eighth of a narrower one is no subnet that a load balancer takes."""

BALANCER_ADDRESSES: Final = 8
"""Free addresses that a load balancer wants in each of its subnets (*Elastic Load Balancing*, subnets)."""

FARGATE_SIZES: Final[Mapping[float, range]] = MappingProxyType(
    {
        0.25: range(512, 2048 + 1, 512),
        0.5: range(1024, 4096 + 1, 1024),
        1: range(2048, 8192 + 1, 1024),
        2: range(4096, 16_384 + 1, 1024),
        4: range(8192, 30_720 + 1, 1024),
        8: range(16_384, 61_440 + 1, 4096),
        16: range(32_768, 122_880 + 1, 8192),
    }
)
"""MiB that a task may have, by its vCPUs; of a quarter it is 512, 1,024 and 2,048 (*ECS Developer Guide*, task CPU and
memory)."""

NO_SIZE: Final = (0.25, 1536)
"""The one step of `FARGATE_SIZES` that is none."""

MOST_TASK_SUBNETS: Final = 16
"""Subnets that a task's network may name (RunTask's `awsvpcConfiguration`)."""
