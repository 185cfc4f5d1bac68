"""A stack of its own on ministack's ECS: cluster, task definitions, drivers; ministack starts real containers."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import boto3
import pytest
from aiohttp import web

from container.protocol import AGENT_PORT
from gateway.config import Settings
from gateway.ids import new_id
from gateway.sandboxes.drivers.ecs.driver import EcsDriver
from tests.aws.cloud.completion import StandInCompletion
from tests.aws.cloud.ministack import TASK_LABEL, Cloud, cloud

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

REGION = "eu-west-1"


@pytest.fixture(scope="module")
def ministack() -> Iterator[Cloud]:
    """A ministack for the module's tests."""
    with pytest.MonkeyPatch.context() as patch, cloud() as one:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "test")
        yield one


class EcsBench:
    """Gateways of one stack, whose requests go through what stands in for ECS's client tokens."""

    def __init__(self, cloud: Cloud, image: str) -> None:
        self._cloud = cloud
        self._image = image
        self._exit = AsyncExitStack()
        self.stack = f"test-{new_id()}"
        self.settings = Settings(
            stack=self.stack,
            jwt_secret="j" * 32,
            sandbox_secret="s" * 32,
            credential_key="c" * 32,
            driver="ecs",
            region=REGION,
            blobs="s3://bucket",
            ecs_subnets=("subnet-0a",),
            ecs_security_groups=("sg-0b",),
        )
        self._failing = self.settings

    async def __aenter__(self) -> Self:
        runner = web.AppRunner(StandInCompletion(self._cloud.url).app(), access_log=None)
        await runner.setup()
        self._exit.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self.ecs = boto3.client("ecs", endpoint_url=self._cloud.url, region_name=REGION)
        self._exit.callback(self.ecs.close)
        cluster = (await self.engine(self.ecs.create_cluster, clusterName=self.stack))["cluster"]
        self.settings = replace(
            self.settings,
            ecs_endpoint=endpoint,
            ecs_cluster=cluster["clusterArn"],
            ecs_task_definition=await self._define("demo"),
        )
        self._failing = replace(self.settings, ecs_task_definition=await self._define("'"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exit.aclose()

    def driver(self) -> EcsDriver:
        return self._driver_of(self.settings)

    def driver_of_failing(self) -> EcsDriver:
        return self._driver_of(self._failing)

    async def engine(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """A blocking call, off the loop."""
        return await asyncio.to_thread(call, *args, **kwargs)

    async def task(self, session: str) -> str:
        """The ARN of the session's live task."""
        found = await self.engine(
            self.ecs.list_tasks, cluster=self.settings.ecs_cluster, startedBy=session, desiredStatus="RUNNING"
        )
        (arn,) = found["taskArns"]
        return str(arn)

    async def keep_snapshots(self) -> None:
        """Have a bucket for them, on the same ministack."""
        s3 = boto3.client("s3", endpoint_url=self._cloud.url, region_name="us-east-1")
        self._exit.callback(s3.close)
        await self.engine(s3.create_bucket, Bucket=self.stack)
        self.settings = replace(self.settings, blobs=f"s3://{self.stack}", s3_endpoint=self._cloud.url)

    async def kill(self, session: str) -> None:
        label = f"{TASK_LABEL}={await self.task(session)}"
        (container,) = await self.engine(
            self._cloud.containers, self.settings.ecs_cluster, label=[label], status=["running"]
        )
        await self.engine(self._cloud.api.kill, container["Id"], signal="SIGKILL")

    async def alive(self, session: str) -> int:
        return len(await self._of_session(session, status=["running"]))

    async def leftovers(self, session: str) -> Sequence[str]:
        # ministack removes a container that ended by itself two minutes later.
        running = await self._of_session(session, status=["running"])
        return [name for container in running for name in container["Names"]]

    async def _of_session(self, session: str, **filters: list[str]) -> list[dict[str, Any]]:
        found = []
        for container in await self.engine(self._cloud.containers, self.settings.ecs_cluster, **filters):
            told = await self.engine(self._cloud.api.inspect_container, container["Id"])
            if f"VF_SESSION={session}" in told["Config"]["Env"]:
                found.append(container)
        return found

    async def _define(self, agent: str) -> str:
        environment = {
            "VF_AGENT": agent,
            "VF_HOST": "0.0.0.0",
            "VF_PORT": str(AGENT_PORT),
            "VF_WORKSPACE": "/workspace",
            "VF_HOME": "/home/agent",
            "VF_PENDING_DIR": "/run/vaporforge",
        }
        defined = await self.engine(
            self.ecs.register_task_definition,
            family=f"{self.stack}-sandbox",
            networkMode="awsvpc",
            requiresCompatibilities=["FARGATE"],
            cpu="256",
            memory="512",
            containerDefinitions=[
                {
                    "name": "sandbox",
                    "image": self._image,
                    "environment": [{"name": name, "value": value} for name, value in environment.items()],
                    "portMappings": [{"containerPort": AGENT_PORT}],
                }
            ],
        )
        return str(defined["taskDefinition"]["taskDefinitionArn"])

    def _driver_of(self, settings: Settings) -> EcsDriver:
        driver = EcsDriver(settings)
        self._exit.push_async_callback(driver.close)
        return driver
