"""Which configuration is taken, and how the rest is refused."""

from __future__ import annotations

from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.config import CA_BUNDLE_BYTES, ROOT, ConfigError, Settings, known_keys, read_settings, secret_keys
from tests.infra.mocked import run

PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


def settings_of(config: dict[str, str], secrets: dict[str, str] | None = None) -> Settings:
    found: list[Settings] = []
    run(lambda: found.append(read_settings()), config, secrets)
    return found[0]


def refusal(config: dict[str, str], secrets: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as refused:
        settings_of(config, secrets)
    return str(refused.value)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"sandboxMemoryMb": "12"}, "vaporforge:sandboxMemoryMb is 12; it must be 256 or more"),
        ({"sandboxMemoryMb": "lots"}, "vaporforge:sandboxMemoryMb is 'lots'; it must be a whole number"),
        ({"sandboxCpus": "0"}, "vaporforge:sandboxCpus is 0; it must be 0.1 or more"),
        ({"sandboxCpus": "nan"}, "vaporforge:sandboxCpus is nan; it must be 0.1 or more"),
        ({"port": "70000"}, "vaporforge:port is 70000; it must be 1 or more and at most 65535"),
        ({"gatewayReplicas": "0"}, "vaporforge:gatewayReplicas is 0; it must be 1 or more and at most 16"),
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
        ({"target": "aws"}, "vaporforge:target is aws, which is not built yet; it must be docker"),
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
        ({}, "http://localhost:8080"),
        ({"port": "9090", "bindAddress": "0.0.0.0"}, "http://localhost:9090"),
        ({"bindAddress": "10.1.2.3"}, "http://10.1.2.3:8080"),
        ({"bindAddress": "fd00::1"}, "http://[fd00::1]:8080"),
    ],
)
def test_the_url_is_where_a_browser_finds_it(config: dict[str, str], url: str) -> None:
    assert settings_of(config).url == url


def test_a_certificate_makes_the_url_https() -> None:
    assert settings_of({}, {"tlsCertificate": PEM}).url == "https://localhost:8080"
