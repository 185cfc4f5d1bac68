"""The aws program deployed into a completed ministack, in which its gateways run: what people and tests do with it."""

from __future__ import annotations

import contextlib
import fnmatch
import json
import subprocess
import urllib.request
from typing import TYPE_CHECKING, Any, Final

import docker

from gateway.web.request.auth import mint
from infra.config import ROOT
from tests.aws.cloud.inventory import Inventory
from tests.aws.cloud.ministack import TASK_LABEL
from tests.aws.cloud.whole import CREDENTIALS, WholeCloud, whole_cloud
from tests.aws.deployed import AwsStack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest
    from docker.models.containers import Container

    from tests.aws.deployed import Done

STACK: Final = "test"

GATEWAYS: Final = 2

REPOSITORIES: Final = f"*.dkr.ecr.*/vaporforge-{STACK}-*"
"""What ECR calls those of the stack."""

_BUILT_ON = '. scripts/lib/env.sh; cat "$VF_STATE/base-image"; printf "%s\\n" "${VF_CA_BUNDLE:-}"'

FAMILY_LABEL: Final = "com.amazonaws.ecs.task-definition-family"


class Service:
    """A stack. `url`, `secret`: what it tells: where it is, and what signs its users' tokens."""

    def __init__(self, cloud: WholeCloud, folder: Path, inventory: Inventory) -> None:
        self.cloud = cloud
        self.inventory = inventory
        self.engine = docker.from_env()
        self.url = ""
        self.secret = ""
        self.bucket = ""
        self._stack = AwsStack(STACK, folder, images="local")
        self._settings = built_on()
        self._before = inventory.there()

    def up(self, **changes: str) -> Done:
        """With these settings besides those that it has."""
        self._settings |= changes
        done = self._stack.up(**self._settings)
        self.url, self.secret = done.outputs["url"], done.outputs["jwtSecret"]
        self.bucket = done.outputs["bucket"]
        return done

    def destroy(self) -> None:
        """Raises `AssertionError` when anything is left of it, a task's container too."""
        self._stack.destroy()
        left = [item.name for item in self.gateways() + self._containers("sandbox")]
        assert not left, left
        assert self.inventory.there() == self._before

    def is_ready(self) -> bool:
        """Whether the load balancer has a gateway that is ready."""
        self.cloud.check()
        try:
            self._get("/api/ready", {})
        except OSError:
            return False
        return True

    def contents(self, session: str, user: str = "ada") -> list[str]:
        """The texts of a session's messages as the table has them, oldest first."""
        token = mint(user, 600, secret=self.secret)
        answer = self._get(f"/api/sessions/{session}/messages", {"Authorization": f"Bearer {token}"})
        return [message["content"] for message in json.loads(answer)["messages"]]

    def is_whole(self) -> bool:
        """Whether all gateways that it wants take requests."""
        self.cloud.check()
        return self.cloud.services.are_steady()

    @property
    def host(self) -> str:
        """Its load balancer's name."""
        return self.url.removeprefix("http://")

    def gateways(self) -> list[Container]:
        """Those that run."""
        self.cloud.check()
        return self._containers("gateway")

    def sandbox(self, session: str) -> Container:
        """The running container of a session."""
        [found] = [
            item
            for item in self._containers("sandbox")
            if f"VF_SESSION={session}" in item.attrs["Config"]["Env"]
        ]
        return found

    def snapshots(self) -> list[str]:
        """The sessions that have one."""
        found: Any = self.inventory.client("s3").list_objects_v2(Bucket=self.bucket)
        return [item["Key"].rpartition("/")[2] for item in found.get("Contents", ())]

    def _get(self, path: str, headers: dict[str, str]) -> bytes:
        """By the load balancer. Raises `OSError` where the answer is none, or bad."""
        request = urllib.request.Request(
            f"http://{self.cloud.balancer.address}{path}", headers={"Host": self.host, **headers}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            body: bytes = answer.read()
            return body

    def _containers(self, role: str) -> list[Container]:
        label = f"{FAMILY_LABEL}=vaporforge-{STACK}-{role}"
        ours: dict[str, Any] = {"label": [label, TASK_LABEL], "network": self.cloud.bare.network}
        return list(self.engine.containers.list(filters=ours, ignore_removed=True))


def built_on() -> dict[str, str]:
    """What this machine's images are built on, as settings."""
    done = subprocess.run(["bash", "-euc", _BUILT_ON], cwd=ROOT, capture_output=True, text=True, check=True)
    base, bundle = done.stdout.splitlines()
    return {"baseImage": base, **({"caBundle": bundle} if bundle else {})}


def untag_images() -> None:
    """Take the names of the stack's repositories from the images that have them; they may have others' too."""
    with contextlib.closing(docker.from_env()) as engine:
        for image in engine.images.list(filters={"reference": REPOSITORIES}):
            for tag in image.tags:
                if fnmatch.fnmatch(tag, f"{REPOSITORIES}:*"):
                    engine.images.remove(tag)


@contextlib.contextmanager
def deployed_service(proxy_image: str, folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Service]:
    """Deployed, and destroyed in the end."""
    with contextlib.ExitStack() as stack:
        stack.callback(untag_images)  # when no container has them any more
        cloud = stack.enter_context(whole_cloud(proxy_image))
        for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": cloud.url}.items():
            patch.setenv(name, value)
        patch.delenv("AWS_PROFILE", raising=False)
        inventory = Inventory()
        stack.callback(inventory.close)
        service = Service(cloud, folder, inventory)
        stack.callback(service.engine.close)
        service.up()
        yield service
        service.destroy()
