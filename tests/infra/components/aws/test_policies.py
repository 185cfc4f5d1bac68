"""What each role may do, and what it may not: IAM's decision on a table of requests."""

from __future__ import annotations

import json

import pytest

from gateway.store.kms import CONTEXT
from tests.infra.aws_programs import aws_program, role_of
from tests.infra.components.aws.iam import allows

ECS = "arn:aws:ecs:us-east-1:123456789012"
CLUSTER = f"{ECS}:cluster/vaporforge-test-cluster-0abcdef"
TASK = f"{ECS}:task/vaporforge-test-cluster-0abcdef/0123"
SANDBOX = f"{ECS}:task-definition/vaporforge-test-sandbox:7"
TABLE = "arn:aws:dynamodb:us-east-1:123456789012:table/vaporforge-test-table-0abcdef"
BUCKET = "arn:aws:s3:::vaporforge-test-blobs-0abcdef"
KEY = "arn:aws:kms:us-east-1:123456789012:key/vaporforge-test-key-0abcdef"
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:vaporforge-test-gateway-0abcdef"
ROLE = "arn:aws:iam::123456789012:role"
REPOSITORY = "arn:aws:ecr:us-east-1:123456789012:repository"
LOGS = "arn:aws:logs:us-east-1:123456789012:log-group"

HERE = {"ecs:cluster": CLUSTER}
STACK = "vaporforge:stack"
OURS = {f"aws:ResourceTag/{STACK}": "vaporforge-test"}
SANDBOXES = {**HERE, **OURS, "aws:ResourceTag/vaporforge:role": "sandbox"}
GATEWAYS = {**HERE, **OURS, "aws:ResourceTag/vaporforge:role": "gateway"}
TAGGED = {
    "ecs:CreateAction": "RunTask",
    f"aws:RequestTag/{STACK}": "vaporforge-test",
    "aws:RequestTag/vaporforge:role": "sandbox",
}
BY_TABLE = {"kms:ViaService": "dynamodb.us-east-1.amazonaws.com"}
OF_DATA_KEY = {f"kms:EncryptionContext:{CONTEXT}": "content-20260101"}
TO_TASKS = {"iam:PassedToService": "ecs-tasks.amazonaws.com"}

ALLOWED = [
    *(
        ("gateway", f"dynamodb:{action}", TABLE, {})
        for action in ("GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query", "ConditionCheckItem")
    ),
    ("gateway", "dynamodb:BatchGetItem", TABLE, {}),
    ("gateway", "dynamodb:BatchWriteItem", TABLE, {}),
    ("gateway", "dynamodb:Query", f"{TABLE}/index/open-runs", {}),
    ("gateway", "s3:PutObject", f"{BUCKET}/abc", {}),
    ("gateway", "s3:GetObject", f"{BUCKET}/abc", {}),
    ("gateway", "s3:DeleteObject", f"{BUCKET}/abc", {}),
    ("gateway", "s3:AbortMultipartUpload", f"{BUCKET}/abc", {}),
    ("gateway", "s3:ListBucket", BUCKET, {}),
    ("gateway", "kms:Decrypt", KEY, BY_TABLE),
    ("gateway", "kms:GenerateDataKey", KEY, {"kms:ViaService": "s3.us-east-1.amazonaws.com"}),
    ("gateway", "kms:Encrypt", KEY, OF_DATA_KEY),
    ("gateway", "kms:Decrypt", KEY, OF_DATA_KEY),
    ("gateway", "ecs:RunTask", SANDBOX, HERE),
    ("gateway", "ecs:TagResource", TASK, TAGGED),
    ("gateway", "ecs:StopTask", TASK, SANDBOXES),
    ("gateway", "ecs:DescribeTasks", TASK, HERE),
    ("gateway", "ecs:ListTasks", "*", HERE),
    ("gateway", "ecs:UpdateTaskProtection", TASK, GATEWAYS),
    ("gateway", "iam:PassRole", f"{ROLE}/vaporforge-test-sandbox-0abcdef", TO_TASKS),
    ("gateway", "iam:PassRole", f"{ROLE}/vaporforge-test-sandbox-start-0abcdef", TO_TASKS),
    ("gateway-start", "secretsmanager:GetSecretValue", SECRET, {}),
    ("gateway-start", "kms:Decrypt", KEY, {"kms:ViaService": "secretsmanager.us-east-1.amazonaws.com"}),
    ("gateway-start", "ecr:GetAuthorizationToken", "*", {}),
    ("gateway-start", "ecr:BatchGetImage", f"{REPOSITORY}/vaporforge-test-gateway-0abcdef", {}),
    ("gateway-start", "logs:PutLogEvents", f"{LOGS}:vaporforge-test-gateway-0abcdef:log-stream:x", {}),
    ("sandbox-start", "ecr:GetDownloadUrlForLayer", f"{REPOSITORY}/vaporforge-test-sandbox-0abcdef", {}),
    ("sandbox-start", "logs:CreateLogStream", f"{LOGS}:vaporforge-test-sandbox-0abcdef:log-stream:x", {}),
]

