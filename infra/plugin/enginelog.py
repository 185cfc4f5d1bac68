"""Messages to the engine's log: build progress, which it shows beside the resource, and warnings."""

from __future__ import annotations

import grpc
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc


class EngineLog:
    """The log of the engine at `address` (host:port); an empty address drops every message."""

    def __init__(self, address: str) -> None:
        self._stub = engine_pb2_grpc.EngineStub(grpc.insecure_channel(address)) if address else None

    def status(self, urn: str, message: str) -> None:
        """Shown until the next one comes."""
        self._send(engine_pb2.INFO, urn, message, ephemeral=True)

    def warn(self, urn: str, message: str) -> None:
        """Shown and kept."""
        self._send(engine_pb2.WARNING, urn, message, ephemeral=False)

    def _send(self, severity: int, urn: str, message: str, *, ephemeral: bool) -> None:
        if self._stub is not None:
            request = engine_pb2.LogRequest(severity=severity, urn=urn, message=message, ephemeral=ephemeral)  # type: ignore[arg-type]
            self._stub.Log(request)
