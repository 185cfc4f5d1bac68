"""What outlives the tasks: table, bucket, key, secrets and logs, and how each is kept."""

from __future__ import annotations

import json

import pytest

from tests.infra.aws_programs import aws_program, role_of
from tests.infra.mocked import MADE, STACK_ID

KEY = "arn:aws:kms:us-east-1:123456789012:key/vaporforge-test-key-0abcdef"

DATA = (":Table", ":Bucket", ":Key", ":Secret", ":LogGroup")
"""Types of what is protected."""


def test_the_table_is_the_one_that_the_gateway_expects() -> None:
    [table] = [item for item in aws_program().of_type(":Table") if item.type.startswith("aws:")]
    inputs = table.inputs
    assert (inputs["hashKey"], inputs["rangeKey"], inputs["billingMode"]) == ("pk", "sk", "PAY_PER_REQUEST")
    assert {item["name"]: item["type"] for item in inputs["attributes"]} == {
        "pk": "S",
        "sk": "S",
        "open": "S",
        "lease_until": "N",
    }
    [index] = inputs["globalSecondaryIndexes"]
    assert index["name"] == "open-runs"
    assert index["keySchemas"] == [
        {"attributeName": "open", "keyType": "HASH"},
        {"attributeName": "lease_until", "keyType": "RANGE"},
    ]
    assert index["projectionType"] == "INCLUDE"
    assert "lease_owner" in index["nonKeyAttributes"]
    assert inputs["ttl"] == {"attributeName": "expires_at", "enabled": True}
    assert inputs["pointInTimeRecovery"] == {"enabled": True}
    assert inputs["serverSideEncryption"] == {"enabled": True, "kmsKeyArn": KEY}