DENIED = [
    ("gateway", "dynamodb:Scan", TABLE, {}),
    ("gateway", "dynamodb:DeleteTable", TABLE, {}),
    ("gateway", "dynamodb:GetItem", f"{TABLE}-of-another", {}),
    ("gateway", "s3:GetObject", "arn:aws:s3:::another/abc", {}),
    ("gateway", "s3:DeleteObjectVersion", f"{BUCKET}/abc", {}),
    ("gateway", "s3:PutBucketPolicy", BUCKET, {}),
    ("gateway", "kms:Decrypt", KEY, {}),
    ("gateway", "kms:Decrypt", KEY, {"kms:EncryptionContext:aws:dynamodb:tableName": "another"}),
    ("gateway", "kms:Encrypt", KEY, BY_TABLE),
    ("gateway", "kms:Encrypt", f"{KEY}-of-another", OF_DATA_KEY),
    ("sandbox", "kms:Decrypt", KEY, OF_DATA_KEY),
    ("sandbox-start", "kms:Decrypt", KEY, OF_DATA_KEY),
    ("gateway", "kms:ScheduleKeyDeletion", KEY, BY_TABLE),
    ("gateway", "secretsmanager:GetSecretValue", SECRET, {}),
    ("gateway", "ecs:RunTask", SANDBOX, {"ecs:cluster": f"{CLUSTER}-of-another"}),
    ("gateway", "ecs:RunTask", SANDBOX, {}),
    ("gateway", "ecs:RunTask", f"{ECS}:task-definition/vaporforge-test-gateway:1", HERE),
    ("gateway", "ecs:RunTask", f"{ECS}:task-definition/another:1", HERE),
    ("gateway", "ecs:RegisterTaskDefinition", "*", HERE),
    ("gateway", "ecs:TagResource", TASK, {**TAGGED, "ecs:CreateAction": "CreateService"}),
    ("gateway", "ecs:TagResource", TASK, {**TAGGED, "aws:RequestTag/vaporforge:role": "gateway"}),
    ("gateway", "ecs:TagResource", TASK, {**TAGGED, f"aws:RequestTag/{STACK}": "vaporforge-prod"}),
    ("gateway", "ecs:StopTask", TASK, GATEWAYS),
    ("gateway", "ecs:StopTask", TASK, {**SANDBOXES, f"aws:ResourceTag/{STACK}": "vaporforge-prod"}),
    ("gateway", "ecs:StopTask", f"{ECS}:task/another/0123", SANDBOXES),
    ("gateway", "ecs:ExecuteCommand", TASK, SANDBOXES),
    ("gateway", "ecs:UpdateService", "*", HERE),
    ("gateway", "ecs:UpdateTaskProtection", TASK, SANDBOXES),
    (
        "gateway",
        "ecs:UpdateTaskProtection",
        TASK,
        {**GATEWAYS, f"aws:ResourceTag/{STACK}": "vaporforge-prod"},
    ),
    ("gateway", "ecs:UpdateTaskProtection", TASK, {**GATEWAYS, "ecs:cluster": f"{CLUSTER}-of-another"}),
    ("gateway", "ecs:UpdateTaskProtection", f"{ECS}:task/another/0123", GATEWAYS),
    ("gateway", "ecs:GetTaskProtection", TASK, GATEWAYS),
    ("gateway", "ecs:ListTasks", "*", {}),
    ("gateway", "iam:PassRole", f"{ROLE}/vaporforge-test-sandbox-0abcdef", {}),
    ("gateway", "iam:PassRole", f"{ROLE}/vaporforge-test-gateway-0abcdef", TO_TASKS),
    ("gateway", "iam:PassRole", f"{ROLE}/admin", TO_TASKS),
    ("gateway", "sts:AssumeRole", f"{ROLE}/admin", {}),
    ("sandbox", "s3:GetObject", f"{BUCKET}/abc", {}),
    ("sandbox", "dynamodb:GetItem", TABLE, {}),
    ("sandbox", "sts:GetCallerIdentity", "*", {}),
    ("sandbox", "ecs:RunTask", SANDBOX, HERE),
    ("sandbox-start", "secretsmanager:GetSecretValue", SECRET, {}),
    ("sandbox-start", "kms:Decrypt", KEY, BY_TABLE),
    ("sandbox-start", "ecr:BatchGetImage", f"{REPOSITORY}/vaporforge-test-gateway-0abcdef", {}),
    ("sandbox-start", "logs:PutLogEvents", f"{LOGS}:vaporforge-test-gateway-0abcdef:log-stream:x", {}),
    ("gateway-start", "ecr:PutImage", f"{REPOSITORY}/vaporforge-test-gateway-0abcdef", {}),
    ("gateway-start", "secretsmanager:GetSecretValue", f"{SECRET}-of-another", {}),
]


