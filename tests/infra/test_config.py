"""Which configuration is taken, and how the rest is refused."""

from __future__ import annotations

import tempfile
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

from infra.config import ROOT, Settings, known_keys, read_settings, secret_keys
from infra.pem import CA_BUNDLE_BYTES
from infra.rules.check import check
from infra.values import ConfigError
from tests.infra.certificates import certificate_and_key
from tests.infra.mocked import run

PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


def settings_of(config: dict[str, str], secrets: dict[str, str] | None = None) -> Settings:
    found: list[Settings] = []
    run(lambda: found.append(read_settings()), config, secrets)
    check(found[0])
    return found[0]


def refusal(config: dict[str, str], secrets: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as refused:
        settings_of(config, secrets)
    return str(refused.value)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"sandboxMemoryMb": "12"}, "vaporforge:sandboxMemoryMb is 12; it must be 256 or more"),
        (
            {"connections": "4000"},
            "vaporforge:connections is 4000; with vaporforge:bindAddress 127.0.0.1 it must be 2500 at most",
        ),
        (
            {"connections": "2501", "bindAddress": "127.1.2.3"},
            "vaporforge:connections is 2501; with vaporforge:bindAddress 127.1.2.3 it must be 2500 at most",
        ),
        (
            {"connections": "2501", "bindAddress": "0:0:0:0:0:0:0:1"},
            "vaporforge:connections is 2501; with vaporforge:bindAddress 0:0:0:0:0:0:0:1 it must be 2500 at most",
        ),
        (
            {"connections": "2501", "bindAddress": "::"},
            "vaporforge:connections is 2501; with vaporforge:bindAddress :: it must be 2500 at most",
        ),
        (
            {"addressConnections": "5"},
            "vaporforge:addressConnections is 5; it must be 10 or more and at most 20000",
        ),
        ({"sandboxMemoryMb": "lots"}, "vaporforge:sandboxMemoryMb is 'lots'; it must be a whole number"),
        (
            {"sandboxPids": "5000000"},
            "vaporforge:sandboxPids is 5000000; it must be 64 or more and at most 4194304",
        ),
        ({"gatewayMemoryMb": "255"}, "vaporforge:gatewayMemoryMb is 255; it must be 256 or more"),
        ({"proxyMemoryMb": "1g"}, "vaporforge:proxyMemoryMb is '1g'; it must be a whole number"),
        ({"launcherMemoryMb": "0"}, "vaporforge:launcherMemoryMb is 0; it must be 128 or more"),
        ({"tableMemoryMb": "-1"}, "vaporforge:tableMemoryMb is -1; it must be 512 or more"),
        ({"partPids": "10"}, "vaporforge:partPids is 10; it must be 128 or more and at most 4194304"),
        (
            {"partFiles": "8000"},
            "vaporforge:partFiles is 8000; with vaporforge:connections 2000 it must be 8200 or more",
        ),
        (
            {"connections": "5000", "bindAddress": "0.0.0.0"},
            "vaporforge:partFiles is 16384; with vaporforge:connections 5000 it must be 20200 or more",
        ),
        ({"partFiles": "1024"}, "vaporforge:partFiles is 1024; it must be 4096 or more and at most 1048576"),
        ({"sandboxCpus": "0"}, "vaporforge:sandboxCpus is 0; it must be 0.1 or more"),
        ({"sandboxCpus": "nan"}, "vaporforge:sandboxCpus is nan; it must be 0.1 or more"),
        ({"sandboxCpus": "inf"}, "vaporforge:sandboxCpus is inf; it must be 0.1 or more"),
        (
            {"modelApiUrl": "api.anthropic.com"},
            "vaporforge:modelApiUrl is 'api.anthropic.com'; it must be an http or https URL",
        ),
        ({"modelApiUrl": "https://"}, "vaporforge:modelApiUrl is 'https://'; it must be an http"),
        ({"modelApiUrl": "https://a?b=c"}, "vaporforge:modelApiUrl is 'https://a?b=c'; it must be an http"),
        (
            {"allowedOrigins": "https://a.example, b.example"},
            "vaporforge:allowedOrigins is 'https://a.example, b.example'; it must be origins such as",
        ),
        (
            {"allowedOrigins": "https://a.example/"},
            "vaporforge:allowedOrigins is 'https://a.example/'; it must",
        ),
        ({"allowedOrigins": "*"}, "vaporforge:allowedOrigins is '*'; it must be origins"),
        ({"modelApiAllowTools": "*"}, "vaporforge:modelApiAllowTools is '*'; it must be names such as web_"),
        (
            {"modelApiAllowHeaders": "x-a, X-Api-Key"},
            "vaporforge:modelApiAllowHeaders is 'x-a, X-Api-Key'; it must be names of headers",
        ),
        (
            {"dockerHost": "engine:2376"},
            "vaporforge:dockerHost is 'engine:2376'; it must be a unix://, tcp://",
        ),
        ({"dynamodbTable": "ab"}, "vaporforge:dynamodbTable is 'ab'; it must be 3 to 255 letters"),
        ({"dynamodbTable": "a table"}, "vaporforge:dynamodbTable is 'a table'; it must be 3 to 255"),
        ({"sandboxRuntime": "run sc"}, "vaporforge:sandboxRuntime is 'run sc'; it must be the name of"),
        ({"port": "70000"}, "vaporforge:port is 70000; it must be 1 or more and at most 65535"),
        ({"gatewayReplicas": "0"}, "vaporforge:gatewayReplicas is 0; it must be 1 or more and at most 16"),
        ({"egress": "some"}, "vaporforge:egress is 'some'; it must be one of none, registries, list, all"),
        (
            {"egress": "list", "egressAllow": "10.0.0.1"},
            "vaporforge:egressAllow is '10.0.0.1'; it must be hosts",
        ),
        ({"egress": "list"}, "vaporforge:egress is 'list' and vaporforge:egressAllow is empty"),
        (
            {"sandboxInternet": "true", "egress": "none"},
            "vaporforge:sandboxInternet is true and vaporforge:egress is given",
        ),
        ({"sandboxInternet": "yes"}, "vaporforge:sandboxInternet is 'yes'; it must be true or false"),
        (
            {"logLevel": "LOUD"},
            "vaporforge:logLevel is 'LOUD'; it must be one of INFO, DEBUG, WARNING, ERROR",
        ),
        ({"dynamodb": "redis"}, "vaporforge:dynamodb is 'redis'; it must be one of local, aws"),
        (
            {"bindAddress": "here"},
            "vaporforge:bindAddress is 'here'; it must be an IP address of this machine",
        ),
        (
            {"dockerSocket": "docker.sock"},
            "vaporforge:dockerSocket is 'docker.sock'; it must be an absolute path",
        ),
        ({"logDays": "31"}, "vaporforge:logDays is 31; it must be one of 1, 3, 5, 7, 14, 30, 60, "),
        ({"logDays": "1.5"}, "vaporforge:logDays is '1.5'; it must be a whole number"),
        (
            {"albIdleSeconds": "4001"},
            "vaporforge:albIdleSeconds is 4001; it must be 1 or more and at most 4000",
        ),
        ({"zones": "1"}, "vaporforge:zones is 1; it must be 2 or more and at most 3"),
        ({"nat": "two"}, "vaporforge:nat is 'two'; it must be one of one, none, zone"),
        ({"protect": "yes"}, "vaporforge:protect is 'yes'; it must be one of auto, true, false"),
        ({"vpcId": "default"}, "vaporforge:vpcId is 'default'; it must be the id of a VPC"),
        (
            {"publicSubnets": "subnet-0a1b2c3d subnet-1a1b2c3d"},
            "vaporforge:publicSubnets is 'subnet-0a1b2c3d subnet-1a1b2c3d'; it must be ids of subnets, separated",
        ),
        ({"vpcCidr": "10.42.0.0"}, "vaporforge:vpcCidr is '10.42.0.0'; it must be a network such as"),
        ({"region": "Frankfurt"}, "vaporforge:region is 'Frankfurt'; it must be the name of a region"),
        (
            {"certificateArn": "arn:aws:iam::123456789012:server-certificate/x"},
            "vaporforge:certificateArn is 'arn:aws:iam::123456789012:server-certificate/x'; it must be the ARN of",
        ),
        (
            {"domain": "https://forge.example"},
            "vaporforge:domain is 'https://forge.example'; it must be a host's",
        ),
        ({"domain": "forge"}, "vaporforge:domain is 'forge'; it must be a host's name"),
        ({"hostedZone": "example.com"}, "vaporforge:hostedZone is 'example.com'; it must be the id of"),
        ({"alarmTopic": "alarms"}, "vaporforge:alarmTopic is 'alarms'; it must be the ARN of a topic in SNS"),
        ({"poolSize": "-1"}, "vaporforge:poolSize is -1; it must be 0 or more and at most 1000"),
        (
            {"poolSchedule": "Mon-Fri 8-18 Europe/Berlin 10"},
            "vaporforge:poolSchedule is 'Mon-Fri 8-18 Europe/Berlin 10'; it must be windows such as Mon-Fri",
        ),
        ({"target": "moon"}, "vaporforge:target is 'moon'; it must be one of docker, aws"),
        (
            {"dynamodb": "aws"},
            "vaporforge:awsAccessKeyId is not set; vaporforge:dynamodb is aws, so it must be",
        ),
        (
            {"sandboxMemoryMB": "512"},
            "vaporforge:sandboxMemoryMB is not a key of this project; did you mean vaporforge:sandboxMemoryMb?",
        ),
        (
            {"zzz": "1"},
            "vaporforge:zzz is not a key of this project; Pulumi.yaml lists the keys that there are",
        ),
        ({"modelApiKey": "sk-1"}, "vaporforge:modelApiKey is in the clear; it must be encrypted"),
        ({"caBundle": "no/such.pem"}, "vaporforge:caBundle is 'no/such.pem', which cannot be read"),
    ],
)
def test_a_bad_value_is_refused_with_its_key_and_what_it_must_be(
    config: dict[str, str], sentence: str
) -> None:
    assert refusal(config).startswith(sentence)


