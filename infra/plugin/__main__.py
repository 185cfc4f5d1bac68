"""Starts the plugin for a package, which the first argument names."""

from __future__ import annotations

import sys

from infra.plugin.serve import serve
from infra.plugin.stack.types import STACK
from infra.plugin.standin import STAND_IN

PACKAGES = {package.name: package for package in (STAND_IN, STACK)}


def main() -> None:
    """See `serve`."""
    serve(PACKAGES[sys.argv[1]], sys.argv[2:])


if __name__ == "__main__":
    main()
