"""Rows of ECS and ECR: repositories, cluster, task definitions and the service."""

from __future__ import annotations

import json
from typing import Any, Final

from infra.plugin.properties import Properties
from infra.plugin.resource import MissingError, PluginError
from tests.aws.plugin.row import Call, Row, names
from tests.aws.plugin.rows.ec2 import one
from tests.aws.plugin.tags import pairs, retag, unpaired


def _make_repository(call: Call) -> str:
    given = call.given
    [encryption] = given["encryptionConfigurations"]
    call.aws.create_repository(
        repositoryName=given["name"],
        imageTagMutability=given["imageTagMutability"],
        imageScanningConfiguration={"scanOnPush": given["imageScanningConfiguration"]["scanOnPush"]},
        encryptionConfiguration={"encryptionType": encryption["encryptionType"]},
        tags=pairs(given.get("tags")),
    )
    return str(given["name"])


def _find_repository(call: Call) -> Properties:
    found = one(call.aws.describe_repositories(repositoryNames=[call.id])["repositories"])
    arn = found["repositoryArn"]
    return {
        "name": call.id,
        "imageTagMutability": found["imageTagMutability"],
        "imageScanningConfiguration": {"scanOnPush": found["imageScanningConfiguration"]["scanOnPush"]},
        "encryptionConfigurations": [{"encryptionType": found["encryptionConfiguration"]["encryptionType"]}],
        "tags": unpaired(call.aws.list_tags_for_resource(resourceArn=arn)["tags"]),
        "arn": arn,
        "repositoryUrl": found["repositoryUri"],
        "registryId": found["registryId"],
    }


def _change_repository(call: Call) -> None:
    given, arn = call.given, call.was["arn"]
    call.aws.put_image_tag_mutability(repositoryName=call.id, imageTagMutability=given["imageTagMutability"])
    call.aws.put_image_scanning_configuration(
        repositoryName=call.id,
        imageScanningConfiguration={"scanOnPush": given["imageScanningConfiguration"]["scanOnPush"]},
    )
    retag(
        call,
        lambda tags: call.aws.tag_resource(resourceArn=arn, tags=pairs(tags)),
        lambda gone: call.aws.untag_resource(resourceArn=arn, tagKeys=gone),
    )


REPOSITORY: Final = Row(
    service="ecr",
    inputs=names(
        "name imageTagMutability imageScanningConfiguration encryptionConfigurations forceDelete tags"
    ),
    required=names("imageTagMutability imageScanningConfiguration encryptionConfigurations"),
    replaces=names("name encryptionConfigurations"),
    outputs=names("arn repositoryUrl registryId"),
    auto_named=True,
    silent=names("forceDelete"),
    make=_make_repository,
    find=_find_repository,
    change=_change_repository,
    remove=lambda call: call.aws.delete_repository(
        repositoryName=call.id, force=bool(call.given.get("forceDelete"))
    ),
)


def _put_lifecycle(call: Call) -> str:
    repository = str(call.given["repository"])
    call.aws.put_lifecycle_policy(repositoryName=repository, lifecyclePolicyText=call.given["policy"])
    return repository


LIFECYCLE_POLICY: Final = Row(
    service="ecr",
    inputs=names("repository policy"),
    required=names("repository policy"),
    replaces=names("repository"),
    make=_put_lifecycle,
    find=lambda call: {
        "repository": call.id,
        "policy": call.aws.get_lifecycle_policy(repositoryName=call.id)["lifecyclePolicyText"],
    },
    change=_put_lifecycle,
    remove=lambda call: call.aws.delete_lifecycle_policy(repositoryName=call.id),
)


def _retagged(call: Call) -> None:
    arn = call.was["arn"]
    retag(
        call,
        lambda tags: call.aws.tag_resource(resourceArn=arn, tags=pairs(tags, "key", "value")),
        lambda gone: call.aws.untag_resource(resourceArn=arn, tagKeys=gone),
    )


def _tags(call: Call, arn: str) -> dict[str, str]:
    return unpaired(call.aws.list_tags_for_resource(resourceArn=arn)["tags"], "key", "value")


def _make_cluster(call: Call) -> str:
    made = call.aws.create_cluster(
        clusterName=call.given["name"],
        settings=call.given["settings"],
        tags=pairs(call.given.get("tags"), "key", "value"),
    )
    return str(made["cluster"]["clusterArn"])


def _cluster(call: Call, name: str) -> Any:
    found = one(call.aws.describe_clusters(clusters=[name], include=["SETTINGS"])["clusters"])
    if found["status"] == "INACTIVE":
        raise MissingError
    return found


