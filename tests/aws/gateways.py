"""Gateways of the `aws` target as processes of this machine, told what the program tells theirs, on a ministack."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import boto3
from aiohttp import web
from docker.errors import NotFound

from gateway.web.request.auth import mint
from infra.table import read_expiry, read_table
from tests.aws.cloud.completion import StandInCompletion
from tests.chaos.child import ROOT, Child, free_port
from tests.infra.aws_programs import aws_program, definition, env_of
from tests.infra.mocked_aws import ACCOUNT, REGION
from tests.opened import Opened

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.aws.cloud.ministack import Cloud

GATEWAYS: Final = 2

CREDENTIALS: Final = {"AWS_ACCESS_KEY_ID": ACCOUNT, "AWS_SECRET_ACCESS_KEY": ACCOUNT}
"""ministack takes an access key of twelve digits for the account: so its ARNs are those of the program."""


@dataclass(frozen=True)
class Told:
    """What the program says. `gateway`: the variables of a gateway's container, secrets too; `sandbox`: arguments of
    RegisterTaskDefinition, by ECS's names."""

    gateway: dict[str, str]
    sandbox: dict[str, Any]


def told(**config: str) -> Told:
    """By a stack of the `aws` target with this configuration."""
    # Pulumi takes the thread's event loop for its own.
    with ThreadPoolExecutor(1) as thread:
        stack = thread.submit(lambda: aws_program(**config)).result()
    _, gateway = definition(stack, "gateway")
    task, sandbox = definition(stack, "sandbox")
    [version] = stack.of_type(":SecretVersion")
    values = json.loads(version.inputs["secretString"])
    # ARN (seven parts), then the key in the secret's JSON.
    secrets = {item["name"]: values[item["valueFrom"].split(":")[7]] for item in gateway["secrets"]}
    names = (
        "family",
        "cpu",
        "memory",
        "networkMode",
        "requiresCompatibilities",
        "taskRoleArn",
        "executionRoleArn",
    )
    return Told(
        gateway={**env_of(gateway), **secrets},
        sandbox={**{name: task.inputs[name] for name in names}, "containerDefinitions": [sandbox]},
    )


