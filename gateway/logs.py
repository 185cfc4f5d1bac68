"""Logging of the gateway's processes: to stderr, one line a record."""

from __future__ import annotations

import logging
import sys
from typing import Final

from gateway.config import ConfigError

FORMAT: Final = "%(asctime)s %(levelname)s %(name)s %(message)s"


class OneLine(logging.Formatter):
    """Keeps a record on one line, tracebacks too, so that no text from outside can forge a record of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """The record with its line ends spelled out."""
        return super().format(record).replace("\r", "\\r").replace("\n", "\\n")


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
