"""The version of VaporForge, read as text from where it lives; importing it would break the layer rule."""

from __future__ import annotations

import re
from pathlib import Path


def read_version(root: Path) -> str:
    """The `VERSION` of `container/protocol.py`. Raises `ValueError` when there is none."""
    source = (root / "container" / "protocol.py").read_text(encoding="utf-8")
    found = re.search(r'^VERSION: Final = "([^"]+)"$', source, re.MULTILINE)
    if found is None:
        raise ValueError("container/protocol.py has no line that sets VERSION")
    return found[1]
