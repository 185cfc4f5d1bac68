"""Which parts of the set-up a deployment needs: what scripts/up asks before it sets anything up."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from infra.cli.arguments import run
from infra.cli.state import State
from infra.cli.up import arguments, values_of


def parts(configured: Mapping[str, Any]) -> list[str]:
    """Names for scripts/setup: nothing for what the stack brings itself. `configured`: by keys without the project."""
    local = not configured.get("dockerHost")
    own_base, own_table = configured.get("baseImage"), configured.get("dynamodbImage")
    aws = configured.get("target") == "aws"
    needed = {
        "aws": aws,
        "page": True,
        "docker": local,
        "base": local and not own_base,
        "dynamodb-image": local and not own_table and not aws and configured.get("dynamodb") != "aws",
        "pulumi": True,
    }
    return [name for name, is_needed in needed.items() if is_needed]


def main() -> None:
    """Print them for the options of `scripts/up`, one a line."""
    chosen = arguments().parse_args()
    configured = State.of_machine(os.environ).configured(chosen.stack) | values_of(chosen)
    sys.stdout.writelines(f"{name}\n" for name in parts(configured))


if __name__ == "__main__":
    run(main)
