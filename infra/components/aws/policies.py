"""What each role may do, as statements of IAM policies: every action on named resources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pulumi

from infra.components.aws.names import ROLE_TAG, STACK_TAG

Statement = Mapping[str, Any]

VERSION: Final = "2012-10-17"

DATA_KEY: Final = "vaporforge:data-key"
"""What gateways tell KMS a data key's name as."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """ARNs of what the gateways use. `family`: of the sandboxes' task definition, any revision of it. `tasks`: every
    task of the cluster. `passed`: the roles that a sandbox's task is started with."""

    stack_id: str
    region: str
    table: pulumi.Input[str]
    bucket: pulumi.Input[str]
    key: pulumi.Input[str]
    cluster: pulumi.Input[str]
    family: pulumi.Input[str]
    tasks: pulumi.Input[str]
    passed: tuple[pulumi.Input[str], ...]


def document(*statements: Statement) -> pulumi.Output[str]:
    """A policy's text."""
    return pulumi.Output.json_dumps({"Version": VERSION, "Statement": list(statements)})


def assumed_by_tasks(account: pulumi.Input[str]) -> pulumi.Output[str]:
    """Who may have a role: tasks of ECS, of this account."""
    return document(
        {
            "Effect": "Allow",
            "Principal": {"Service": "ecs-tasks.amazonaws.com"},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"aws:SourceAccount": account}},
        }
    )


def nothing() -> pulumi.Output[str]:
    """Also what a policy of somebody else's resource might allow the account's roles."""
    return document({"Effect": "Deny", "Action": "*", "Resource": "*"})


def gateway(named: Named) -> pulumi.Output[str]:
    """What gateways do: the store, snapshots, sandboxes, and their own protection while they record runs."""
    return document(*_store(named), *_sandboxes(named), _protection(named))


def _store(named: Named) -> tuple[Statement, ...]:
    return (
        {
            "Effect": "Allow",
            "Action": [
                "dynamodb:BatchGetItem",
                "dynamodb:BatchWriteItem",
                "dynamodb:ConditionCheckItem",
                "dynamodb:DeleteItem",
                "dynamodb:GetItem",
                "dynamodb:PutItem",
                "dynamodb:Query",
                "dynamodb:UpdateItem",
            ],
            "Resource": [named.table, pulumi.Output.concat(named.table, "/index/*")],
        },
        {
            "Effect": "Allow",
            "Action": ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:PutObject"],
            "Resource": pulumi.Output.concat(named.bucket, "/*"),
        },
        {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": named.bucket},
        {
            "Effect": "Allow",
            "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
            "Resource": named.key,
            "Condition": {
                "StringEquals": {
                    "kms:ViaService": [
                        f"dynamodb.{named.region}.amazonaws.com",
                        f"s3.{named.region}.amazonaws.com",
                    ]
                }
            },
        },
        {
            "Effect": "Allow",
            "Action": ["kms:Decrypt", "kms:Encrypt"],
            "Resource": named.key,
            # Data keys alone (gateway/store/kms.py): nothing that was encrypted for table, bucket, secrets or logs.
            "Condition": {"StringLike": {f"kms:EncryptionContext:{DATA_KEY}": "*"}},
        },
    )


def _sandboxes(named: Named) -> tuple[Statement, ...]:
    here = {"ArnEquals": {"ecs:cluster": named.cluster}}
    return (
        {"Effect": "Allow", "Action": "ecs:RunTask", "Resource": named.family, "Condition": here},
        {
            "Effect": "Allow",
            "Action": "ecs:TagResource",
            "Resource": named.tasks,
            "Condition": {
                "StringEquals": {
                    "ecs:CreateAction": "RunTask",
                    f"aws:RequestTag/{STACK_TAG}": named.stack_id,
                    f"aws:RequestTag/{ROLE_TAG}": "sandbox",
                }
            },
        },
        {
            "Effect": "Allow",
            "Action": "ecs:StopTask",
            "Resource": named.tasks,
            "Condition": {
                **here,
                "StringEquals": {
                    f"aws:ResourceTag/{STACK_TAG}": named.stack_id,
                    f"aws:ResourceTag/{ROLE_TAG}": "sandbox",
                },
            },
        },
        {"Effect": "Allow", "Action": "ecs:DescribeTasks", "Resource": named.tasks, "Condition": here},
        # It has no resource of Fargate's that could be named (service authorization reference); the cluster it has.
        {"Effect": "Allow", "Action": "ecs:ListTasks", "Resource": "*", "Condition": here},
        {
            "Effect": "Allow",
            "Action": "iam:PassRole",
            "Resource": list(named.passed),
            "Condition": {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
        },
    )


def _protection(named: Named) -> Statement:
    return {
        "Effect": "Allow",
        "Action": "ecs:UpdateTaskProtection",
        "Resource": named.tasks,
        "Condition": {
            "ArnEquals": {"ecs:cluster": named.cluster},
            "StringEquals": {
                f"aws:ResourceTag/{STACK_TAG}": named.stack_id,
                f"aws:ResourceTag/{ROLE_TAG}": "gateway",
            },
        },
    }


def execution(
    repositories: Sequence[pulumi.Input[str]],
    log_group: pulumi.Input[str],
    *,
    region: str,
    secret: pulumi.Input[str] | None,
    key: pulumi.Input[str],
) -> pulumi.Output[str]:
    """What ECS does to start a task, before there is a container: pull its images, write one log, read one secret."""
    statements: list[Statement] = [
        # It has no resource (service authorization reference).
        {"Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*"},
        {
            "Effect": "Allow",
            "Action": ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            "Resource": list(repositories),
        },
        {
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": pulumi.Output.concat(log_group, ":*"),
        },
    ]
    if secret is not None:
        statements += [
            {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": secret},
            {
                "Effect": "Allow",
                "Action": "kms:Decrypt",
                "Resource": key,
                "Condition": {"StringEquals": {"kms:ViaService": f"secretsmanager.{region}.amazonaws.com"}},
            },
        ]
    return document(*statements)
