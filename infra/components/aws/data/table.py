"""The store's table, as gateway/table.json defines it: on demand, with backups of every second of 35 days."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from infra.components.aws.names import kept, tags_of


@dataclass(frozen=True, slots=True, kw_only=True)
class TableArgs:
    """`definition`: CreateTable's arguments; `expires`: the attribute that items expire by. `key`: an ARN."""

    stack_id: str
    definition: Mapping[str, Any]
    expires: str
    key: pulumi.Input[str]
    protect: bool


class Table(pulumi.ComponentResource):
    """`table_name`: drawn by Pulumi."""

    table_name: pulumi.Output[str]
    arn: pulumi.Output[str]

    def __init__(self, name: str, args: TableArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("vaporforge:aws:Table", name, None, opts)
        hash_key, range_key = _keys(args.definition["KeySchema"])
        table = aws.dynamodb.Table(
            f"{args.stack_id}-table",
            attributes=[
                aws.dynamodb.TableAttributeArgs(name=item["AttributeName"], type=item["AttributeType"])
                for item in args.definition["AttributeDefinitions"]
            ],
            hash_key=hash_key,
            range_key=range_key,
            billing_mode=args.definition["BillingMode"],
            global_secondary_indexes=[_index(index) for index in args.definition["GlobalSecondaryIndexes"]],
            ttl=aws.dynamodb.TableTtlArgs(attribute_name=args.expires, enabled=True),
            point_in_time_recovery=aws.dynamodb.TablePointInTimeRecoveryArgs(enabled=True),
            server_side_encryption=aws.dynamodb.TableServerSideEncryptionArgs(
                enabled=True, kms_key_arn=args.key
            ),
            deletion_protection_enabled=args.protect,
            tags=tags_of(args.stack_id, "table"),
            opts=kept(self, args.protect),
        )
        self.table_name, self.arn = table.name, table.arn
        self.register_outputs({"name": table.name})


def _keys(schema: list[dict[str, str]]) -> tuple[str, str | None]:
    by_type = {item["KeyType"]: item["AttributeName"] for item in schema}
    return by_type["HASH"], by_type.get("RANGE")


def _index(index: Mapping[str, Any]) -> aws.dynamodb.TableGlobalSecondaryIndexArgs:
    projection = index["Projection"]
    return aws.dynamodb.TableGlobalSecondaryIndexArgs(
        name=index["IndexName"],
        key_schemas=[
            aws.dynamodb.TableGlobalSecondaryIndexKeySchemaArgs(
                attribute_name=item["AttributeName"], key_type=item["KeyType"]
            )
            for item in index["KeySchema"]
        ],
        projection_type=projection["ProjectionType"],
        non_key_attributes=projection.get("NonKeyAttributes"),
    )
