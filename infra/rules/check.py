"""All rules, and the settings held to those of their target."""

from __future__ import annotations

from typing import Final

from infra.config import Settings
from infra.rules import aws, both, docker, network
from infra.rules.rule import Rule
from infra.values import ConfigError

# A network that is none has no addresses to count: the rules about names come first.
RULES: Final[tuple[Rule, ...]] = (*docker.RULES, *both.RULES, *network.RULES, *aws.RULES)


def check(settings: Settings) -> None:
    """Raises `ConfigError` for the first rule that the settings break, with the chain of values and what to change."""
    for rule in RULES:
        if settings.target in rule.targets and (refusal := rule.refusal(settings)) is not None:
            raise ConfigError(refusal)
