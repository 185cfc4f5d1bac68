"""Application Auto Scaling, which ministack lacks: keeps what it is told, and never scales."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

TARGET: Final = "AnyScaleFrontendService."
"""Before the operation, in X-Amz-Target."""

ARN: Final = "arn:aws:application-autoscaling:us-east-1:000000000000:"

Body = dict[str, Any]


class _RefusedError(Exception):
    """`code`: the service's exception."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class StandInScaling:
    """Scalable targets and their policies (its API reference; of what the program's resources need)."""

    def __init__(self) -> None:
        self.targets: dict[str, Body] = {}
        self.policies: dict[tuple[str, str], Body] = {}
        self._tags: dict[str, dict[str, str]] = {}

    def answer(self, operation: str, body: bytes) -> web.Response:
        """`operation`: such as `RegisterScalableTarget`."""
        operations = {
            "RegisterScalableTarget": self._register,
            "DescribeScalableTargets": self._described,
            "DeregisterScalableTarget": self._deregister,
            "PutScalingPolicy": self._put,
            "DescribeScalingPolicies": self._policies,
            "DeleteScalingPolicy": self._delete,
            "ListTagsForResource": lambda asked: {"Tags": self._tags[asked["ResourceARN"]]},
            "TagResource": self._tag,
            "UntagResource": self._untag,
        }
        try:
            told = operations[operation](json.loads(body))
        except _RefusedError as error:
            told = {"__type": error.code, "message": str(error)}
            return web.json_response(told, status=400, content_type="application/x-amz-json-1.1")
        return web.json_response(told, content_type="application/x-amz-json-1.1")

    def _register(self, asked: Body) -> Body:
        key = _key(asked)
        arn = f"{ARN}scalable-target/{len(self.targets)}"
        kept = self.targets.setdefault(key, {"ScalableTargetARN": arn, "RoleARN": "", "CreationTime": 0})
        kept |= {name: value for name, value in asked.items() if name != "Tags"}
        self._tags.setdefault(kept["ScalableTargetARN"], {}).update(asked.get("Tags") or {})
        return {"ScalableTargetARN": kept["ScalableTargetARN"]}

    def _described(self, asked: Body) -> Body:
        wanted = asked.get("ResourceIds")
        found = [target for target in self.targets.values() if not wanted or target["ResourceId"] in wanted]
        return {"ScalableTargets": found}

    def _deregister(self, asked: Body) -> Body:
        self._known(asked)
        target = self.targets.pop(_key(asked))
        del self._tags[target["ScalableTargetARN"]]
        self.policies = {key: value for key, value in self.policies.items() if key[0] != _key(asked)}
        return {}

    def _put(self, asked: Body) -> Body:
        self._known(asked)
        name = asked["PolicyName"]
        arn = f"{ARN}scalingPolicy:{name}"
        self.policies[_key(asked), name] = {**asked, "PolicyARN": arn, "CreationTime": 0}
        return {"PolicyARN": arn, "Alarms": []}

    def _policies(self, asked: Body) -> Body:
        wanted = asked.get("PolicyNames")
        found = [value for (_, name), value in self.policies.items() if not wanted or name in wanted]
        return {"ScalingPolicies": found}

    def _delete(self, asked: Body) -> Body:
        if self.policies.pop((_key(asked), asked["PolicyName"]), None) is None:
            raise _RefusedError("ObjectNotFoundException", f"No scaling policy {asked['PolicyName']}")
        return {}

    def _tag(self, asked: Body) -> Body:
        self._tags[asked["ResourceARN"]] |= asked["Tags"]
        return {}

    def _untag(self, asked: Body) -> Body:
        for key in asked["TagKeys"]:
            self._tags[asked["ResourceARN"]].pop(key, None)
        return {}

    def _known(self, asked: Body) -> None:
        if _key(asked) not in self.targets:
            raise _RefusedError("ObjectNotFoundException", f"No scalable target {_key(asked)}")


def _key(asked: Mapping[str, Any]) -> str:
    return f"{asked['ServiceNamespace']}|{asked['ResourceId']}|{asked['ScalableDimension']}"
