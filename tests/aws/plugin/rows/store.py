"""Rows of what holds data: DynamoDB's table, Secrets Manager's secret, CloudWatch's log groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from infra.plugin.properties import Properties
from infra.plugin.resource import MissingError
from tests.aws.plugin.row import Call, Row, names
from tests.aws.plugin.rows.ec2 import one
from tests.aws.plugin.tags import pairs, retag, unpaired


def _index(given: Properties) -> dict[str, Any]:
    projection = {"ProjectionType": given["projectionType"]}
    if given.get("nonKeyAttributes"):
        projection["NonKeyAttributes"] = given["nonKeyAttributes"]
    schema = [
        {"AttributeName": key["attributeName"], "KeyType": key["keyType"]} for key in given["keySchemas"]
    ]
    return {"IndexName": given["name"], "KeySchema": schema, "Projection": projection}


def _index_told(found: Mapping[str, Any]) -> Properties:
    return {
        "name": found["IndexName"],
        "keySchemas": [
            {"attributeName": key["AttributeName"], "keyType": key["KeyType"]} for key in found["KeySchema"]
        ],
        "projectionType": found["Projection"]["ProjectionType"],
        "nonKeyAttributes": found["Projection"].get("NonKeyAttributes") or [],
    }


def _encryption(call: Call) -> dict[str, Any]:
    given = call.given["serverSideEncryption"]
    return {"Enabled": given["enabled"], "SSEType": "KMS", "KMSMasterKeyId": given["kmsKeyArn"]}


def _make_table(call: Call) -> str:
    given = call.given
    schema = [{"AttributeName": given["hashKey"], "KeyType": "HASH"}]
    if given.get("rangeKey"):
        schema.append({"AttributeName": given["rangeKey"], "KeyType": "RANGE"})
    call.aws.create_table(
        TableName=given["name"],
        KeySchema=schema,
        AttributeDefinitions=[
            {"AttributeName": item["name"], "AttributeType": item["type"]} for item in given["attributes"]
        ],
        BillingMode=given["billingMode"],
        GlobalSecondaryIndexes=[_index(index) for index in given["globalSecondaryIndexes"]],
        SSESpecification=_encryption(call),
        DeletionProtectionEnabled=given["deletionProtectionEnabled"],
        Tags=pairs(given.get("tags")),
    )
    _settle(call, given["name"])
    return str(given["name"])


def _settle(call: Call, name: str) -> None:
    call.aws.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1})
    ttl = call.given["ttl"]
    had = call.aws.describe_time_to_live(TableName=name)["TimeToLiveDescription"]["TimeToLiveStatus"]
    if ttl["enabled"] != (had == "ENABLED"):
        specification = {"Enabled": ttl["enabled"], "AttributeName": ttl["attributeName"]}
        call.aws.update_time_to_live(TableName=name, TimeToLiveSpecification=specification)
    call.aws.update_continuous_backups(
        TableName=name,
        PointInTimeRecoverySpecification={
            "PointInTimeRecoveryEnabled": call.given["pointInTimeRecovery"]["enabled"]
        },
    )


def _find_table(call: Call) -> Properties:
    found = call.aws.describe_table(TableName=call.id)["Table"]
    keys = {key["KeyType"]: key["AttributeName"] for key in found["KeySchema"]}
    ttl = call.aws.describe_time_to_live(TableName=call.id)["TimeToLiveDescription"]
    backups = call.aws.describe_continuous_backups(TableName=call.id)["ContinuousBackupsDescription"]
    recovery = backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"]
    told: Properties = {
        "name": found["TableName"],
        "hashKey": keys["HASH"],
        "rangeKey": keys.get("RANGE"),
        "attributes": [
            {"name": item["AttributeName"], "type": item["AttributeType"]}
            for item in found["AttributeDefinitions"]
        ],
        "billingMode": found["BillingModeSummary"]["BillingMode"],
        "globalSecondaryIndexes": [_index_told(index) for index in found["GlobalSecondaryIndexes"]],
        "ttl": {
            "enabled": ttl["TimeToLiveStatus"] == "ENABLED",
            "attributeName": ttl.get("AttributeName", ""),
        },
        "pointInTimeRecovery": {"enabled": recovery == "ENABLED"},
        "deletionProtectionEnabled": found["DeletionProtectionEnabled"],
        "tags": unpaired(call.aws.list_tags_of_resource(ResourceArn=found["TableArn"])["Tags"]),
        "arn": found["TableArn"],
    }
    if encryption := found.get("SSEDescription"):
        told["serverSideEncryption"] = {
            "enabled": encryption["Status"] == "ENABLED",
            "kmsKeyArn": encryption["KMSMasterKeyArn"],
        }
    return told


def _change_table(call: Call) -> None:
    call.aws.update_table(
        TableName=call.id,
        BillingMode=call.given["billingMode"],
        DeletionProtectionEnabled=call.given["deletionProtectionEnabled"],
        SSESpecification=_encryption(call),
    )
    _settle(call, call.id)
    arn = call.was["arn"]
    retag(
        call,
        lambda tags: call.aws.tag_resource(ResourceArn=arn, Tags=pairs(tags)),
        lambda gone: call.aws.untag_resource(ResourceArn=arn, TagKeys=gone),
    )


TABLE: Final = Row(
    service="dynamodb",
    inputs=names(
        "name hashKey rangeKey attributes billingMode globalSecondaryIndexes ttl pointInTimeRecovery "
        "serverSideEncryption deletionProtectionEnabled tags"
    ),
    required=names("hashKey attributes billingMode ttl pointInTimeRecovery serverSideEncryption"),
    replaces=names("name hashKey rangeKey attributes globalSecondaryIndexes"),
    sets=names("attributes"),
    outputs=names("arn"),
    auto_named=True,
    make=_make_table,
    find=_find_table,
    change=_change_table,
    remove=lambda call: call.aws.delete_table(TableName=call.id),
)


def _make_secret(call: Call) -> str:
    made = call.aws.create_secret(
        Name=call.given["name"],
        Description=call.given["description"],
        KmsKeyId=call.given["kmsKeyId"],
        Tags=pairs(call.given.get("tags")),
    )
    return str(made["ARN"])


def _find_secret(call: Call) -> Properties:
    found = call.aws.describe_secret(SecretId=call.id)
    if "DeletedDate" in found:
        raise MissingError
    return {
        "name": found["Name"],
        "description": found["Description"],
        "kmsKeyId": found["KmsKeyId"],
        "tags": unpaired(found.get("Tags")),
        "arn": found["ARN"],
    }


def _change_secret(call: Call) -> None:
    call.aws.update_secret(
        SecretId=call.id, Description=call.given["description"], KmsKeyId=call.given["kmsKeyId"]
    )
    retag(
        call,
        lambda tags: call.aws.tag_resource(SecretId=call.id, Tags=pairs(tags)),
        lambda gone: call.aws.untag_resource(SecretId=call.id, TagKeys=gone),
    )


def _remove_secret(call: Call) -> None:
    days = call.given["recoveryWindowInDays"]
    how: dict[str, Any] = {"RecoveryWindowInDays": days} if days else {"ForceDeleteWithoutRecovery": True}
    call.aws.delete_secret(SecretId=call.id, **how)


SECRET: Final = Row(
    service="secretsmanager",
    inputs=names("name description kmsKeyId recoveryWindowInDays tags"),
    required=names("description kmsKeyId recoveryWindowInDays"),
    replaces=names("name"),
    outputs=names("arn"),
    auto_named=True,
    silent=names("recoveryWindowInDays"),
    make=_make_secret,
    find=_find_secret,
    change=_change_secret,
    remove=_remove_secret,
)


def _put_version(call: Call) -> str:
    made = call.aws.put_secret_value(SecretId=call.given["secretId"], SecretString=call.given["secretString"])
    return f"{call.given['secretId']}|{made['VersionId']}"


def _find_version(call: Call) -> Properties:
    secret, _, version = call.id.partition("|")
    found = call.aws.get_secret_value(SecretId=secret, VersionId=version)
    return {
        "secretId": secret,
        "secretString": found["SecretString"],
        "versionId": version,
        "arn": found["ARN"],
    }


SECRET_VERSION: Final = Row(
    service="secretsmanager",
    inputs=names("secretId secretString"),
    required=names("secretId secretString"),
    replaces=names("secretId secretString"),
    outputs=names("versionId arn"),
    make=_put_version,
    find=_find_version,
    # The current one cannot be taken away; it goes with the secret, an older one by itself.
    remove=lambda _: None,
)


def _make_group(call: Call) -> str:
    given = call.given
    call.aws.create_log_group(
        logGroupName=given["name"], kmsKeyId=given["kmsKeyId"], tags=given.get("tags") or {}
    )
    call.aws.put_retention_policy(logGroupName=given["name"], retentionInDays=given["retentionInDays"])
    return str(given["name"])


def _group(call: Call) -> Any:
    found = call.aws.describe_log_groups(logGroupNamePrefix=call.id)["logGroups"]
    return one([group for group in found if group["logGroupName"] == call.id])


def _find_group(call: Call) -> Properties:
    found = _group(call)
    arn = found["arn"].removesuffix(":*")
    return {
        "name": call.id,
        "retentionInDays": found.get("retentionInDays"),
        "kmsKeyId": found.get("kmsKeyId"),
        "tags": call.aws.list_tags_for_resource(resourceArn=arn)["tags"],
        "arn": arn,
    }


def _change_group(call: Call) -> None:
    call.aws.put_retention_policy(logGroupName=call.id, retentionInDays=call.given["retentionInDays"])
    if call.given["kmsKeyId"] != call.was.get("kmsKeyId"):
        call.aws.associate_kms_key(logGroupName=call.id, kmsKeyId=call.given["kmsKeyId"])
    arn = call.was["arn"]
    retag(
        call,
        lambda tags: call.aws.tag_resource(resourceArn=arn, tags=tags),
        lambda gone: call.aws.untag_resource(resourceArn=arn, tagKeys=gone),
    )


LOG_GROUP: Final = Row(
    service="logs",
    inputs=names("name retentionInDays kmsKeyId tags"),
    required=names("retentionInDays kmsKeyId"),
    replaces=names("name"),
    outputs=names("arn"),
    auto_named=True,
    make=_make_group,
    find=_find_group,
    change=_change_group,
    remove=lambda call: call.aws.delete_log_group(logGroupName=call.id),
)
