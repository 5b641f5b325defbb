"""A collector for prometheus_client: the metrics of lastgood in the registry that an application has already.

from prometheus_client import REGISTRY
REGISTRY.register(LastgoodCollector(vault))
"""

from __future__ import annotations

from collections.abc import Iterator

from lastgood import Vault
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector


class LastgoodCollector(Collector):
    """Asks a vault whenever the registry is read; the vault keeps an answer for 15 seconds."""

    def __init__(self, vault: Vault) -> None:
        """Any vault: its database's and its backups' metrics are collected."""
        self.vault = vault

    def collect(self) -> Iterator[Metric]:
        """Every family of metrics there is."""
        yield from text_string_to_metric_families(self.vault.metrics())

    def describe(self) -> list[Metric]:
        """Nothing is promised beforehand, so that registering asks nobody."""
        return []
