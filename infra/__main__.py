"""What `pulumi up` runs: the program, with the project's root importable wherever the language host starts this."""

import sys
from pathlib import Path

ROOT = str(Path(__file__).resolve().parent.parent)
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

from infra.program import program  # noqa: E402 - the path above makes it importable

program()