def _find_cluster(call: Call) -> Properties:
    found = _cluster(call, call.id)
    return {
        "name": found["clusterName"],
        "settings": found["settings"],
        "tags": _tags(call, call.id),
        "arn": found["clusterArn"],
    }


def _change_cluster(call: Call) -> None:
    call.aws.update_cluster_settings(cluster=call.id, settings=call.given["settings"])
    _retagged(call)


def _remove_cluster(call: Call) -> None:
    # As ECS; ministack lets a cluster go with what is in it.
    found = _cluster(call, call.id)
    for count in ("activeServicesCount", "pendingTasksCount", "runningTasksCount"):
        if found[count]:
            raise PluginError(f"ecs refused: {call.id} has {count} {found[count]}")
    call.aws.delete_cluster(cluster=call.id)


CLUSTER: Final = Row(
    service="ecs",
    inputs=names("name settings tags"),
    required=names("settings"),
    replaces=names("name"),
    outputs=names("arn"),
    auto_named=True,
    make=_make_cluster,
    find=_find_cluster,
    change=_change_cluster,
    remove=_remove_cluster,
)


def _put_providers(call: Call, providers: list[str]) -> str:
    name = str(call.given["clusterName"])
    call.aws.put_cluster_capacity_providers(
        cluster=name, capacityProviders=providers, defaultCapacityProviderStrategy=[]
    )
    return name


CAPACITY_PROVIDERS: Final = Row(
    service="ecs",
    inputs=names("clusterName capacityProviders"),
    required=names("clusterName capacityProviders"),
    replaces=names("clusterName"),
    sets=names("capacityProviders"),
    make=lambda call: _put_providers(call, call.given["capacityProviders"]),
    find=lambda call: {
        "clusterName": call.id,
        "capacityProviders": _cluster(call, call.id)["capacityProviders"],
    },
    change=lambda call: _put_providers(call, call.given["capacityProviders"]),
    remove=lambda call: _put_providers(call, []),
)


def _make_definition(call: Call) -> str:
    given = call.given
    platform = given["runtimePlatform"]
    made = call.aws.register_task_definition(
        family=given["family"],
        # botocore's model of a container's definition judges what the program has written as JSON.
        containerDefinitions=json.loads(given["containerDefinitions"]),
        taskRoleArn=given["taskRoleArn"],
        executionRoleArn=given["executionRoleArn"],
        cpu=given["cpu"],
        memory=given["memory"],
        networkMode=given["networkMode"],
        requiresCompatibilities=given["requiresCompatibilities"],
        runtimePlatform={
            "operatingSystemFamily": platform["operatingSystemFamily"],
            "cpuArchitecture": platform["cpuArchitecture"],
        },
        tags=pairs(given.get("tags"), "key", "value"),
    )
    return str(made["taskDefinition"]["taskDefinitionArn"])


def _find_definition(call: Call) -> Properties:
    answer = call.aws.describe_task_definition(taskDefinition=call.id, include=["TAGS"])
    found = answer["taskDefinition"]
    if found["status"] == "INACTIVE":
        raise MissingError
    return {
        "family": found["family"],
        "containerDefinitions": _definitions(call, found["containerDefinitions"]),
        **{
            key: found[key]
            for key in names(
                "taskRoleArn executionRoleArn cpu memory networkMode requiresCompatibilities runtimePlatform"
            )
            if key in found
        },
        "tags": unpaired(answer.get("tags"), "key", "value"),
        "arn": found["taskDefinitionArn"],
        "revision": found["revision"],
    }


def _definitions(call: Call, found: list[dict[str, Any]]) -> str:
    """Of each container what was given: ECS fills in the rest."""
    given = json.loads(call.given["containerDefinitions"])
    told = [
        {key: value for key, value in item.items() if key in wanted}
        for item, wanted in zip(found, given, strict=False)
    ]
    return json.dumps(told)


TASK_DEFINITION: Final = Row(
    service="ecs",
    inputs=names(
        "family containerDefinitions taskRoleArn executionRoleArn cpu memory networkMode requiresCompatibilities "
        "runtimePlatform tags"
    ),
    required=names("family containerDefinitions taskRoleArn executionRoleArn cpu memory runtimePlatform"),
    replaces=names(
        "family containerDefinitions taskRoleArn executionRoleArn cpu memory networkMode requiresCompatibilities "
        "runtimePlatform"
    ),
    outputs=names("arn revision"),
    make=_make_definition,
    find=_find_definition,
    change=_retagged,
    remove=lambda call: call.aws.deregister_task_definition(taskDefinition=call.id),
)
