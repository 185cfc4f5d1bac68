"""ECS in memory for unit tests: botocore's models validate requests and answers; what it answers is scripted."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import botocore.session
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator

from gateway.sandboxes.drivers.ecs.task import SESSION_TAG

if TYPE_CHECKING:
    from collections.abc import Sequence

    from botocore.model import Shape

MODEL: Final = botocore.session.get_session().get_service_model("ecs")
LIFE: Final = ("PROVISIONING", "PENDING", "ACTIVATING", "RUNNING")


def refusal(code: str, said: str, **more: Any) -> ClientError:
    """An error of the API."""
    answer: Any = {"Error": {"Code": code, "Message": said}, **more}
    return ClientError(answer, "RunTask")


class ScriptedEcs:
    """A boto3 client's methods, called from threads. A task goes on one step of its life each time it is described.

    `script`: what the next calls of RunTask do instead of starting a task: an error is raised, a text is a failure.
    `after`: errors that RunTask raises once it has started the task. `unlisted`: tasks that no listing has yet.
    """

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.address = address
        self.tasks: dict[str, dict[str, Any]] = {}
        self.calls: Counter[str] = Counter()
        self.requests: list[dict[str, Any]] = []
        self.script: list[Exception | str] = []
        self.after: list[Exception] = []
        self.unlisted: set[str] = set()
        self.lists_stopped = True
        self.life: Sequence[str] = LIFE
        self.clock = time.time()
        self._tokens: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
        self._lock = threading.Lock()

    # -- what boto3 has --
    def run_task(self, **request: Any) -> dict[str, Any]:
        with self._lock:
            self._validate("RunTask", request)
            self.requests.append(request)
            if self.script:
                outcome = self.script.pop(0)
                if isinstance(outcome, Exception):
                    raise outcome
                return self._answer("RunTask", {"tasks": [], "failures": [{"reason": outcome}]})
            task = self._of_token(request)
            if self.after:
                raise self.after.pop(0)
            return self._answer("RunTask", {"tasks": [task], "failures": []})

    def describe_tasks(self, **request: Any) -> dict[str, Any]:
        with self._lock:
            self._validate("DescribeTasks", request)
            assert len(request["tasks"]) <= 100
            assert request["include"] == ["TAGS"]
            found = [self.tasks[arn] for arn in request["tasks"] if arn in self.tasks]
            for task in found:
                self._advance(task)
            return self._answer("DescribeTasks", {"tasks": found, "failures": []})

    def list_tasks(self, **request: Any) -> dict[str, Any]:
        with self._lock:
            self._validate("ListTasks", request)
            wanted = request.get("desiredStatus", "RUNNING")
            if wanted == "STOPPED" and not self.lists_stopped:
                raise refusal("InvalidParameterException", "startedBy must be the only filter.")
            arns = [
                arn
                for arn, task in self.tasks.items()
                if task["desiredStatus"] == wanted and arn not in self.unlisted and _matches(task, request)
            ]
            start = int(request.get("nextToken", 0))
            page = arns[start : start + request.get("maxResults", 100)]
            end = start + len(page)
            return self._answer(
                "ListTasks", {"taskArns": page, **({"nextToken": str(end)} if end < len(arns) else {})}
            )

    def stop_task(self, **request: Any) -> dict[str, Any]:
        with self._lock:
            self._validate("StopTask", request)
            task = self.tasks.get(request["task"])
            if task is None:
                raise refusal("InvalidParameterException", "The referenced task was not found.")
            if task["desiredStatus"] == "RUNNING":
                task |= {"desiredStatus": "STOPPED", "lastStatus": "STOPPING", "stopCode": "UserInitiated"}
                task |= {"stoppedReason": request["reason"], "tags": []}
            return self._answer("StopTask", {"task": task})

    def close(self) -> None:
        """Nothing is open."""

    # -- what tests do to it --
    def end(self, arn: str, code: str, why: str, **container: Any) -> None:
        """A task ends by itself."""
        task = self.tasks[arn]
        task |= {
            "desiredStatus": "STOPPED",
            "lastStatus": "STOPPED",
            "stopCode": code,
            "stoppedReason": why,
        }
        task["containers"] = [{"name": "sandbox", **container}]

    def age(self, seconds: float) -> None:
        """Every task was started so much earlier."""
        for task in self.tasks.values():
            task["createdAt"] -= dt.timedelta(seconds=seconds)

    def live(self) -> list[str]:
        """The tasks that run or are to run, from the oldest on."""
        return [arn for arn, task in self.tasks.items() if task["desiredStatus"] == "RUNNING"]

    def start(self, request: dict[str, Any]) -> str:
        """Start a task, whatever tokens there are."""
        self.clock += 1
        arn = f"arn:aws:ecs:eu-west-1:123456789012:task/stack/{len(self.tasks):032x}"
        self.tasks[arn] = {
            "taskArn": arn,
            "taskDefinitionArn": request["taskDefinition"],
            "startedBy": request["startedBy"],
            "tags": request["tags"],
            "overrides": request["overrides"],
            "desiredStatus": "RUNNING",
            "lastStatus": self.life[0],
            "createdAt": dt.datetime.fromtimestamp(self.clock, dt.UTC),
            "attachments": [],
        }
        return arn

    def told(self, session: str) -> dict[str, str]:
        """The environment of the session's live task."""
        for arn in self.live():
            task = self.tasks[arn]
            if {"key": SESSION_TAG, "value": session} in task["tags"]:
                (override,) = task["overrides"]["containerOverrides"]
                return {variable["name"]: variable["value"] for variable in override["environment"]}
        return {}

    def _of_token(self, request: dict[str, Any]) -> dict[str, Any]:
        """The task as the token's first request was told of it."""
        before, task = self._tokens.get(request["clientToken"], (request, {}))
        if before != request:
            raise refusal("ConflictException", "The client token is in use.", resourceIds=[task["taskArn"]])
        task = task or dict(self.tasks[self.start(request)])
        self._tokens[request["clientToken"]] = (request, task)
        return task

    def _advance(self, task: dict[str, Any]) -> None:
        last = task["lastStatus"]
        if last == "STOPPING":
            task["lastStatus"] = "DEPROVISIONING"
        elif last in self.life and last != self.life[-1]:
            task["lastStatus"] = self.life[self.life.index(last) + 1]
            details = [{"name": "privateIPv4Address", "value": self.address}]
            task["attachments"] = [{"type": "ElasticNetworkInterface", "details": details}]
            if task["lastStatus"] == "RUNNING":
                task["startedAt"] = dt.datetime.fromtimestamp(self.clock + 30, dt.UTC)

    def _validate(self, operation: str, request: dict[str, Any]) -> None:
        self.calls[operation] += 1
        _check(request, MODEL.operation_model(operation).input_shape)

    def _answer(self, operation: str, answer: dict[str, Any]) -> dict[str, Any]:
        _check(answer, MODEL.operation_model(operation).output_shape)
        return {**answer, "tasks": [dict(task) for task in answer["tasks"]]} if "tasks" in answer else answer


def _check(value: dict[str, Any], shape: Shape | None) -> None:
    assert shape is not None
    report = ParamValidator().validate(value, shape)
    assert not report.has_errors(), report.generate_report()


def _matches(task: dict[str, Any], request: dict[str, Any]) -> bool:
    if "family" in request:
        return f"/{request['family']}:" in task["taskDefinitionArn"]
    return bool(task["startedBy"] == request["startedBy"])
