"""What tests of the deployment may ask for: the program's declarations, run once for each configuration."""

from __future__ import annotations

import pytest

from infra.program import program
from tests.infra.mocked import Program, run


@pytest.fixture(scope="session")
def declared() -> Program:
    """What a stack without any configuration declares."""
    return run(program)
