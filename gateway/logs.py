"""Logging of the gateway's processes: to stderr, one line a record."""

from __future__ import annotations

import logging
import re
import sys
from typing import Final

from gateway.config import ConfigError

FORMAT: Final = "%(asctime)s %(levelname)s %(name)s %(message)s"


DRIVES: Final = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""What a terminal obeys: C0 but the tab, DEL, and C1 (ECMA-48 section 5.3); what makes text read as other than it is:
Unicode's directional controls (UAX #9 section 2) and its own line ends; and what UTF-8 cannot say."""


class OneLine(logging.Formatter):
    """Keeps a record on one line, tracebacks too, so that no text from outside can forge a record of its own or drive
    the terminal of the person who reads it."""

    def format(self, record: logging.LogRecord) -> str:
        r"""The record with such characters spelled out, as in `\n` and `\x1b[2J`."""
        return DRIVES.sub(_spelled, super().format(record))


def _spelled(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape", "surrogatepass").decode("ascii")


def configure_logging(level: str) -> None:
    """Log `level` and above to stderr. Raises `ConfigError` when there is no such level."""
    if level.upper() not in logging.getLevelNamesMapping():
        raise ConfigError(f"VF_LOG_LEVEL is {level!r}; it must be DEBUG, INFO, WARNING or ERROR")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine(FORMAT))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # boto3 and asyncio tell their every step at DEBUG, request bodies included.
    for name in ("asyncio", "boto3", "botocore", "urllib3"):
        logging.getLogger(name).setLevel(max(logging.INFO, logging.getLogger().level))
    # Warns of every subprotocol that a client offers and nobody selects: a token, or whatever a stranger likes.
    logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)
