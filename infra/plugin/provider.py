"""The provider protocol: dispatches the engine's calls to the resource types, and keeps its promises about values."""

from __future__ import annotations

import difflib
import functools
import hashlib
import os
import secrets
import threading
from collections.abc import Callable
from typing import Any, Final, NoReturn, TypeVar

import docker
import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from infra.plugin.container import ContainerType
from infra.plugin.diff import DEFAULTS, diff
from infra.plugin.enginelog import EngineLog
from infra.plugin.image import ImageType
from infra.plugin.network import NetworkType
from infra.plugin.properties import UNKNOWN, Properties, from_wire, has_unknown, plain, to_wire
from infra.plugin.remote_image import RemoteImageType
from infra.plugin.resource import Context, MissingError, PluginError, ResourceType, Traits
from infra.plugin.volume import VolumeType

VERSION: Final = "5.2.0"
"""The version of the official plugin whose behaviour this one has for the types below (pulumi-docker in pyproject)."""

TYPES: Final[dict[str, ResourceType]] = {
    "docker:index/container:Container": ContainerType(),
    "docker:index/image:Image": ImageType(),
    "docker:index/network:Network": NetworkType(),
    "docker:index/remoteImage:RemoteImage": RemoteImageType(),
    "docker:index/volume:Volume": VolumeType(),
}

ENGINE_SECONDS: Final = 60
"""Limit of one call to the Docker engine."""

Handler = TypeVar("Handler", bound=Callable[..., Any])


