"""One record, one line; and a level that does not exist is said."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import pytest

from gateway.config import ConfigError
from gateway.logs import FORMAT, OneLine, configure_logging

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, as it was again afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    names = ("asyncio", "boto3", "botocore", "urllib3", "aiohttp.websocket")
    levels = {name: logging.getLogger(name).level for name in names}
    root.handlers = []
    yield root
    root.handlers = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


def test_a_record_is_one_line_traceback_included() -> None:
    try:
        raise RuntimeError("broken\nINFO forged")
    except RuntimeError:
        record = logging.LogRecord(
            "gateway", logging.ERROR, __file__, 1, "a\r\nb %s", ("c\nd",), sys.exc_info()
        )
    line = OneLine(FORMAT).format(record)
    assert "\n" not in line
    assert "\r" not in line
    assert "a\\r\\nb c\\nd" in line
    assert "RuntimeError: broken\\nINFO forged" in line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]52;c;ZXZpbA==\x07\x1b[2J", r"\x1b]52;c;ZXZpbA==\x07\x1b[2J"),
        ("\x9b2J \x9d0;t\x9c", r"\x9b2J \x9d0;t\x9c"),
        ("a\b\b\x7f\x00\x85\u2028", r"a\x08\x08\x7f\x00\x85\u2028"),
        ("\u202egnp.exe\u2066\u200f", r"\u202egnp.exe\u2066\u200f"),
        ("\udc9b", r"\udc9b"),
        ("Grüße\t你好", "Grüße\t你好"),
    ],
)
def test_no_text_from_outside_drives_the_terminal_of_who_reads(text: str, shown: str) -> None:
    record = logging.LogRecord("gateway", logging.INFO, __file__, 1, "title %s", (text,), None)
    assert OneLine("%(message)s").format(record) == f"title {shown}"


def test_the_level_is_the_setting_s(root: logging.Logger) -> None:
    configure_logging("warning")
    assert root.level == logging.WARNING
    configure_logging("DEBUG")
    assert root.level == logging.DEBUG
    assert len(root.handlers) == 1
    assert logging.getLogger("botocore").level == logging.INFO
    assert not logging.getLogger("aiohttp.websocket").isEnabledFor(logging.WARNING)


def test_an_unknown_level_is_named(root: logging.Logger) -> None:
    before = root.handlers[:]
    with pytest.raises(ConfigError, match=r"^VF_LOG_LEVEL is 'LOUD'; it must be DEBUG"):
        configure_logging("LOUD")
    assert root.handlers == before
