"""Serves a package to the engine: prints its port, and goes on until it is told to end or the engine is gone."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Sequence
from concurrent import futures

import grpc
from pulumi.runtime.proto import provider_pb2_grpc

from infra.plugin.enginelog import EngineLog
from infra.plugin.package import Package
from infra.plugin.provider import Provider

MESSAGE_BYTES = 400 * 1024 * 1024
"""The engine's own limit for one message."""

PARENT_SECONDS = 1.0
"""How often it looks whether the engine that started it is there: one that was killed has told nobody to end."""


def serve(package: Package, arguments: Sequence[str]) -> None:
    """`arguments`: the engine's. Its address is the last one; without it messages go nowhere."""
    addresses = [argument for argument in arguments if not argument.startswith("-")]
    provider = Provider(package, EngineLog(addresses[-1] if addresses else ""))
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=16, thread_name_prefix="rpc"),
        options=[
            ("grpc.max_receive_message_length", MESSAGE_BYTES),
            ("grpc.max_send_message_length", MESSAGE_BYTES),
        ],
    )
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    parent = int(os.environ.get("VF_PLUGIN_PARENT") or os.getppid())
    while not ended.wait(PARENT_SECONDS) and os.getppid() == parent:
        pass
    provider.cancelled.set()
    server.stop(grace=2).wait()