@pytest.mark.parametrize(
    "config",
    [
        {"modelApiUrl": "http://10.0.0.1:8000/v1"},
        {"modelApiUrl": "https://[fd00::1]:8000"},
        {"allowedOrigins": "https://a.example,http://localhost:3000 , vscode-webview://abc"},
        {"dockerHost": "ssh://me@there"},
        {"dockerHost": "unix:///run/user/1000/docker.sock"},
        {"dynamodbTable": "team_a.sessions-1"},
        {"sandboxRuntime": "io.containerd.runsc.v1"},
        {"vpcId": "vpc-0123456789abcdef0", "publicSubnets": "subnet-0a1b2c3d, subnet-0123456789abcdef0"},
        {"region": "us-gov-west-1"},
        {"certificateArn": "arn:aws:acm:eu-central-1:123456789012:certificate/12345678-abcd"},
        {"domain": "forge.team.example", "hostedZone": "Z0123456789ABCDEFGHIJ"},
        {"alarmTopic": "arn:aws-cn:sns:cn-north-1:123456789012:alarms"},
        {"logDays": "3653"},
        {"poolSchedule": "Mon-Fri 08:00-18:00 Europe/Berlin 10; Sat,Sun 22:00-04:00 America/New_York 0"},
    ],
)
def test_what_is_right_is_taken(config: dict[str, str]) -> None:
    settings_of(config)


