"""What tests of the scripts may ask for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scripts.shell import Clone


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """A copy of the repository's outline, and an environment of its own."""
    return Clone(tmp_path)
