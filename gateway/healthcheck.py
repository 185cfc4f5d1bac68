"""`python -m gateway.healthcheck`: the image's health check; asks `VF_HEALTH_URL`, past any HTTP proxy."""

from __future__ import annotations

import os
import sys
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit


def main() -> int:
    """0 when it answers 200 within 3 s, else 1."""
    url = urlsplit(os.environ.get("VF_HEALTH_URL", "http://127.0.0.1:8080/api/health"))
    connection = HTTPConnection(url.netloc, timeout=3)
    try:
        connection.request("GET", url.path)
        return 0 if connection.getresponse().status == 200 else 1
    except (OSError, HTTPException) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
