"""The row of ECS's service: tasks that are kept running, waited for as the official plugin does."""

from __future__ import annotations

from typing import Any, Final

from infra.plugin.properties import Properties
from infra.plugin.resource import MissingError, PluginError
from tests.aws.plugin.row import Call, Row, names
from tests.aws.plugin.rows.ec2 import one
from tests.aws.plugin.tags import pairs, retag, unpaired

_AS_IT_IS: Final = {
    "taskDefinition": "taskDefinition",
    "desiredCount": "desiredCount",
    "availabilityZoneRebalancing": "availabilityZoneRebalancing",
    "healthCheckGracePeriodSeconds": "healthCheckGracePeriodSeconds",
    "enableExecuteCommand": "enableExecuteCommand",
    "enableEcsManagedTags": "enableECSManagedTags",
    "propagateTags": "propagateTags",
}
"""What update takes too, by input."""


def _asked(given: Properties) -> dict[str, Any]:
    network, breaker = given["networkConfiguration"], given["deploymentCircuitBreaker"]
    return {
        **{key: given[name] for name, key in _AS_IT_IS.items() if name in given},
        "deploymentConfiguration": {
            "minimumHealthyPercent": given["deploymentMinimumHealthyPercent"],
            "maximumPercent": given["deploymentMaximumPercent"],
            "deploymentCircuitBreaker": {"enable": breaker["enable"], "rollback": breaker["rollback"]},
        },
        "networkConfiguration": {
            "awsvpcConfiguration": {
                "subnets": network["subnets"],
                "securityGroups": network["securityGroups"],
                "assignPublicIp": "ENABLED" if network["assignPublicIp"] else "DISABLED",
            }
        },
        "loadBalancers": [
            {
                "targetGroupArn": item["targetGroupArn"],
                "containerName": item["containerName"],
                "containerPort": item["containerPort"],
            }
            for item in given["loadBalancers"]
        ],
        "serviceRegistries": [{"registryArn": given["serviceRegistries"]["registryArn"]}],
    }


def _make(call: Call) -> str:
    given = call.given
    made = call.aws.create_service(
        cluster=given["cluster"],
        serviceName=given["name"],
        launchType=given["launchType"],
        tags=pairs(given.get("tags"), "key", "value"),
        **_asked(given),
    )
    arn = str(made["service"]["serviceArn"])
    _wait(call, arn)
    return arn


def _service(call: Call, arn: str) -> Any:
    found = one(call.aws.describe_services(cluster=call.given["cluster"], services=[arn])["services"])
    if found["status"] == "INACTIVE":
        raise MissingError
    return found


def _wait(call: Call, arn: str) -> None:
    """Until its tasks are those of the task definition that it was given."""
    given = call.given
    if not given.get("waitForSteadyState"):
        return

    def steady() -> bool:
        found = _service(call, arn)
        if found["taskDefinition"] != given["taskDefinition"]:
            raise PluginError(f"{given['name']}: ECS went back to {found['taskDefinition']}")
        return len(found["deployments"]) == 1 and bool(found["runningCount"] == found["desiredCount"])

    call.wait(steady, f"a steady state of {given['name']}")


def _find(call: Call) -> Properties:
    found = _service(call, call.id)
    network = found["networkConfiguration"]["awsvpcConfiguration"]
    deployment = found["deploymentConfiguration"]
    return {
        **{name: found[key] for name, key in _AS_IT_IS.items() if key in found},
        "name": found["serviceName"],
        "cluster": found["clusterArn"],
        "launchType": found["launchType"],
        "deploymentMinimumHealthyPercent": deployment["minimumHealthyPercent"],
        "deploymentMaximumPercent": deployment["maximumPercent"],
        "deploymentCircuitBreaker": deployment["deploymentCircuitBreaker"],
        "networkConfiguration": {
            "subnets": network["subnets"],
            "securityGroups": network["securityGroups"],
            "assignPublicIp": network["assignPublicIp"] == "ENABLED",
        },
        "loadBalancers": found["loadBalancers"],
        "serviceRegistries": one(found["serviceRegistries"]),
        "tags": unpaired(call.aws.list_tags_for_resource(resourceArn=call.id)["tags"], "key", "value"),
        "arn": call.id,
    }


def _change(call: Call) -> None:
    call.aws.update_service(cluster=call.given["cluster"], service=call.id, **_asked(call.given))
    retag(
        call,
        lambda tags: call.aws.tag_resource(resourceArn=call.id, tags=pairs(tags, "key", "value")),
        lambda gone: call.aws.untag_resource(resourceArn=call.id, tagKeys=gone),
    )
    _wait(call, call.id)


def _remove(call: Call) -> None:
    cluster = call.given["cluster"]
    call.aws.update_service(cluster=cluster, service=call.id, desiredCount=0)
    call.aws.delete_service(cluster=cluster, service=call.id)
    call.wait(lambda: bool(_service(call, call.id)["status"] == "never"), "its end")


SERVICE: Final = Row(
    service="ecs",
    inputs=names(
        "name cluster launchType deploymentMinimumHealthyPercent deploymentMaximumPercent deploymentCircuitBreaker "
        "waitForSteadyState networkConfiguration loadBalancers serviceRegistries tags"
    )
    | _AS_IT_IS.keys(),
    required=names("cluster taskDefinition networkConfiguration loadBalancers serviceRegistries"),
    replaces=names("name cluster launchType"),
    outputs=names("arn"),
    auto_named=True,
    silent=names("waitForSteadyState"),
    make=_make,
    find=_find,
    change=_change,
    remove=_remove,
)
