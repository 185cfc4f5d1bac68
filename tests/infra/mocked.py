"""The Pulumi program without an engine: what it declares, as the engine would be told."""

from __future__ import annotations

import asyncio
import atexit
import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import pulumi
from google.protobuf import json_format
from pulumi.runtime import config as runtime_config
from pulumi.runtime import mocks, rpc
from pulumi.runtime import settings as runtime_settings
from pulumi.runtime.proto import source_pb2

from infra.components.docker.machine import Machine
from infra.config import ROOT
from infra.content import content_hash
from tests.infra.mocked_aws import AWS_CALLS, aws_made

STACK_ID = "vaporforge-test"

IMAGE_ID = "sha256:" + "0" * 64

MADE = {
    name: f"made-{name}-secret".ljust(40, "x")
    for name in ("jwt", "sandbox", "credential", "launcher", "proxy")
}
"""What the stack's generated secrets are here."""


@dataclass(frozen=True)
class Declared:
    """A resource as it was registered. `inputs`: plain; `secret_inputs`: the names of those with a secret in them.
    `delete_before_replace`: None where the provider decides. `update_timeout`: empty where it is the provider's."""

    type: str
    name: str
    urn: str
    inputs: dict[str, Any]
    secret_inputs: frozenset[str]
    parent: str
    dependencies: tuple[str, ...]
    delete_before_replace: bool | None
    ignore_changes: tuple[str, ...]
    secret_outputs: tuple[str, ...]
    provider: str
    protect: bool
    retain_on_delete: bool
    update_timeout: str


@dataclass
class Program:
    """All that one run of the program declared, and its outputs."""

    resources: dict[str, Declared] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    secret_outputs: set[str] = field(default_factory=set)

    def of_type(self, suffix: str) -> list[Declared]:
        return [item for item in self.resources.values() if item.type.endswith(suffix)]

    def container(self, part: str) -> Declared:
        return self.named(f"{STACK_ID}-{part}", ":Container")

    def named(self, name: str, suffix: str) -> Declared:
        [found] = [item for item in self.of_type(suffix) if item.name == name]
        return found

    def env(self, part: str) -> dict[str, str]:
        return dict(item.split("=", 1) for item in self.container(part).inputs["envs"])

    def files(self, part: str) -> dict[str, str]:
        """The secrets that a container gets as files, by the variable that each stands for."""
        container, env = self.container(part).inputs, self.env(part)
        mounted = {item.get("volumeName"): item for item in container["volumes"]}
        found: dict[str, str] = {}
        for item in self.of_type(":SecretFiles"):
            if mount := mounted.get(f"{item.name}-volume"):
                assert mount["readOnly"]
                for name, content in item.inputs["files"].items():
                    variable = name.upper()
                    assert env[f"{variable}_FILE"] == f"{mount['containerPath']}/{name}"
                    found[variable] = content
        return found

    def before(self, resource: Declared) -> set[str]:
        """The names of all that `resource` depends on, directly or not; a component stands for its children."""
        seen: set[str] = set()
        waiting = list(resource.dependencies)
        while waiting:
            urn = waiting.pop()
            if urn in seen or urn not in self.resources:
                continue
            seen.add(urn)
            waiting += self.resources[urn].dependencies
            waiting += [child.urn for child in self.resources.values() if child.parent == urn]
        return {self.resources[urn].name for urn in seen}


class Mocks(mocks.Mocks):
    """Answers as the plugins would, and makes nothing."""

    def call(self, args: mocks.MockCallArgs) -> Any:
        if args.token in AWS_CALLS:
            return AWS_CALLS[args.token]
        raise AssertionError(f"the program calls {args.token}")

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        outputs = dict(args.inputs)
        if args.typ == "docker:index/image:Image":
            pushed = outputs["imageName"].rpartition(":")[0] + "@" if "registry" in outputs else ""
            outputs["repoDigest"] = pushed + IMAGE_ID
        elif args.typ == "docker:index/remoteImage:RemoteImage":
            outputs["imageId"] = IMAGE_ID
        elif args.typ.endswith(":Secrets"):
            outputs |= MADE
        elif args.typ.endswith(":SecretFiles"):
            outputs["volume"] = f"{args.name}-volume"
        elif args.typ.startswith("aws:"):
            return aws_made(args.typ, args.name, outputs)
        elif args.typ.startswith("docker:"):
            outputs.setdefault("name", f"{args.name}-0abcdef")
        return f"{args.name}-id", outputs


