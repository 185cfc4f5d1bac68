"""The tree of errors: what clients see, and that docs/protocol.md lists all of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from container.protocol import Close
from gateway import errors
from gateway.errors import BadRequest, VaporForgeError

PROTOCOL = Path(__file__).resolve().parents[2] / "docs" / "protocol.md"
ROW = re.compile(r"^\| ((?:`[a-z-]+`(?:, )?)+) \| (\d{3}) \| (\d{4}) \|$", re.MULTILINE)


def tree(kind: type[VaporForgeError] = VaporForgeError) -> list[type[VaporForgeError]]:
    return [kind, *(child for below in kind.__subclasses__() for child in tree(below))]


def documented() -> dict[str, tuple[int, int]]:
    return {
        code: (int(status), int(close))
        for codes, status, close in ROW.findall(PROTOCOL.read_text())
        for code in re.findall(r"[a-z-]+", codes)
    }


def test_the_body_says_what_and_where() -> None:
    assert BadRequest("Missing prompt", field="prompt").body() == {
        "error": "Missing prompt",
        "code": "bad-request",
        "field": "prompt",
    }
    assert "field" not in errors.Unauthorized("No token").body()
    assert str(errors.Draining("going")) == "going"


@pytest.mark.parametrize("kind", tree(), ids=lambda kind: kind.__name__)
def test_each_error_is_documented_as_it_is(kind: type[VaporForgeError]) -> None:
    assert documented()[kind.code] == (kind.status, kind.close)
    assert isinstance(kind.close, Close)
    assert (kind.__doc__ or "").strip()


def test_no_code_is_documented_that_does_not_exist() -> None:
    assert documented().keys() == {kind.code for kind in tree()}


@pytest.mark.parametrize("kind", tree()[1:], ids=lambda kind: kind.__name__)
def test_a_code_has_one_meaning(kind: type[VaporForgeError]) -> None:
    same = [other for other in tree() if other.code == kind.code]
    assert same == [kind]


def test_the_drawing_in_the_module_names_every_class() -> None:
    drawing = errors.__doc__ or ""
    assert {kind.__name__ for kind in tree()} <= set(re.findall(r"\w+", drawing))
