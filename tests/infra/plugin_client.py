"""Our plugins as the engine sees them: processes of their own, spoken to over gRPC."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import json_format, struct_pb2
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from infra.config import ROOT

FOLDER = ROOT / "infra" / "plugin"


def struct(properties: dict[str, Any]) -> struct_pb2.Struct:
    made = struct_pb2.Struct()
    made.update(properties)
    return made


class Plugin:
    """Calls by type and name; properties in and out are plain dicts."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.stub = provider_pb2_grpc.ResourceProviderStub(channel)

    @staticmethod
    def urn(type_: str, name: str = "thing") -> str:
        return f"urn:pulumi:test::vaporforge::{type_}::{name}"

    def check(self, type_: str, news: dict[str, Any], olds: dict[str, Any] | None = None) -> Any:
        request = provider_pb2.CheckRequest(
            urn=self.urn(type_),
            news=struct(news),
            olds=struct(olds or {}),
            randomSeed=secrets.token_bytes(16),
        )
        return self.stub.Check(request)

    def checked(self, type_: str, news: dict[str, Any], olds: dict[str, Any] | None = None) -> dict[str, Any]:
        answer = self.check(type_, news, olds)
        assert not answer.failures, answer.failures
        return json_format.MessageToDict(answer.inputs)

    def diff(
        self, type_: str, olds: dict[str, Any], news: dict[str, Any], ignore: list[str] | None = None
    ) -> Any:
        request = provider_pb2.DiffRequest(
            id="x", urn=self.urn(type_), olds=struct(olds), old_inputs=struct(olds), news=struct(news)
        )
        request.ignoreChanges.extend(ignore or [])
        return self.stub.Diff(request)

    def create(
        self, type_: str, inputs: dict[str, Any], *, preview: bool = False
    ) -> tuple[str, dict[str, Any]]:
        request = provider_pb2.CreateRequest(urn=self.urn(type_), properties=struct(inputs), preview=preview)
        answer = self.stub.Create(request)
        return answer.id, json_format.MessageToDict(answer.properties)

    def update(
        self, type_: str, id_: str, olds: dict[str, Any], news: dict[str, Any], *, preview: bool = False
    ) -> dict[str, Any]:
        request = provider_pb2.UpdateRequest(
            id=id_, urn=self.urn(type_), olds=struct(olds), news=struct(news), preview=preview
        )
        return json_format.MessageToDict(self.stub.Update(request).properties)

    def read(
        self, type_: str, id_: str, inputs: dict[str, Any], state: dict[str, Any]
    ) -> tuple[str, dict[str, Any]]:
        request = provider_pb2.ReadRequest(
            id=id_, urn=self.urn(type_), inputs=struct(inputs), properties=struct(state)
        )
        answer = self.stub.Read(request)
        return answer.id, json_format.MessageToDict(answer.properties)

    def delete(self, type_: str, id_: str, state: dict[str, Any]) -> None:
        self.stub.Delete(provider_pb2.DeleteRequest(id=id_, urn=self.urn(type_), properties=struct(state)))


@contextmanager
def started(cwd: Path, program: str = "pulumi-resource-docker") -> Iterator[Plugin]:
    """A plugin process in `cwd`, which relative contexts relate to, configured as the engine does it."""
    with subprocess.Popen([str(FOLDER / program)], cwd=cwd, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                plugin = Plugin(channel)
                answer = plugin.stub.Configure(
                    provider_pb2.ConfigureRequest(args=struct({}), acceptSecrets=True)
                )
                assert answer.acceptSecrets
                assert answer.supportsPreview
                yield plugin
        finally:
            process.terminate()
            process.wait(timeout=60)
