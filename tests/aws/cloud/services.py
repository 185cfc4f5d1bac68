"""Stands in for ECS's service scheduler as rolling updates go: in ministack a service's tasks know no load balancer's
health, and are told to end as soon as new ones have started, with 5 s to do so."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from docker.errors import APIError

from tests.aws.cloud.ministack import TASK_LABEL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.aws.cloud.balancer import StandInBalancer
    from tests.aws.cloud.ministack import Cloud

Body = dict[str, Any]

MOST_ENDED: Final = 5
"""Tasks of a service that may end by themselves before the scheduler gives up."""


@dataclass(slots=True)
class Task:
    """A task of a service. `leaving`: since when its target is leaving; `told`: since when its containers know."""

    arn: str
    definition: str
    address: str = ""
    leaving: float | None = None
    told: float | None = None


@dataclass(slots=True)
class Service:
    """`asked`: CreateService's arguments with UpdateService's over them. Requests replace it and `count` as a whole;
    `tasks` are the scheduler's."""

    arn: str
    asked: Body
    count: int
    tasks: dict[str, Task] = field(default_factory=dict)
    ended: int = 0
    """How many ended by themselves."""
    steady: bool = False
    """Whether all tasks that it wants take requests, and it has no others."""

    @property
    def group(self) -> str:
        """The ARN of its target group."""
        return str(self.asked["loadBalancers"][0]["targetGroupArn"])

    @property
    def port(self) -> int:
        return int(self.asked["loadBalancers"][0]["containerPort"])

    def told(self, service: Body) -> Body:
        """What DescribeServices says of it, with its tasks. `service`: ministack's words, of none."""
        tasks = list(self.tasks.values())
        others = {task.definition for task in tasks} - {service["taskDefinition"]}
        deployments = [
            {
                **service["deployments"][0],
                "status": "PRIMARY" if definition == service["taskDefinition"] else "ACTIVE",
                "taskDefinition": definition,
                "desiredCount": self.count if definition == service["taskDefinition"] else 0,
                "runningCount": sum(bool(task.address) for task in tasks if task.definition == definition),
            }
            for definition in (service["taskDefinition"], *sorted(others))
        ]
        ends = service["status"] == "INACTIVE" and tasks
        return {
            **service,
            "status": "DRAINING" if ends else service["status"],
            "desiredCount": self.count,
            "runningCount": sum(bool(task.address) for task in tasks),
            "deployments": deployments,
        }


