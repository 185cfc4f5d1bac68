"""Ask a Docker engine over its Unix socket for its API version, without any client that might be too new for it."""

import http.client
import json
import socket
import sys


class UnixConnection(http.client.HTTPConnection):
    """HTTP to the Unix socket at `path`; every wait has a limit of 5 seconds."""

    def __init__(self, path: str) -> None:
        super().__init__("docker", timeout=5)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def main() -> int:
    connection = UnixConnection(sys.argv[1])
    try:
        connection.request("GET", "/version")
        print(json.load(connection.getresponse())["ApiVersion"])
    except OSError as error:
        print(f"{sys.argv[1]}: {error}", file=sys.stderr)
        return 1
    finally:
        connection.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
