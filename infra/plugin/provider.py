"""The provider protocol: dispatches the engine's calls to a package's types, and keeps its promises about values."""

from __future__ import annotations

import difflib
import functools
import hashlib
import json
import os
import secrets
import threading
from collections.abc import Callable
from typing import Any, Final, NoReturn, TypeVar

import docker
import grpc
from docker.utils import kwargs_from_env
from google.protobuf import empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from infra.plugin.diff import DEFAULTS, diff
from infra.plugin.enginelog import EngineLog
from infra.plugin.package import Package
from infra.plugin.properties import UNKNOWN, Properties, from_wire, has_unknown, plain, to_wire
from infra.plugin.resource import Context, MissingError, PluginError, Refusing, ResourceType, Traits

ENGINE_SECONDS: Final = 60
"""Limit of one call to the Docker engine."""

Handler = TypeVar("Handler", bound=Callable[..., Any])


def _told(handler: Handler) -> Handler:
    """Errors that a user can act on reach the engine as their sentence; others as what they are."""

    @functools.wraps(handler)
    def wrapper(self: Provider, request: Any, context: grpc.ServicerContext) -> Any:
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


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """One process of the plugin. `cancelled`: set by the engine's Cancel; every wait then ends."""

    def __init__(self, package: Package, log: EngineLog) -> None:
        self._package = package
        self.cancelled = threading.Event()
        self._log = log
        self._configured: Properties = {}
        self._local = threading.local()

    def GetPluginInfo(self, request: Any, context: Any) -> plugin_pb2.PluginInfo:  # noqa: ARG002
        return plugin_pb2.PluginInfo(version=self._package.version)

    def GetSchema(self, request: Any, context: Any) -> provider_pb2.GetSchemaResponse:  # noqa: ARG002
        about = {"name": self._package.name, "version": self._package.version}
        return provider_pb2.GetSchemaResponse(schema=json.dumps(about))

    def CheckConfig(self, request: provider_pb2.CheckRequest, context: Any) -> provider_pb2.CheckResponse:  # noqa: ARG002
        given = plain(from_wire(request.news))
        failures = [
            provider_pb2.CheckFailure(property=key, reason=self._unknown(key))
            for key in sorted(given.keys() - self._package.configured)
        ]
        return provider_pb2.CheckResponse(inputs=request.news, failures=failures)

    def DiffConfig(self, request: provider_pb2.DiffRequest, context: Any) -> provider_pb2.DiffResponse:  # noqa: ARG002
        # Nothing that a provider is told makes other things of its resources; the old one may be another package's.
        olds, news = plain(from_wire(request.old_inputs)), plain(from_wire(request.news))
        return diff(Traits(inputs=frozenset(), in_place=frozenset({*olds, *news})), olds, news)

    def Configure(
        self,
        request: provider_pb2.ConfigureRequest,
        context: Any,  # noqa: ARG002
    ) -> provider_pb2.ConfigureResponse:
        self._configured = plain(from_wire(request.args))
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    @_told
    def Check(self, request: provider_pb2.CheckRequest, context: Any) -> provider_pb2.CheckResponse:  # noqa: ARG002
        kind = self._type(request.urn)
        olds, news = from_wire(request.olds), {**from_wire(request.news)}
        failures = [
            self._unknown_input(key, kind) for key in sorted(news.keys() - kind.traits.inputs - {DEFAULTS})
        ]
        failures += [
            provider_pb2.CheckFailure(property=key, reason=f"{key} is missing")
            for key in sorted(kind.traits.required - news.keys())
        ]
        if failures:
            return provider_pb2.CheckResponse(failures=failures)
        chosen = {key: value for key, value in kind.traits.defaults.items() if key not in news}
        name = kind.traits.named
        if kind.traits.auto_named and not news.get(name):
            kept = olds.get(name) if name in olds.get(DEFAULTS, []) else None
            chosen[name] = kept or _name(request)
        if chosen:
            news |= {**chosen, DEFAULTS: sorted(chosen)}
        news |= kind.check(plain(news))
        return provider_pb2.CheckResponse(inputs=to_wire(news))

    def Diff(self, request: provider_pb2.DiffRequest, context: Any) -> provider_pb2.DiffResponse:  # noqa: ARG002
        olds = plain(from_wire(request.old_inputs))
        ignored = set(request.ignoreChanges)
        news = {**plain(from_wire(request.news)), **{key: olds[key] for key in ignored if key in olds}}
        return diff(self._type(request.urn).traits, olds, news)

    @_told
    def Create(self, request: provider_pb2.CreateRequest, context: Any) -> provider_pb2.CreateResponse:  # noqa: ARG002
        kind, inputs = self._type(request.urn), from_wire(request.properties)
        if isinstance(kind, Refusing):
            kind.refuse(plain(inputs))
        if request.preview:
            return provider_pb2.CreateResponse(properties=to_wire(_previewed(kind, inputs)))
        _refuse_unknown(plain(inputs), request.urn)
        made, outputs = kind.create(self._context(request.urn), plain(inputs))
        return provider_pb2.CreateResponse(id=made, properties=to_wire({**inputs, **outputs}))

    @_told
    def Read(self, request: provider_pb2.ReadRequest, context: Any) -> provider_pb2.ReadResponse:  # noqa: ARG002
        kind, inputs = self._type(request.urn), from_wire(request.inputs)
        state = from_wire(request.properties)
        if not inputs:
            raise PluginError(f"{self._package.who} imports nothing; {self._package.remedy}")
        try:
            outputs = kind.read(self._context(request.urn), request.id, plain(inputs))
        except MissingError:
            return provider_pb2.ReadResponse()
        told = _told_back(inputs, outputs) if kind.traits.tells else inputs
        return provider_pb2.ReadResponse(
            id=request.id, inputs=to_wire(told), properties=to_wire({**state, **outputs})
        )

    @_told
    def Update(self, request: provider_pb2.UpdateRequest, context: Any) -> provider_pb2.UpdateResponse:  # noqa: ARG002
        kind, news = self._type(request.urn), from_wire(request.news)
        if request.preview:
            kept = from_wire(request.olds) if kind.traits.keeps else {}
            return provider_pb2.UpdateResponse(properties=to_wire({**kept, **_previewed(kind, news)}))
        _refuse_unknown(plain(news), request.urn)
        try:
            olds = plain(from_wire(request.olds))
            outputs = kind.update(self._context(request.urn), request.id, plain(news), olds)
        except MissingError:
            raise PluginError(f"{request.id} is gone; `pulumi refresh` first") from None
        return provider_pb2.UpdateResponse(properties=to_wire({**news, **outputs}))

    @_told
    def Delete(self, request: provider_pb2.DeleteRequest, context: Any) -> empty_pb2.Empty:  # noqa: ARG002
        state = plain(from_wire(request.properties))
        self._type(request.urn).delete(self._context(request.urn), request.id, state)
        return empty_pb2.Empty()

    @_told
    def Invoke(self, request: provider_pb2.InvokeRequest, context: Any) -> provider_pb2.InvokeResponse:  # noqa: ARG002
        function = self._package.functions.get(request.tok)
        if function is None:
            raise PluginError(self._unknown(f"the function {request.tok}"))
        answer = function(self._context(""), plain(from_wire(request.args)))
        response = provider_pb2.InvokeResponse()
        getattr(response, "return").CopyFrom(to_wire(answer))  # a word of Python's
        return response

    def Cancel(self, request: Any, context: Any) -> empty_pb2.Empty:  # noqa: ARG002
        self.cancelled.set()
        return empty_pb2.Empty()

    def _context(self, urn: str) -> Context:
        return Context(
            connect=self._api,
            configured=self._configured,
            urn=urn,
            log=self._log,
            cancelled=self.cancelled,
        )

    def _api(self) -> docker.APIClient:
        # A client each thread: its connections are not to be shared, and making one asks the engine for its version.
        host = str(self._configured.get("host") or "")
        if getattr(self._local, "host", None) != host:
            # The variables for TLS hold for a host that the stack names as well.
            environment = {**os.environ, "DOCKER_HOST": host} if host else dict(os.environ)
            self._local.api = docker.APIClient(
                **kwargs_from_env(environment),
                use_ssh_client=True,
                version="auto",
                timeout=ENGINE_SECONDS,
            )
            self._local.host = host
        api: docker.APIClient = self._local.api
        return api

    def _type(self, urn: str) -> ResourceType:
        name = urn.split("::")[2].rsplit("$", 1)[-1]
        try:
            return self._package.types[name]
        except KeyError:
            raise PluginError(self._unknown(f"the type {name}")) from None

    def _unknown_input(self, key: str, kind: ResourceType) -> provider_pb2.CheckFailure:
        near = difflib.get_close_matches(key, kind.traits.inputs, n=1)
        meant = f"did you mean {near[0]}? Else " if near else ""
        return provider_pb2.CheckFailure(property=key, reason=self._unknown(key, meant))

    def _unknown(self, what: str, meant: str = "") -> str:
        return f"{self._package.who} does not know {what}; {meant}{self._package.remedy}"


def _name(request: provider_pb2.CheckRequest) -> str:
    seed = request.randomSeed or secrets.token_bytes(16)
    return f"{request.urn.split('::')[-1]}-{hashlib.sha256(seed).hexdigest()[:7]}"


def _told_back(inputs: Properties, outputs: Properties) -> Properties:
    """The inputs as they are; one that is as it was given stays marked as it is (a secret)."""
    return {
        key: outputs[key] if key in outputs and outputs[key] != plain(value) else value
        for key, value in inputs.items()
    }


def _previewed(kind: ResourceType, inputs: Properties) -> Properties:
    return {**inputs, **{key: UNKNOWN for key in kind.traits.computed if key not in inputs}}


def _refuse_unknown(inputs: Properties, urn: str) -> None:
    if has_unknown(inputs):
        raise PluginError(f"{urn}: a value is still unknown, and this is no preview")