def _told(handler: Handler) -> Handler:
    """Errors that a user can act on reach the engine as their sentence; others as what they are."""

    @functools.wraps(handler)
    def wrapper(self: DockerProvider, request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return handler(self, request, context)
        except PluginError as error:
            _abort(context, str(error))
        except docker.errors.APIError as error:
            _abort(context, f"the Docker engine refused: {error.explanation or error}")
        except docker.errors.DockerException as error:
            _abort(context, f"the Docker engine cannot be reached: {error}")

    return wrapper  # type: ignore[return-value] # the wrapper has the handler's signature


def _abort(context: grpc.ServicerContext, message: str) -> NoReturn:
    context.abort(grpc.StatusCode.UNKNOWN, message)
    raise AssertionError


class DockerProvider(provider_pb2_grpc.ResourceProviderServicer):
    """One process of the plugin. `cancelled`: set by the engine's Cancel; every wait then ends."""

    def __init__(self, log: EngineLog) -> None:
        self.cancelled = threading.Event()
        self._log = log
        self._host = ""
        self._local = threading.local()

    def GetPluginInfo(self, request: Any, context: Any) -> plugin_pb2.PluginInfo:  # noqa: ARG002
        return plugin_pb2.PluginInfo(version=VERSION)

    def GetSchema(self, request: Any, context: Any) -> provider_pb2.GetSchemaResponse:  # noqa: ARG002
        return provider_pb2.GetSchemaResponse(schema=f'{{"name": "docker", "version": "{VERSION}"}}')

    def CheckConfig(self, request: provider_pb2.CheckRequest, context: Any) -> provider_pb2.CheckResponse:  # noqa: ARG002
        given = plain(from_wire(request.news))
        failures = [
            provider_pb2.CheckFailure(
                property=key, reason=f"this stand-in plugin does not know {key}; {_OFFICIAL}"
            )
            for key in sorted(given.keys() - {"host", "version"})
        ]
        return provider_pb2.CheckResponse(inputs=request.news, failures=failures)

    def DiffConfig(self, request: provider_pb2.DiffRequest, context: Any) -> provider_pb2.DiffResponse:  # noqa: ARG002
        traits = Traits(inputs=frozenset({"host"}), in_place=frozenset({"host", "version"}))
        return diff(traits, plain(from_wire(request.old_inputs)), plain(from_wire(request.news)))

    def Configure(
        self,
        request: provider_pb2.ConfigureRequest,
        context: Any,  # noqa: ARG002
    ) -> provider_pb2.ConfigureResponse:
        self._host = str(plain(from_wire(request.args)).get("host") or "")
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    @_told
    def Check(self, request: provider_pb2.CheckRequest, context: Any) -> provider_pb2.CheckResponse:  # noqa: ARG002
        kind = _type(request.urn)
        olds, news = from_wire(request.olds), {**from_wire(request.news)}
        failures = [
            _unknown_input(key, kind) for key in sorted(news.keys() - kind.traits.inputs - {DEFAULTS})
        ]
        failures += [
            provider_pb2.CheckFailure(property=key, reason=f"{key} is missing")
            for key in sorted(kind.traits.required - news.keys())
        ]
        if failures:
            return provider_pb2.CheckResponse(failures=failures)
        chosen = {key: value for key, value in kind.traits.defaults.items() if key not in news}
        if kind.traits.auto_named and not news.get("name"):
            kept = olds.get("name") if "name" in olds.get(DEFAULTS, []) else None
            chosen["name"] = kept or _name(request)
        if chosen:
            news |= {**chosen, DEFAULTS: sorted(chosen)}
        news |= kind.check(plain(news))
        return provider_pb2.CheckResponse(inputs=to_wire(news))

    def Diff(self, request: provider_pb2.DiffRequest, context: Any) -> provider_pb2.DiffResponse:  # noqa: ARG002
        olds = plain(from_wire(request.old_inputs))
        ignored = set(request.ignoreChanges)
        news = {**plain(from_wire(request.news)), **{key: olds[key] for key in ignored if key in olds}}
        return diff(_type(request.urn).traits, olds, news)

    @_told
    def Create(self, request: provider_pb2.CreateRequest, context: Any) -> provider_pb2.CreateResponse:  # noqa: ARG002
        kind, inputs = _type(request.urn), from_wire(request.properties)
        if request.preview:
            return provider_pb2.CreateResponse(properties=to_wire(_previewed(kind, inputs)))
        _refuse_unknown(plain(inputs), request.urn)
        made, outputs = kind.create(self._context(request.urn), plain(inputs))
        return provider_pb2.CreateResponse(id=made, properties=to_wire({**inputs, **outputs}))

    @_told
    def Read(self, request: provider_pb2.ReadRequest, context: Any) -> provider_pb2.ReadResponse:  # noqa: ARG002
        kind, inputs, state = _type(request.urn), from_wire(request.inputs), from_wire(request.properties)
        if not inputs:
            raise PluginError(f"this stand-in plugin imports nothing; {_OFFICIAL}")
        try:
            outputs = kind.read(self._context(request.urn), request.id, plain(inputs))
        except MissingError:
            return provider_pb2.ReadResponse()
        return provider_pb2.ReadResponse(
            id=request.id, inputs=request.inputs, properties=to_wire({**state, **outputs})
        )

    @_told
    def Update(self, request: provider_pb2.UpdateRequest, context: Any) -> provider_pb2.UpdateResponse:  # noqa: ARG002
        kind, news = _type(request.urn), from_wire(request.news)
        if request.preview:
            return provider_pb2.UpdateResponse(properties=to_wire(_previewed(kind, news)))
        _refuse_unknown(plain(news), request.urn)
        try:
            outputs = kind.update(self._context(request.urn), request.id, plain(news))
        except MissingError:
            raise PluginError(f"{request.id} is gone; `pulumi refresh` first") from None
        return provider_pb2.UpdateResponse(properties=to_wire({**news, **outputs}))

    @_told
    def Delete(self, request: provider_pb2.DeleteRequest, context: Any) -> empty_pb2.Empty:  # noqa: ARG002
        _type(request.urn).delete(
            self._context(request.urn), request.id, plain(from_wire(request.properties))
        )
        return empty_pb2.Empty()

    def Cancel(self, request: Any, context: Any) -> empty_pb2.Empty:  # noqa: ARG002
        self.cancelled.set()
        return empty_pb2.Empty()

    def _context(self, urn: str) -> Context:
        # A client each thread: its connections are not to be shared, and making one asks the engine for its version.
        if getattr(self._local, "host", None) != self._host:
            # The variables for TLS hold for a host that the stack names as well.
            environment = {**os.environ, "DOCKER_HOST": self._host} if self._host else dict(os.environ)
            self._local.api = docker.APIClient(
                **docker.utils.kwargs_from_env(environment),
                use_ssh_client=True,
                version="auto",
                timeout=ENGINE_SECONDS,
            )
            self._local.host = self._host
        return Context(api=self._local.api, host=self._host, urn=urn, log=self._log, cancelled=self.cancelled)


_OFFICIAL: Final = f"the official docker plugin does (pulumi plugin install resource docker {VERSION})"


def _type(urn: str) -> ResourceType:
    name = urn.split("::")[2].rsplit("$", 1)[-1]
    try:
        return TYPES[name]
    except KeyError:
        raise PluginError(f"this stand-in plugin does not know the type {name}; {_OFFICIAL}") from None


def _unknown_input(key: str, kind: ResourceType) -> provider_pb2.CheckFailure:
    near = difflib.get_close_matches(key, kind.traits.inputs, n=1)
    meant = f"did you mean {near[0]}? Else " if near else ""
    return provider_pb2.CheckFailure(
        property=key, reason=f"this stand-in plugin does not know {key}; {meant}{_OFFICIAL}"
    )


def _name(request: provider_pb2.CheckRequest) -> str:
    seed = request.randomSeed or secrets.token_bytes(16)
    return f"{request.urn.split('::')[-1]}-{hashlib.sha256(seed).hexdigest()[:7]}"


def _previewed(kind: ResourceType, inputs: Properties) -> Properties:
    return {**inputs, **{key: UNKNOWN for key in kind.traits.computed if key not in inputs}}


def _refuse_unknown(inputs: Properties, urn: str) -> None:
    if has_unknown(inputs):
        raise PluginError(f"{urn}: a value is still unknown, and this is no preview")