class AwsGateways(Opened):
    """Two of them; use it as an async context manager. What is left of tasks goes with the ministack.

    `image`: of the sandboxes. `folder`: for logs. `more`: further variables of the gateways. `dynamodb`: where they
    find it, if not at the ministack itself. `gateways`, `urls` and `logs` are in the same order.
    """

    def __init__(
        self,
        cloud: Cloud,
        image: str,
        folder: Path,
        program: Told,
        *,
        more: Mapping[str, str] | None = None,
        dynamodb: str = "",
    ) -> None:
        super().__init__()
        self.gateways: list[Child] = []
        self.urls: list[str] = []
        self.logs: list[Path] = []
        self._cloud = cloud
        self._image = image
        self._folder = folder
        self._told = program
        self._more = dict(more or {})
        self._dynamodb = dynamodb or cloud.url
        self._clients: dict[str, Any] = {}
        self._key = ""

    async def _open(self) -> None:
        await asyncio.to_thread(self._make)
        runner = web.AppRunner(StandInCompletion(self._cloud.url).app(), access_log=None)
        await runner.setup()
        self._exit.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        ecs = f"http://127.0.0.1:{runner.addresses[0][1]}"
        for number in range(GATEWAYS):
            self._add(number, ecs)
        await asyncio.gather(*(gateway.start() for gateway in self.gateways))

    def token(self, user: str) -> str:
        """A token of this stack."""
        env = self._told.gateway
        return mint(user, 6 * 3600, secret=env["VF_JWT_SECRET"], audience=env["VF_JWT_AUDIENCE"])

    async def containers(self, session: str, *status: str) -> list[str]:
        """The ids of the engine's containers of a session's tasks, in one of these states; any, when none is named."""
        return await asyncio.to_thread(self._containers, session, list(status))

    async def kill(self, session: str) -> str:
        """End the container of the session's task as a host's failure does; its id."""
        (container,) = await self.containers(session, "running")
        await asyncio.to_thread(self._cloud.api.kill, container, signal="SIGKILL")
        return container

    async def snapshot(self, session: str) -> str:
        """What names the content of the session's snapshot in the bucket; empty where there is none."""
        return (await asyncio.to_thread(self._snapshots)).get(session, "")

    # -- AWS --
    def _make(self) -> None:
        """What the program declares and gateways use, under the names that they are told."""
        env = self._told.gateway
        dynamodb, s3, ecs = (self._client(service) for service in ("dynamodb", "s3", "ecs"))
        dynamodb.create_table(TableName=env["VF_TABLE"], **read_table(ROOT))
        dynamodb.update_time_to_live(
            TableName=env["VF_TABLE"],
            TimeToLiveSpecification={"Enabled": True, "AttributeName": read_expiry(ROOT)},
        )
        s3.create_bucket(Bucket=self._bucket)
        self._key = self._client("kms").create_key()["KeyMetadata"]["Arn"]
        cluster = ecs.create_cluster(clusterName=env["VF_ECS_CLUSTER"].rpartition("/")[2])["cluster"]
        assert cluster["clusterArn"] == env["VF_ECS_CLUSTER"]
        [sandbox] = self._told.sandbox["containerDefinitions"]
        made = ecs.register_task_definition(
            **{**self._told.sandbox, "containerDefinitions": [{**sandbox, "image": self._image}]}
        )
        assert made["taskDefinition"]["taskDefinitionArn"] == env["VF_ECS_TASK_DEFINITION"]

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            make: Callable[..., Any] = boto3.client
            # At an endpoint of one's own these are asked in this name (gateway/store/client.py, gateway/store/kms.py).
            key = "local" if service in ("dynamodb", "kms") else ACCOUNT
            self._clients[service] = client = make(
                service,
                endpoint_url=self._cloud.url,
                region_name=REGION,
                aws_access_key_id=key,
                aws_secret_access_key=key,
            )
            self._exit.callback(client.close)
        return self._clients[service]

    @property
    def _bucket(self) -> str:
        return self._told.gateway["VF_BLOBS"].removeprefix("s3://").partition("/")[0]

    def _snapshots(self) -> dict[str, str]:
        found = self._client("s3").list_objects_v2(Bucket=self._bucket).get("Contents", ())
        return {item["Key"].rpartition("/")[2]: str(item["ETag"]) for item in found}

    def _containers(self, session: str, status: list[str]) -> list[str]:
        filters = {"status": status} if status else {}
        found = []
        for container in self._cloud.containers(self._told.gateway["VF_ECS_CLUSTER"], **filters):
            with contextlib.suppress(NotFound):  # it went just now
                environment = self._cloud.api.inspect_container(container["Id"])["Config"]["Env"]
                if f"VF_SESSION={session}" in environment:
                    found.append(str(container["Id"]))
        return found

    # -- processes --
    def _add(self, number: int, ecs: str) -> None:
        """One more gateway, not started: where it is found, and where AWS is, differ from a task of AWS's."""
        url = f"http://127.0.0.1:{(port := free_port())}"
        env = {
            "PATH": os.environ["PATH"],
            **CREDENTIALS,
            **self._told.gateway,
            "VF_HOST": "127.0.0.1",
            "VF_PORT": str(port),
            "VF_BROKER_PORT": str(free_port()),
            "VF_DYNAMODB_ENDPOINT": self._dynamodb,
            "VF_S3_ENDPOINT": self._cloud.url,
            "VF_ECS_ENDPOINT": ecs,
            "VF_KMS_ARN": self._key,
            "VF_KMS_ENDPOINT": self._cloud.url,
            **self._more,
        }
        log = self._folder / f"gateway-{number}.log"
        gateway = Child(f"gateway {number}", [sys.executable, "-m", "gateway"], env, log, f"{url}/api/ready")
        self._exit.push_async_callback(gateway.end)
        self.gateways.append(gateway)
        self.urls.append(url)
        self.logs.append(log)
