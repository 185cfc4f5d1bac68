"""Rows of S3: the bucket, and its settings, each a resource of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from infra.plugin.properties import Properties
from infra.plugin.resource import PluginError
from tests.aws.plugin.row import Call, Row, names
from tests.aws.plugin.tags import pairs, unpaired


def _make_bucket(call: Call) -> str:
    name = str(call.given["bucket"])
    call.aws.create_bucket(Bucket=name)
    _tag(call, name)
    return name


def _tag(call: Call, name: str) -> None:
    if call.given.get("tags"):
        call.aws.put_bucket_tagging(Bucket=name, Tagging={"TagSet": pairs(call.given["tags"])})


def _find_bucket(call: Call) -> Properties:
    call.aws.head_bucket(Bucket=call.id)
    tags = call.aws.get_bucket_tagging(Bucket=call.id)["TagSet"]
    return {"bucket": call.id, "tags": unpaired(tags), "arn": f"arn:aws:s3:::{call.id}"}


def _remove_bucket(call: Call) -> None:
    versions = call.aws.get_paginator("list_object_versions")
    there = [
        {"Key": item["Key"], "VersionId": item["VersionId"]}
        for page in versions.paginate(Bucket=call.id)
        for item in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
    ]
    if there and not call.given.get("forceDestroy"):
        raise PluginError(f"the bucket {call.id} is not empty, and forceDestroy is not set")
    for start in range(0, len(there), 1000):
        call.aws.delete_objects(Bucket=call.id, Delete={"Objects": there[start : start + 1000]})
    call.aws.delete_bucket(Bucket=call.id)


BUCKET: Final = Row(
    service="s3",
    inputs=names("bucket forceDestroy tags"),
    replaces=names("bucket"),
    outputs=names("arn"),
    auto_named=True,
    named="bucket",
    silent=names("forceDestroy"),
    make=_make_bucket,
    find=_find_bucket,
    change=lambda call: _tag(call, call.id),
    remove=_remove_bucket,
)


def _setting(
    inputs: str,
    put: Callable[[Call, str], Any],
    get: Callable[[Call], Properties],
    delete: Callable[[Call], Any],
) -> Row:
    """A setting of a bucket: its id is the bucket's."""

    def make(call: Call) -> str:
        put(call, call.given["bucket"])
        return str(call.given["bucket"])

    def change(call: Call) -> None:
        put(call, call.id)

    return Row(
        service="s3",
        inputs=names(inputs) | {"bucket"},
        required=names("bucket"),
        replaces=names("bucket"),
        make=make,
        find=lambda call: {"bucket": call.id, **get(call)},
        change=change,
        remove=delete,
    )


_BLOCKED: Final = {
    "blockPublicAcls": "BlockPublicAcls",
    "blockPublicPolicy": "BlockPublicPolicy",
    "ignorePublicAcls": "IgnorePublicAcls",
    "restrictPublicBuckets": "RestrictPublicBuckets",
}


def _blocked(call: Call) -> Properties:
    found = call.aws.get_public_access_block(Bucket=call.id)["PublicAccessBlockConfiguration"]
    return {name: found[key] for name, key in _BLOCKED.items()}


PUBLIC_ACCESS_BLOCK: Final = _setting(
    " ".join(_BLOCKED),
    lambda call, bucket: call.aws.put_public_access_block(
        Bucket=bucket,
        PublicAccessBlockConfiguration={key: call.given[name] for name, key in _BLOCKED.items()},
    ),
    _blocked,
    lambda call: call.aws.delete_public_access_block(Bucket=call.id),
)


def _owned(call: Call) -> Properties:
    found = call.aws.get_bucket_ownership_controls(Bucket=call.id)["OwnershipControls"]["Rules"]
    return {"rule": {"objectOwnership": found[0]["ObjectOwnership"]}}


OWNERSHIP_CONTROLS: Final = _setting(
    "rule",
    lambda call, bucket: call.aws.put_bucket_ownership_controls(
        Bucket=bucket,
        OwnershipControls={"Rules": [{"ObjectOwnership": call.given["rule"]["objectOwnership"]}]},
    ),
    _owned,
    lambda call: call.aws.delete_bucket_ownership_controls(Bucket=call.id),
)