def test_the_bucket_is_private_encrypted_and_versioned() -> None:
    stack = aws_program()
    [closed] = stack.of_type(":BucketPublicAccessBlock")
    assert {name: value for name, value in closed.inputs.items() if value is True}.keys() == {
        "blockPublicAcls",
        "blockPublicPolicy",
        "ignorePublicAcls",
        "restrictPublicBuckets",
    }
    [versions] = stack.of_type(":BucketVersioning")
    assert versions.inputs["versioningConfiguration"] == {"status": "Enabled"}
    [encryption] = stack.of_type(":BucketServerSideEncryptionConfiguration")
    assert encryption.inputs["rules"] == [
        {
            "applyServerSideEncryptionByDefault": {"sseAlgorithm": "aws:kms", "kmsMasterKeyId": KEY},
            "bucketKeyEnabled": True,
        }
    ]
    [policy] = stack.of_type(":BucketPolicy")
    [statement] = json.loads(policy.inputs["policy"])["Statement"]
    assert (statement["Effect"], statement["Action"]) == ("Deny", "s3:*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_what_nobody_asks_for_leaves_the_bucket() -> None:
    [rules] = aws_program().of_type(":BucketLifecycleConfiguration")
    uploads, versions = rules.inputs["rules"]
    assert uploads["abortIncompleteMultipartUpload"] == {"daysAfterInitiation": 1}
    assert versions["noncurrentVersionExpiration"] == {"noncurrentDays": 7}
    assert versions["expiration"] == {"expiredObjectDeleteMarker": True}
    assert {rule["status"] for rule in rules.inputs["rules"]} == {"Enabled"}
    # A rule that let current snapshots expire would take a session's files away.
    assert "days" not in versions["expiration"]


def test_the_key_is_of_the_account_and_of_its_logs_alone() -> None:
    [key] = [item for item in aws_program().of_type(":Key") if item.type.startswith("aws:")]
    assert key.inputs["enableKeyRotation"] is True
    account, logs = json.loads(key.inputs["policy"])["Statement"]
    assert account["Principal"] == {"AWS": "arn:aws:iam::123456789012:root"}
    assert logs["Principal"] == {"Service": "logs.us-east-1.amazonaws.com"}
    assert logs["Condition"] == {
        "ArnLike": {"kms:EncryptionContext:aws:logs:arn": "arn:aws:logs:us-east-1:123456789012:*"}
    }


def test_secrets_are_in_one_encrypted_secret_and_gateways_name_their_version() -> None:
    stack = aws_program()
    [secret] = stack.of_type(":Secret")
    assert secret.inputs["kmsKeyId"] == KEY
    [version] = stack.of_type(":SecretVersion")
    assert version.secret_inputs == {"secretString"}
    assert json.loads(version.inputs["secretString"]) == {
        "VF_JWT_SECRET": MADE["jwt"],
        "VF_SANDBOX_SECRET": MADE["sandbox"],
        "VF_CREDENTIAL_KEY": MADE["credential"],
        "VF_MODEL_API_KEY": "model-api-key-of-the-team",
    }
    [definition] = [item for item in stack.of_type(":TaskDefinition") if role_of(item) == "gateway"]
    [container] = json.loads(definition.inputs["containerDefinitions"])
    arn = f"arn:aws:secretsmanager:us-east-1:123456789012:secret:{STACK_ID}-gateway-0abcdef"
    assert container["secrets"] == [
        {"name": name, "valueFrom": f"{arn}:{name}::version-1"}
        for name in ("VF_CREDENTIAL_KEY", "VF_JWT_SECRET", "VF_MODEL_API_KEY", "VF_SANDBOX_SECRET")
    ]


def test_logs_are_kept_as_long_as_is_said_and_encrypted() -> None:
    groups = aws_program(logDays="90").of_type(":LogGroup")
    assert {role_of(item) for item in groups} == {"gateway", "sandbox"}
    assert {(item.inputs["retentionInDays"], item.inputs["kmsKeyId"]) for item in groups} == {(90, KEY)}


@pytest.mark.parametrize(
    ("stack", "protect", "kept"),
    [
        ("prod", "auto", True),
        ("test", "auto", False),
        ("test", "true", True),
        ("prod", "false", False),
    ],
)
def test_data_is_kept_where_the_stack_is_protected(stack: str, protect: str, kept: bool) -> None:
    made = aws_program(stack, protect=protect)
    data = [
        item
        for item in made.resources.values()
        if item.type.startswith("aws:") and item.type.endswith(DATA) and "Attachment" not in item.type
    ]
    assert {item.type.rpartition(":")[2] for item in data} == {
        "Table",
        "Bucket",
        "Key",
        "Secret",
        "LogGroup",
    }
    assert {(item.protect, item.retain_on_delete) for item in data} == {(kept, kept)}
    [balancer] = made.of_type(":LoadBalancer")
    assert balancer.protect is balancer.inputs["enableDeletionProtection"] is kept
    # Data that may go goes with the stack: nothing of it may stop `pulumi destroy`.
    [bucket] = [item for item in data if item.type.endswith(":Bucket")]
    assert bucket.inputs["forceDestroy"] is not kept
    [secret] = made.of_type(":Secret")
    assert secret.inputs["recoveryWindowInDays"] == (30 if kept else 0)
    [table] = [item for item in data if item.type.endswith(":Table")]
    assert table.inputs["deletionProtectionEnabled"] is kept
    settings = [item for item in made.resources.values() if item.type.startswith("aws:s3/bucket")]
    assert {item.retain_on_delete for item in settings} == {kept}


def test_nothing_else_is_protected() -> None:
    protected = {
        item.type.rpartition(":")[2] for item in aws_program("prod").resources.values() if item.protect
    }
    assert protected == {"Table", "Bucket", "Key", "Secret", "LogGroup", "Secrets", "LoadBalancer"}


@pytest.mark.parametrize("protect", ["true", "false"])
def test_images_are_no_data_and_go_with_the_stack(protect: str) -> None:
    made = aws_program(protect=protect)
    assert {item.inputs["forceDelete"] for item in made.of_type(":Repository")} == {True}
    for kind in (":Repository", ":LifecyclePolicy"):
        assert {(item.protect, item.retain_on_delete) for item in made.of_type(kind)} == {(False, False)}


@pytest.mark.parametrize("protect", ["true", "false"])
def test_the_generated_secrets_are_kept_with_what_is_encrypted_with_them(protect: str) -> None:
    [made] = aws_program(protect=protect).of_type(":index:Secrets")
    assert made.protect is (protect == "true")
