"""What a deleted session must not leave in a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import boto3

from gateway.store import keys

if TYPE_CHECKING:
    from gateway.config import Settings


NO_SESSIONS = ("RATE#", "USAGE#", "AUDIT", keys.KEYS)


def items(settings: Settings) -> list[str]:
    """The keys of everything in a gateway's table, but for the table's own items (data keys among them), and for
    counters, places and the audit, which are a user's or the stack's and run out by themselves; it blocks."""
    table = boto3.client(
        "dynamodb",
        endpoint_url=settings.dynamodb_endpoint,
        region_name=settings.region,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    pages = table.get_paginator("scan").paginate(TableName=settings.table, ConsistentRead=True)
    found = [(item["pk"]["S"], item["sk"]["S"]) for page in pages for item in page["Items"]]
    return [
        f"item {pk} {sk}"
        for pk, sk in found
        if (pk, sk) not in (keys.BIRTH, keys.STARTING) and not pk.startswith(NO_SESSIONS)
    ]
