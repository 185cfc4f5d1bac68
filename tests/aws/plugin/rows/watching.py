"""Rows of CloudWatch and Application Auto Scaling: alarms, the dashboard, how many gateways there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from infra.plugin.properties import Properties
from tests.aws.plugin.row import Call, Row, names
from tests.aws.plugin.rows.ec2 import one
from tests.aws.plugin.tags import pairs, retag, unpaired

_ALARM: Final = {
    "name": "AlarmName",
    "alarmDescription": "AlarmDescription",
    "namespace": "Namespace",
    "metricName": "MetricName",
    "statistic": "Statistic",
    "period": "Period",
    "evaluationPeriods": "EvaluationPeriods",
    "threshold": "Threshold",
    "comparisonOperator": "ComparisonOperator",
    "treatMissingData": "TreatMissingData",
    "alarmActions": "AlarmActions",
    "okActions": "OKActions",
}


def _put_alarm(call: Call) -> str:
    given = call.given
    call.aws.put_metric_alarm(
        Dimensions=pairs(given["dimensions"], "Name"),
        Tags=pairs(given.get("tags")),
        **{key: given[name] for name, key in _ALARM.items() if name in given},
    )
    return str(given["name"])


def _find_alarm(call: Call) -> Properties:
    found = one(call.aws.describe_alarms(AlarmNames=[call.id])["MetricAlarms"])
    arn = found["AlarmArn"]
    return {
        **{name: found[key] for name, key in _ALARM.items() if key in found},
        "dimensions": unpaired(found["Dimensions"], "Name"),
        "tags": unpaired(call.aws.list_tags_for_resource(ResourceARN=arn)["Tags"]),
        "arn": arn,
    }


def _change_alarm(call: Call) -> None:
    _put_alarm(call)
    arn = call.was["arn"]
    retag(
        call,
        lambda tags: call.aws.tag_resource(ResourceARN=arn, Tags=pairs(tags)),
        lambda gone: call.aws.untag_resource(ResourceARN=arn, TagKeys=gone),
    )


METRIC_ALARM: Final = Row(
    service="cloudwatch",
    inputs=names("dimensions tags") | _ALARM.keys(),
    required=names("namespace metricName dimensions evaluationPeriods comparisonOperator"),
    replaces=names("name"),
    outputs=names("arn"),
    auto_named=True,
    make=_put_alarm,
    find=_find_alarm,
    change=_change_alarm,
    remove=lambda call: call.aws.delete_alarms(AlarmNames=[call.id]),
)


def _put_dashboard(call: Call) -> str:
    name = str(call.given["dashboardName"])
    call.aws.put_dashboard(DashboardName=name, DashboardBody=call.given["dashboardBody"])
    return name


def _find_dashboard(call: Call) -> Properties:
    found = call.aws.get_dashboard(DashboardName=call.id)
    return {"dashboardName": call.id, "dashboardBody": found["DashboardBody"]}


DASHBOARD: Final = Row(
    service="cloudwatch",
    inputs=names("dashboardName dashboardBody"),
    required=names("dashboardName dashboardBody"),
    replaces=names("dashboardName"),
    make=_put_dashboard,
    find=_find_dashboard,
    change=_put_dashboard,
    remove=lambda call: call.aws.delete_dashboards(DashboardNames=[call.id]),
)


def _scaled(given: Properties) -> dict[str, str]:
    return {
        "ServiceNamespace": given["serviceNamespace"],
        "ResourceId": given["resourceId"],
        "ScalableDimension": given["scalableDimension"],
    }


def _register(call: Call) -> str:
    given = call.given
    # Tags are taken when it is made; afterwards they have a call of their own.
    tags = {} if call.id else {"Tags": given.get("tags") or {}}
    call.aws.register_scalable_target(
        MinCapacity=given["minCapacity"], MaxCapacity=given["maxCapacity"], **_scaled(given), **tags
    )
    return str(given["resourceId"])


def _find_target(call: Call) -> Properties:
    scaled = _scaled(call.given)
    found = one(
        call.aws.describe_scalable_targets(
            ServiceNamespace=scaled["ServiceNamespace"],
            ResourceIds=[scaled["ResourceId"]],
            ScalableDimension=scaled["ScalableDimension"],
        )["ScalableTargets"]
    )
    arn = found["ScalableTargetARN"]
    return {
        "serviceNamespace": found["ServiceNamespace"],
        "resourceId": found["ResourceId"],
        "scalableDimension": found["ScalableDimension"],
        "minCapacity": found["MinCapacity"],
        "maxCapacity": found["MaxCapacity"],
        "tags": call.aws.list_tags_for_resource(ResourceARN=arn)["Tags"],
        "arn": arn,
    }


def _change_target(call: Call) -> None:
    _register(call)
    arn = call.was["arn"]
    retag(
        call,
        lambda tags: call.aws.tag_resource(ResourceARN=arn, Tags=tags),
        lambda gone: call.aws.untag_resource(ResourceARN=arn, TagKeys=gone),
    )


SCALING_TARGET: Final = Row(
    service="application-autoscaling",
    inputs=names("serviceNamespace resourceId scalableDimension minCapacity maxCapacity tags"),
    required=names("serviceNamespace resourceId scalableDimension minCapacity maxCapacity"),
    replaces=names("serviceNamespace resourceId scalableDimension"),
    outputs=names("arn"),
    make=_register,
    find=_find_target,
    change=_change_target,
    remove=lambda call: call.aws.deregister_scalable_target(**_scaled(call.given)),
)


def _tracking(given: Properties) -> dict[str, Any]:
    asked: dict[str, Any] = {
        "TargetValue": given["targetValue"],
        "ScaleOutCooldown": given["scaleOutCooldown"],
        "ScaleInCooldown": given["scaleInCooldown"],
    }
    if metric := given.get("predefinedMetricSpecification"):
        asked["PredefinedMetricSpecification"] = {"PredefinedMetricType": metric["predefinedMetricType"]}
    else:
        metric = given["customizedMetricSpecification"]
        asked["CustomizedMetricSpecification"] = {
            "Namespace": metric["namespace"],
            "MetricName": metric["metricName"],
            "Statistic": metric["statistic"],
            "Dimensions": [{"Name": item["name"], "Value": item["value"]} for item in metric["dimensions"]],
        }
    return asked


def _tracking_told(found: Mapping[str, Any]) -> Properties:
    told: Properties = {
        "targetValue": found["TargetValue"],
        "scaleOutCooldown": found["ScaleOutCooldown"],
        "scaleInCooldown": found["ScaleInCooldown"],
    }
    if metric := found.get("PredefinedMetricSpecification"):
        told["predefinedMetricSpecification"] = {"predefinedMetricType": metric["PredefinedMetricType"]}
    if metric := found.get("CustomizedMetricSpecification"):
        told["customizedMetricSpecification"] = {
            "namespace": metric["Namespace"],
            "metricName": metric["MetricName"],
            "statistic": metric["Statistic"],
            "dimensions": [{"name": item["Name"], "value": item["Value"]} for item in metric["Dimensions"]],
        }
    return told


def _put_policy(call: Call) -> str:
    given = call.given
    call.aws.put_scaling_policy(
        PolicyName=given["name"],
        PolicyType=given["policyType"],
        TargetTrackingScalingPolicyConfiguration=_tracking(given["targetTrackingScalingPolicyConfiguration"]),
        **_scaled(given),
    )
    return str(given["name"])


def _find_policy(call: Call) -> Properties:
    found = one(
        call.aws.describe_scaling_policies(PolicyNames=[call.id], **_scaled(call.given))["ScalingPolicies"]
    )
    return {
        "name": found["PolicyName"],
        "policyType": found["PolicyType"],
        "serviceNamespace": found["ServiceNamespace"],
        "resourceId": found["ResourceId"],
        "scalableDimension": found["ScalableDimension"],
        "targetTrackingScalingPolicyConfiguration": _tracking_told(
            found["TargetTrackingScalingPolicyConfiguration"]
        ),
        "arn": found["PolicyARN"],
    }


SCALING_POLICY: Final = Row(
    service="application-autoscaling",
    inputs=names(
        "name policyType serviceNamespace resourceId scalableDimension targetTrackingScalingPolicyConfiguration"
    ),
    required=names(
        "policyType serviceNamespace resourceId scalableDimension targetTrackingScalingPolicyConfiguration"
    ),
    replaces=names("name policyType serviceNamespace resourceId scalableDimension"),
    outputs=names("arn"),
    auto_named=True,
    make=_put_policy,
    find=_find_policy,
    change=_put_policy,
    remove=lambda call: call.aws.delete_scaling_policy(PolicyName=call.id, **_scaled(call.given)),
)