VERSIONING: Final = _setting(
    "versioningConfiguration",
    lambda call, bucket: call.aws.put_bucket_versioning(
        Bucket=bucket,
        VersioningConfiguration={"Status": call.given["versioningConfiguration"]["status"]},
    ),
    lambda call: {
        "versioningConfiguration": {
            "status": call.aws.get_bucket_versioning(Bucket=call.id).get("Status", "")
        }
    },
    lambda call: call.aws.put_bucket_versioning(
        Bucket=call.id, VersioningConfiguration={"Status": "Suspended"}
    ),
)


def _encrypt(call: Call, bucket: str) -> None:
    rules = []
    for rule in call.given["rules"]:
        how = rule["applyServerSideEncryptionByDefault"]
        default = {"SSEAlgorithm": how["sseAlgorithm"], "KMSMasterKeyID": how["kmsMasterKeyId"]}
        rules.append(
            {"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": rule["bucketKeyEnabled"]}
        )
    call.aws.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": rules})


def _encrypted(call: Call) -> Properties:
    found = call.aws.get_bucket_encryption(Bucket=call.id)["ServerSideEncryptionConfiguration"]["Rules"]
    return {
        "rules": [
            {
                "applyServerSideEncryptionByDefault": {
                    "sseAlgorithm": rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"],
                    "kmsMasterKeyId": rule["ApplyServerSideEncryptionByDefault"].get("KMSMasterKeyID"),
                },
                "bucketKeyEnabled": rule.get("BucketKeyEnabled", False),
            }
            for rule in found
        ]
    }


ENCRYPTION: Final = _setting(
    "rules",
    _encrypt,
    _encrypted,
    lambda call: call.aws.delete_bucket_encryption(Bucket=call.id),
)

_ENDS: Final = {
    "abortIncompleteMultipartUpload": (
        "AbortIncompleteMultipartUpload",
        {"daysAfterInitiation": "DaysAfterInitiation"},
    ),
    "noncurrentVersionExpiration": ("NoncurrentVersionExpiration", {"noncurrentDays": "NoncurrentDays"}),
    "expiration": ("Expiration", {"expiredObjectDeleteMarker": "ExpiredObjectDeleteMarker"}),
}
"""Parts of a lifecycle's rule: theirs and ours."""


def _keep(call: Call, bucket: str) -> None:
    rules = []
    for rule in call.given["rules"]:
        asked: dict[str, Any] = {
            "ID": rule["id"],
            "Status": rule["status"],
            "Filter": {"Prefix": rule["filter"]["prefix"]},
        }
        for name, (key, inside) in _ENDS.items():
            if name in rule:
                asked[key] = {inside[part]: value for part, value in rule[name].items()}
        rules.append(asked)
    call.aws.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})


def _rule_told(found: Mapping[str, Any]) -> Properties:
    told: Properties = {
        "id": found["ID"],
        "status": found["Status"],
        "filter": {"prefix": (found.get("Filter") or {}).get("Prefix", "")},
    }
    for name, (key, inside) in _ENDS.items():
        if key in found:
            told[name] = {part: found[key].get(theirs) for part, theirs in inside.items()}
    return told


def _kept(call: Call) -> Properties:
    found = call.aws.get_bucket_lifecycle_configuration(Bucket=call.id)["Rules"]
    return {"rules": [_rule_told(rule) for rule in found]}


LIFECYCLE: Final = _setting(
    "rules", _keep, _kept, lambda call: call.aws.delete_bucket_lifecycle(Bucket=call.id)
)

POLICY: Final = _setting(
    "policy",
    lambda call, bucket: call.aws.put_bucket_policy(Bucket=bucket, Policy=call.given["policy"]),
    lambda call: {"policy": call.aws.get_bucket_policy(Bucket=call.id)["Policy"]},
    lambda call: call.aws.delete_bucket_policy(Bucket=call.id),
)