def policies(role: str) -> list[str]:
    """Of the role of a part."""
    return [
        item.inputs["policy"]
        for item in aws_program().of_type(":RolePolicy")
        if item.inputs["role"] == f"vaporforge-test-{role}-id"
    ]


@pytest.mark.parametrize(("role", "action", "resource", "context"), ALLOWED)
def test_a_role_may(role: str, action: str, resource: str, context: dict[str, str]) -> None:
    assert allows(policies(role), action, resource, context)


@pytest.mark.parametrize(("role", "action", "resource", "context"), DENIED)
def test_a_role_may_not(role: str, action: str, resource: str, context: dict[str, str]) -> None:
    assert policies(role)
    assert not allows(policies(role), action, resource, context)


def test_a_sandbox_may_nothing_whoever_allows_it() -> None:
    [policy] = policies("sandbox")
    assert json.loads(policy)["Statement"] == [{"Effect": "Deny", "Action": "*", "Resource": "*"}]


def test_no_action_is_a_pattern_and_a_resource_is_one_only_where_aws_knows_no_other() -> None:
    for role in ("gateway", "gateway-start", "sandbox-start"):
        for policy in policies(role):
            for statement in json.loads(policy)["Statement"]:
                actions = statement["Action"]
                actions = actions if isinstance(actions, list) else [actions]
                assert not [action for action in actions if "*" in action]
                if statement["Resource"] == "*":
                    assert actions in (["ecr:GetAuthorizationToken"], ["ecs:ListTasks"])


def test_roles_are_had_by_tasks_of_this_account_alone() -> None:
    roles = aws_program().of_type(":Role")
    assert {role_of(item) for item in roles} == {"gateway", "gateway-start", "sandbox", "sandbox-start"}
    for role in roles:
        assert not role.inputs.keys() & {"managedPolicyArns", "inlinePolicies"}
        [statement] = json.loads(role.inputs["assumeRolePolicy"])["Statement"]
        assert statement == {
            "Effect": "Allow",
            "Principal": {"Service": "ecs-tasks.amazonaws.com"},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"aws:SourceAccount": "123456789012"}},
        }


def test_a_table_of_ones_own_choice_is_the_one_that_gateways_may_use() -> None:
    stack = aws_program(dynamodb="aws", dynamodbTable="restored")
    [policy] = [item for item in stack.of_type(":RolePolicy") if item.name == "vaporforge-test-gateway"]
    restored = "arn:aws:dynamodb:us-east-1:123456789012:table/restored"
    assert allows([policy.inputs["policy"]], "dynamodb:GetItem", restored, {})
    assert not allows([policy.inputs["policy"]], "dynamodb:GetItem", TABLE, {})