class _Monitor(mocks.MockMonitor):
    def __init__(self, program: Program, answers: mocks.Mocks) -> None:
        super().__init__(answers)
        self._program = program

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - gRPC's name
        answer = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        if request.type != "pulumi:pulumi:Stack":
            raw = json_format.MessageToDict(request.object)
            self._program.resources[answer.urn] = Declared(
                type=request.type,
                name=request.name,
                urn=answer.urn,
                inputs=_plain(raw),
                secret_inputs=frozenset(key for key, value in raw.items() if _has_secret(value)),
                parent=request.parent,
                dependencies=tuple(request.dependencies),
                delete_before_replace=request.deleteBeforeReplace
                if request.deleteBeforeReplaceDefined
                else None,
                ignore_changes=tuple(request.ignoreChanges),
                secret_outputs=tuple(request.additionalSecretOutputs),
                provider=request.provider or request.providers.get(request.type.partition(":")[0], ""),
                protect=request.protect,
                retain_on_delete=request.retainOnDelete,
                update_timeout=request.customTimeouts.update,
            )
        return answer


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    """Pulumi works on the thread's loop, then and later, and other tests leave none."""
    loop = asyncio.new_event_loop()
    atexit.register(loop.close)
    return loop


def _content_hash(context: Path, dockerfile: Path, build_args: Mapping[str, str]) -> str:
    """This repository's files stay as they are while tests run, and are read once; a tree of a test's own is its."""
    if not context.is_relative_to(ROOT):
        return content_hash(context, dockerfile, build_args)
    return _hash_of_ours(context, dockerfile, tuple(sorted(build_args.items())))


@functools.cache
def _hash_of_ours(context: Path, dockerfile: Path, build_args: tuple[tuple[str, str], ...]) -> str:
    return content_hash(context, dockerfile, dict(build_args))


def run(
    program: Callable[[], None],
    config: Mapping[str, str] | None = None,
    secrets: Mapping[str, str] | None = None,
    machine: Machine | None = None,
    *,
    page: bool = False,
    stack: str = "test",
    answers: mocks.Mocks | None = None,
) -> Program:
    """Run `program` with configuration (keys without the project), on an engine with this machine; None is one that
    does not answer. `page`: the page's libraries must be there, which the unit tests do not set up. `stack`: its name.
    `answers`: other ones than `Mocks`. Raises what it raises."""
    declared = Program()
    answers = answers or Mocks()
    asyncio.set_event_loop(_loop())
    # Else it is the one before, and this program's outputs are that one's too.
    runtime_settings.set_root_resource(None)  # type: ignore[arg-type]
    pulumi.runtime.set_mocks(answers, project="vaporforge", stack=stack, monitor=_Monitor(declared, answers))
    everything = {f"vaporforge:{key}": value for key, value in {**(config or {}), **(secrets or {})}.items()}
    runtime_config.set_all_config(everything, [f"vaporforge:{key}" for key in secrets or {}])
    try:
        with (
            mock.patch("infra.targets.docker.machine_of", return_value=machine),
            # Where a resource was declared nobody here asks; to find out takes a good part of a program's time.
            mock.patch("pulumi.runtime.resource._get_stack_trace", source_pb2.StackTrace),
            mock.patch("infra.images.content_hash", _content_hash),
            mock.patch("infra.components.aws.registry.content_hash", _content_hash),
            nullcontext() if page else mock.patch("infra.images.present", return_value=True),
        ):
            pulumi.runtime.test(lambda: _run(program, declared))()  # type: ignore[no-untyped-call]
    finally:
        runtime_config.set_all_config({}, [])
    return declared


async def _run(program: Callable[[], None], declared: Program) -> None:
    program()
    for name, value in pulumi.runtime.get_root_resource().outputs.items():  # type: ignore[union-attr]
        output = pulumi.Output.from_input(value)
        declared.outputs[name] = await output.future()
        if await output.is_secret():
            declared.secret_outputs.add(name)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        if rpc._special_sig_key in value:
            return _plain(value.get("value"))
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _has_secret(value: Any) -> bool:
    if isinstance(value, dict):
        return value.get(rpc._special_sig_key) == rpc._special_secret_sig or any(
            map(_has_secret, value.values())
        )
    return isinstance(value, list) and any(map(_has_secret, value))


def strings(value: Any) -> Iterator[str]:
    """Every string anywhere in a plain value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