def test_a_stack_s_name_is_no_longer_than_the_launcher_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulumi, "get_stack", lambda: "a" * 52)
    assert settings_of({}).stack == "a" * 52
    monkeypatch.setattr(pulumi, "get_stack", lambda: "a" * 53)
    assert "its name has 53 characters and must have 52 at most" in refusal({})


CERTIFICATE, KEY = certificate_and_key()


@pytest.mark.parametrize(
    ("pem", "why"),
    [
        (CERTIFICATE, ""),
        (KEY, ""),
        (PEM, ""),
        ("hello", ""),
        (CERTIFICATE + certificate_and_key()[1], "KEY_VALUES_MISMATCH"),
        ("".join(certificate_and_key("secret")), "its key is encrypted"),
    ],
    ids=["no key", "no certificate", "damaged", "no pem", "another's key", "encrypted"],
)
def test_a_certificate_that_the_proxy_would_not_start_with_is_refused(
    pem: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    message = refusal({}, {"tlsCertificate": pem})
    assert message.startswith("vaporforge:tlsCertificate is nothing that the proxy can serve")
    assert why in message
    assert "PRIVATE" not in message
    assert list(tmp_path.iterdir()) == []


def test_a_short_signing_secret_is_refused_without_being_told() -> None:
    message = refusal({}, {"jwtSecret": "tooshort"})
    assert message == "vaporforge:jwtSecret has 8 bytes; it must have 32 random ones or more"


def test_a_bundle_is_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text(PEM)
    assert settings_of({"caBundle": str(path)}).ca_bundle == PEM


def test_a_bundle_without_certificates_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("hello")
    assert "holds no certificate" in refusal({"caBundle": str(path)})


def test_a_bundle_that_does_not_fit_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text(PEM * (CA_BUNDLE_BYTES // len(PEM) + 1))
    assert "name a file with your own certificates only" in refusal({"caBundle": str(path)})


def test_empty_values_are_the_defaults() -> None:
    assert settings_of(dict.fromkeys(known_keys(), "")) == settings_of({})


def test_pulumi_yaml_describes_every_key_with_its_type_and_default() -> None:
    described = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]
    assert set(described) == known_keys()
    for item in fields(Settings):
        if item.default is MISSING:
            continue
        key = "".join(
            part.capitalize() if number else part for number, part in enumerate(item.name.split("_"))
        )
        if "on_aws" in item.metadata:
            # Pulumi would fill in one default for both targets.
            assert (described[key]["type"], described[key]["default"]) == ("string", ""), key
            told = f"Empty is {item.default}, and {item.metadata['on_aws']} on aws."
            assert described[key]["description"].endswith(told), key
            continue
        types = {"int": "integer", "bool": "boolean", "str": "string", "float": "string", "Secret": "string"}
        assert described[key]["type"] == types[str(item.type)], key
        assert described[key]["description"], key
        default: Any = "" if item.default is None else item.default
        assert type(default)(described[key]["default"]) == default, key
        assert described[key]["description"].startswith("Secret.") is (key in secret_keys()), key


@pytest.mark.parametrize("stack", ["dev", "staging", "prod"])
def test_every_stack_of_the_repository_has_a_valid_configuration(stack: str) -> None:
    content = yaml.safe_load((ROOT / "infra" / "stacks" / f"Pulumi.{stack}.yaml").read_text())
    config = {key.removeprefix("vaporforge:"): str(value) for key, value in content["config"].items()}
    assert settings_of(config).agent == config["agent"]


@pytest.mark.parametrize(
    ("config", "url"),
    [
        ({}, "http://127.0.0.1:8080"),
        ({"port": "9090", "bindAddress": "0.0.0.0"}, "http://127.0.0.1:9090"),
        ({"bindAddress": "10.1.2.3"}, "http://10.1.2.3:8080"),
        ({"bindAddress": "fd00::1"}, "http://[fd00::1]:8080"),
        ({"bindAddress": "::1"}, "http://[::1]:8080"),
        ({"bindAddress": "::"}, "http://[::1]:8080"),
    ],
)
def test_the_url_is_where_a_browser_finds_it(
    config: dict[str, str], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    assert settings_of(config).url == url


@pytest.mark.parametrize(
    ("config", "variable", "url"),
    [
        ({"bindAddress": "0.0.0.0", "dockerHost": "ssh://me@there"}, "", "http://there:8080"),
        ({"bindAddress": "::", "dockerHost": "tcp://there:2376"}, "tcp://other:1", "http://there:8080"),
        ({"bindAddress": "0.0.0.0"}, "tcp://other:2376", "http://other:8080"),
        ({"bindAddress": "0.0.0.0"}, "unix:///run/docker.sock", "http://127.0.0.1:8080"),
        ({"dockerHost": "ssh://me@there"}, "", "http://127.0.0.1:8080"),
        ({"bindAddress": "10.1.2.3", "dockerHost": "ssh://me@there"}, "", "http://10.1.2.3:8080"),
    ],
)
def test_the_url_names_the_machine_of_an_engine_elsewhere(
    config: dict[str, str], variable: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", variable)
    assert settings_of(config).url == url


def test_a_certificate_makes_the_url_https() -> None:
    assert settings_of({}, {"tlsCertificate": CERTIFICATE + KEY}).url == "https://localhost:8080"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("httpProxy", "proxy.example:3128"),
        ("httpProxy", "socks5://proxy.example"),
        ("httpProxy", "http://user:password@proxy.example:3128"),
        ("noProxy", "a b"),
    ],
)
def test_a_proxy_that_is_none_is_refused(key: str, value: str) -> None:
    assert refusal({key: value}).startswith(f"vaporforge:{key} is '{value}'; it must be ")


def test_a_proxy_is_a_setting() -> None:
    settings = settings_of({"httpProxy": "http://proxy.example:3128", "noProxy": ".corp, 10.0.0.1"})
    assert (settings.http_proxy, settings.no_proxy) == ("http://proxy.example:3128", ".corp, 10.0.0.1")


def test_a_base_path_is_part_of_the_url() -> None:
    assert settings_of({"basePath": "/forge"}).url == "http://127.0.0.1:8080/forge"
    for bad in ("forge", "/forge/", "/api", "/api/x", "/proxy", "/a/../b"):
        with pytest.raises(ConfigError, match="basePath"):
            settings_of({"basePath": bad})


def test_a_leeway_leaves_live_connections_less_than_a_minute() -> None:
    assert settings_of({}).token_leeway_seconds == 30
    with pytest.raises(ConfigError, match="tokenLeewaySeconds"):
        settings_of({"tokenLeewaySeconds": "51"})
