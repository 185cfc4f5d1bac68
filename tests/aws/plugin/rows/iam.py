"""Rows of IAM and KMS: roles, what they may do, and the key."""

from __future__ import annotations

import json
from typing import Final

from infra.plugin.properties import Properties
from infra.plugin.resource import MissingError
from tests.aws.plugin.row import Call, Row, names
from tests.aws.plugin.tags import pairs, retag, unpaired


def _make_role(call: Call) -> str:
    made = call.aws.create_role(
        RoleName=call.given["name"],
        Description=call.given["description"],
        AssumeRolePolicyDocument=call.given["assumeRolePolicy"],
        Tags=pairs(call.given.get("tags")),
    )
    return str(made["Role"]["RoleName"])


def _find_role(call: Call) -> Properties:
    found = call.aws.get_role(RoleName=call.id)["Role"]
    return {
        "name": found["RoleName"],
        "description": found["Description"],
        "assumeRolePolicy": json.dumps(found["AssumeRolePolicyDocument"]),
        "tags": unpaired(call.aws.list_role_tags(RoleName=call.id)["Tags"]),
        "arn": found["Arn"],
    }


def _change_role(call: Call) -> None:
    call.aws.update_assume_role_policy(RoleName=call.id, PolicyDocument=call.given["assumeRolePolicy"])
    call.aws.update_role(RoleName=call.id, Description=call.given["description"])
    retag(
        call,
        lambda tags: call.aws.tag_role(RoleName=call.id, Tags=pairs(tags)),
        lambda gone: call.aws.untag_role(RoleName=call.id, TagKeys=gone),
    )


ROLE: Final = Row(
    service="iam",
    inputs=names("name description assumeRolePolicy tags"),
    required=names("description assumeRolePolicy"),
    replaces=names("name"),
    outputs=names("arn"),
    auto_named=True,
    make=_make_role,
    find=_find_role,
    change=_change_role,
    remove=lambda call: call.aws.delete_role(RoleName=call.id),
)


def _put_policy(call: Call) -> str:
    given = call.given
    call.aws.put_role_policy(RoleName=given["role"], PolicyName=given["name"], PolicyDocument=given["policy"])
    return f"{given['role']}:{given['name']}"


def _find_policy(call: Call) -> Properties:
    role, _, name = call.id.partition(":")
    found = call.aws.get_role_policy(RoleName=role, PolicyName=name)
    return {
        "role": found["RoleName"],
        "name": found["PolicyName"],
        "policy": json.dumps(found["PolicyDocument"]),
    }


ROLE_POLICY: Final = Row(
    service="iam",
    inputs=names("name role policy"),
    required=names("role policy"),
    replaces=names("name role"),
    auto_named=True,
    make=_put_policy,
    find=_find_policy,
    change=_put_policy,
    remove=lambda call: call.aws.delete_role_policy(
        RoleName=call.id.partition(":")[0], PolicyName=call.id.partition(":")[2]
    ),
)


def _make_key(call: Call) -> str:
    made = call.aws.create_key(
        Description=call.given["description"],
        Policy=call.given["policy"],
        Tags=pairs(call.given.get("tags"), "TagKey", "TagValue"),
    )
    key = str(made["KeyMetadata"]["KeyId"])
    _rotate(call, key)
    return key


def _rotate(call: Call, key: str) -> None:
    if call.given.get("enableKeyRotation"):
        call.aws.enable_key_rotation(KeyId=key)
    elif call.id:
        call.aws.disable_key_rotation(KeyId=key)


def _find_key(call: Call) -> Properties:
    found = call.aws.describe_key(KeyId=call.id)["KeyMetadata"]
    if found["KeyState"] == "PendingDeletion":
        raise MissingError
    return {
        "description": found["Description"],
        "policy": call.aws.get_key_policy(KeyId=call.id, PolicyName="default")["Policy"],
        "enableKeyRotation": call.aws.get_key_rotation_status(KeyId=call.id)["KeyRotationEnabled"],
        "tags": unpaired(call.aws.list_resource_tags(KeyId=call.id)["Tags"], "TagKey", "TagValue"),
        "arn": found["Arn"],
        "keyId": found["KeyId"],
    }


def _change_key(call: Call) -> None:
    call.aws.update_key_description(KeyId=call.id, Description=call.given["description"])
    call.aws.put_key_policy(KeyId=call.id, PolicyName="default", Policy=call.given["policy"])
    _rotate(call, call.id)
    retag(
        call,
        lambda tags: call.aws.tag_resource(KeyId=call.id, Tags=pairs(tags, "TagKey", "TagValue")),
        lambda gone: call.aws.untag_resource(KeyId=call.id, TagKeys=gone),
    )


KEY: Final = Row(
    service="kms",
    inputs=names("description policy enableKeyRotation deletionWindowInDays tags"),
    required=names("description policy"),
    outputs=names("arn keyId"),
    silent=names("deletionWindowInDays"),
    make=_make_key,
    find=_find_key,
    change=_change_key,
    remove=lambda call: call.aws.schedule_key_deletion(
        KeyId=call.id, PendingWindowInDays=call.given["deletionWindowInDays"]
    ),
)
