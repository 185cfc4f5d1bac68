"""The connection to the Docker engine: made when it is first needed, and shared by all threads."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Final

import docker

from gateway.launcher.settings import possible

if TYPE_CHECKING:
    from gateway.launcher.settings import LauncherSettings

CALL_SECONDS: Final = 30
"""How long the engine may take to answer a call."""


class Connection:
    """`settings`: the launcher's, and once it is connected no more CPUs than the engine has."""

    def __init__(self, settings: LauncherSettings, *, connections: int) -> None:
        """`connections`: how many calls there are at once."""
        self.settings = settings
        self._connections = connections
        self._connecting = threading.Lock()
        self._connected: docker.APIClient | None = None

    def api(self) -> docker.APIClient:
        """The SDK's client. Raises what the SDK raises."""
        with self._connecting:
            if self._connected is None:
                connected = docker.APIClient(
                    self.settings.docker_url,
                    version="auto",
                    timeout=CALL_SECONDS,
                    max_pool_size=self._connections,
                )
                self.settings = possible(self.settings, cpus=connected.info()["NCPU"])
                self._connected = connected
            return self._connected

    def reach(self) -> None:
        """Raises `OSError` when nobody listens at the engine's socket. The SDK would find that out too, but leave a
        socket open at each attempt until the garbage collector comes by."""
        scheme, _, path = self.settings.docker_url.partition("://")
        if scheme == "unix":
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(CALL_SECONDS)
                probe.connect(path)

    def close(self) -> None:
        """May be called twice."""
        if self._connected is not None:
            self._connected.close()
