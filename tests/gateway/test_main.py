"""`python -m gateway`: once it listens, the collector no longer walks what stays for good."""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING, Any

import gateway.__main__ as command
from tests.gateway.stack import SECRET

if TYPE_CHECKING:
    import pytest


def test_what_is_there_when_it_listens_is_no_longer_collected(monkeypatch: pytest.MonkeyPatch) -> None:
    walked: list[bool] = []

    async def serve(*_: Any, listening: Any, **__: Any) -> None:
        there = [object()]
        walked.append(any(one is there for one in gc.get_objects()))
        listening(8080)
        walked.append(any(one is there for one in gc.get_objects()))

    environ = {
        "VF_STACK": "test",
        "VF_JWT_SECRET": SECRET,
        "VF_SANDBOX_SECRET": SECRET,
        "VF_CREDENTIAL_KEY": SECRET,
        "VF_DRIVER": "process",
        "VF_PROCESS_ROOT": "/nowhere",
        "VF_TABLE": "none",
        "VF_DYNAMODB_ENDPOINT": "http://127.0.0.1:1",
    }
    monkeypatch.setattr(command, "serve", serve)
    monkeypatch.setattr(command, "configure_logging", lambda _level: None)
    monkeypatch.setattr(os, "environ", environ)
    assert command.main([]) == 0
    assert walked == [True, False]
