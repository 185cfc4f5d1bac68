"""What ends each step of a build is one file, and every step that writes files ends with it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from infra.content import EPOCH

ROOT = Path(__file__).parents[2]
DOCKERFILES = [
    "container/Dockerfile",
    "gateway/Dockerfile",
    "infra/proxy/Dockerfile",
    "infra/egress/Dockerfile",
]


@pytest.mark.parametrize("folder", ["infra/proxy", "infra/egress"])
def test_the_copies_are_one_file(folder: str) -> None:
    assert (ROOT / folder / "settle").read_bytes() == (ROOT / "container/settle").read_bytes()


@pytest.mark.parametrize("name", DOCKERFILES)
def test_what_goes_into_an_image_is_settled(name: str) -> None:
    text = re.sub(r"^#.*\n", "", (ROOT / name).read_text(), flags=re.MULTILINE)
    assert f"ARG SOURCE_DATE_EPOCH={EPOCH}\n" in text
    stages = re.split(r"^(?=FROM )", text.replace("\\\n", " "), flags=re.MULTILINE)[1:]
    last = stages[-1].splitlines()
    assert not [line for line in last if line.startswith(("COPY", "ADD"))]
    steps = [line for line in last if line.startswith("RUN")]
    assert steps
    assert [line for line in steps if not line.endswith("sh /dev/shm/settle")] == []


def test_the_set_ups_base_image_has_the_same_time() -> None:
    assert f"--date=@{EPOCH} " in (ROOT / "scripts/lib/base.sh").read_text()
