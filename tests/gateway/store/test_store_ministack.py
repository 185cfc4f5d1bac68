"""The conformance suite on a second implementation of DynamoDB, so that none of it rests on DynamoDB Local's habits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conftest import ministack
from tests.gateway.store.store_conformance import StoreConformance

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.store.dynamo import DynamoStore


@pytest.fixture(scope="module")
def dynamodb_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a ministack that serves DynamoDB alone."""
    with ministack("dynamodb", tmp_path_factory.mktemp("ministack") / "log") as url:
        yield url


@pytest.fixture
def store(shared_store: DynamoStore) -> DynamoStore:
    """One client and one table serve the whole module."""
    return shared_store


class TestMinistack(StoreConformance):
    """`DynamoStore` on ministack."""
