"""The conformance suite on a second implementation of DynamoDB, so that none of it rests on DynamoDB Local's habits."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.conftest import free_port, wait_for_http
from tests.gateway.store.store_conformance import StoreConformance

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.store.dynamo import DynamoStore


@pytest.fixture(scope="module")
def dynamodb_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a ministack that serves DynamoDB alone."""
    port = free_port()
    environment = {
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "SERVICES": "dynamodb",
        "IOT_MTLS_ENABLED": "0",
        "LOG_LEVEL": "WARNING",
    }
    with (tmp_path_factory.mktemp("ministack") / "log").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "ministack"],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
        )
    try:
        wait_for_http(f"http://127.0.0.1:{port}", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


@pytest.fixture
def store(shared_store: DynamoStore) -> DynamoStore:
    """One client and one table serve the whole module."""
    return shared_store


class TestMinistack(StoreConformance):
    """`DynamoStore` on ministack."""
