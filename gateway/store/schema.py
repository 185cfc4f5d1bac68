"""The table's definition (gateway/table.json, which Pulumi reads too) and its creation on DynamoDB Local."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from gateway.store.client import RetryBudget, Table


def definition() -> dict[str, Any]:
    """gateway/table.json: a CreateTable request without the name, and `TimeToLiveSpecification`."""
    path = Path(__file__).parent.parent / "table.json"
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


async def prepare(table: Table, *, create: bool) -> None:
    """Create the table and its TTL when `create` says so and it is not there; gateways may do so side by side."""
    if not create:
        return
    request = definition()
    ttl = request.pop("TimeToLiveSpecification")
    try:
        await table.call("create_table", TableName=table.name, **request)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceInUseException":
            raise
    budget = RetryBudget(table.seconds)
    while (await table.call("describe_table", TableName=table.name))["Table"]["TableStatus"] != "ACTIVE":
        await budget.wait("the table is being created")
    answer = await table.call("describe_time_to_live", TableName=table.name)
    if answer["TimeToLiveDescription"]["TimeToLiveStatus"] in ("DISABLED", "DISABLING"):
        try:
            await table.call("update_time_to_live", TableName=table.name, TimeToLiveSpecification=ttl)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ValidationException":  # another gateway was first
                raise