class StandInServices:
    """The services of an account. A step starts what lacks, and when all that is new is healthy what is old leaves: its
    target first, for the deregistration delay, then its container has its `stopTimeout`."""

    def __init__(self, cloud: Cloud, balancer: StandInBalancer, elbv2: Any) -> None:
        """`elbv2`: a client of ministack's own."""
        self.known: dict[str, Service] = {}
        """By ARN."""
        self._cloud = cloud
        self._balancer = balancer
        self._elbv2 = elbv2
        self._ecs: Any = None
        self._environment: Mapping[str, str] = {}

    def begin(self, ecs: Any, environment: Mapping[str, str]) -> None:
        """`ecs`: a client of what stands in front of ministack, where a task that is asked for again is not started
        again. `environment`: of every task's container, besides its own."""
        self._ecs, self._environment = ecs, environment

    def answer(self, operation: str, asked: Body, told: Body) -> Body:
        """Take over what a request asks for. `told`: ministack's answer to it, which becomes what is so."""
        if operation == "DescribeServices":
            return {
                **told,
                "services": [self.known[item["serviceArn"]].told(item) for item in told["services"]],
            }
        arn = told["service"]["serviceArn"]
        if operation == "CreateService":
            self.known[arn] = Service(arn=arn, asked=asked, count=asked["desiredCount"])
        elif operation == "UpdateService":
            self.known[arn].count = asked.get("desiredCount", self.known[arn].count)
            self.known[arn].asked = {**self.known[arn].asked, **asked}
        return {**told, "service": self.known[arn].told(told["service"])}

    def are_steady(self) -> bool:
        """Whether each has the tasks that it wants, all of them taking requests, and no others."""
        return all(service.steady for service in self.known.values())

    def step(self) -> None:
        """Do what is to be done now. A step that was cut short may be done again."""
        for service in list(self.known.values()):
            self._look(service)
            wanted = service.asked["taskDefinition"]
            staying = [task for task in service.tasks.values() if task.leaving is None]
            new = [task for task in staying if task.definition == wanted]
            for _ in range(service.count - len(new)):
                self._start(service)
            healthy = self._balancer.healthy(service.group)
            ready = len(new) >= service.count and all(
                task.address in healthy for task in new[: service.count]
            )
            service.steady = ready and len(service.tasks) == service.count
            if ready:
                kept = {task.arn for task in new[: service.count]}
                for task in staying:
                    if task.arn not in kept:
                        self._deregister(service, task)
                        task.leaving = time.monotonic()
            for task in service.tasks.values():
                if task.leaving is not None:
                    self._end(service, task)

    # -- tasks --
    def _start(self, service: Service) -> None:
        """Told besides: credentials, for boto3 takes those of a task's role from no address that ministack has."""
        asked = service.asked
        environment = [{"name": name, "value": value} for name, value in self._environment.items()]
        container = asked["loadBalancers"][0]["containerName"]
        made = self._ecs.run_task(
            cluster=asked["cluster"],
            taskDefinition=asked["taskDefinition"],
            launchType=asked["launchType"],
            startedBy=service.arn.rpartition("/")[2][:36],
            networkConfiguration=asked["networkConfiguration"],
            overrides={"containerOverrides": [{"name": container, "environment": environment}]},
        )
        task = Task(arn=made["tasks"][0]["taskArn"], definition=asked["taskDefinition"])
        service.tasks[task.arn] = task

    def _look(self, service: Service) -> None:
        if not service.tasks:
            return
        found = self._ecs.describe_tasks(cluster=service.asked["cluster"], tasks=list(service.tasks))
        told = {item["taskArn"]: item for item in found["tasks"]}
        for task in list(service.tasks.values()):
            if task.arn not in told or told[task.arn]["lastStatus"] == "STOPPED":
                if task.leaving is None:
                    self._deregister(service, task)
                del service.tasks[task.arn]
                if task.leaving is None:
                    self._count_ended(service, told.get(task.arn, {}).get("stoppedReason", "unknown to ECS"))
            elif not task.address and (address := _address(told[task.arn])):
                self._elbv2.register_targets(
                    TargetGroupArn=service.group, Targets=[{"Id": address, "Port": service.port}]
                )
                task.address = address

    def _count_ended(self, service: Service, why: str) -> None:
        """One ended, and nobody has told it to."""
        service.ended += 1
        if service.ended > MOST_ENDED:
            raise RuntimeError(f"tasks of {service.arn} end again and again, one just now: {why}")

    def _deregister(self, service: Service, task: Task) -> None:
        if not task.address:
            return
        with contextlib.suppress(self._elbv2.exceptions.TargetGroupNotFoundException):
            self._elbv2.deregister_targets(
                TargetGroupArn=service.group, Targets=[{"Id": task.address, "Port": service.port}]
            )

    def _end(self, service: Service, task: Task) -> None:
        """ministack sees that its container has ended. ECS would wait for a target that has no
        connections too."""
        now = time.monotonic()
        unused = task.address in self._balancer.unused(service.group)
        if task.told is None and (unused or now - (task.leaving or now) >= self._delay(service)):
            self._signal(task, "SIGTERM")
            task.told = now
        elif task.told is not None and now - task.told >= self._stop_seconds(task):
            self._signal(task, "SIGKILL")

    def _delay(self, service: Service) -> float:
        found = self._elbv2.describe_target_group_attributes(TargetGroupArn=service.group)["Attributes"]
        return next(
            float(item["Value"]) for item in found if item["Key"] == "deregistration_delay.timeout_seconds"
        )

    def _stop_seconds(self, task: Task) -> float:
        found = self._ecs.describe_task_definition(taskDefinition=task.definition)["taskDefinition"]
        return float(found["containerDefinitions"][0]["stopTimeout"])

    def _signal(self, task: Task, signal: str) -> None:
        for container in self._cloud.api.containers(filters={"label": f"{TASK_LABEL}={task.arn}"}):
            try:
                self._cloud.api.kill(container["Id"], signal=signal)
            except APIError as error:
                if not error.is_client_error():  # else it has ended just now
                    raise


def _address(task: Mapping[str, Any]) -> str:
    """Of a task that runs."""
    if task["lastStatus"] != "RUNNING":
        return ""
    details = [item for attachment in task["attachments"] for item in attachment["details"]]
    return next((str(item["value"]) for item in details if item["name"] == "privateIPv4Address"), "")
