"""Starts the plugin: prints its port for the engine, serves until it is told to end."""

from __future__ import annotations

import signal
import sys
import threading
from concurrent import futures

import grpc
from pulumi.runtime.proto import provider_pb2_grpc

from infra.plugin.enginelog import EngineLog
from infra.plugin.provider import DockerProvider

MESSAGE_BYTES = 400 * 1024 * 1024
"""The engine's own limit for one message."""


def main() -> None:
    """The engine's address is the last argument; without one, messages go nowhere."""
    addresses = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    provider = DockerProvider(EngineLog(addresses[-1] if addresses else ""))
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
    ended.wait()
    provider.cancelled.set()
    server.stop(grace=2).wait()


if __name__ == "__main__":
    main()
