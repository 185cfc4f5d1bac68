"""What the gateway's tests may ask for: a whole gateway, and everything its table holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest

from gateway.ids import new_id
from tests.gateway.stack import Stack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from mypy_boto3_dynamodb import DynamoDBClient


@pytest.fixture
async def stack(dynamodb_endpoint: str, tmp_path: Path) -> AsyncIterator[Stack]:
    """A gateway on a table of its own, with sandboxes as processes."""
    async with Stack(dynamodb_endpoint, f"test-{new_id()}", tmp_path / "sandboxes") as stack:
        yield stack


@pytest.fixture(scope="session")
def dynamodb_client(dynamodb_endpoint: str) -> DynamoDBClient:
    """A client of DynamoDB Local itself, past the store."""
    return boto3.client(
        "dynamodb",
        endpoint_url=dynamodb_endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


@pytest.fixture
def scan(stack: Stack, dynamodb_client: DynamoDBClient) -> Callable[[], list[dict[str, Any]]]:
    """Call it for every item of the stack's table, in a fixed order, but for counts, the audit and data keys: no
    session's."""

    def items() -> list[dict[str, Any]]:
        pages = dynamodb_client.get_paginator("scan").paginate(
            TableName=stack.settings.table, ConsistentRead=True
        )
        found: list[dict[str, Any]] = [dict(item) for page in pages for item in page["Items"]]
        kept = [
            item for item in found if not item["pk"]["S"].startswith(("RATE#", "PLACES", "AUDIT", "KEYS"))
        ]
        return sorted(kept, key=lambda item: (str(item["pk"]), str(item["sk"])))

    return items
