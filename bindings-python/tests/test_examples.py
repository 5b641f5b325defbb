"""The examples run as they are."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import lastgood
import pytest
from conftest import PASSPHRASE, REPOSITORY, World

EXAMPLES = REPOSITORY / "examples/python"
SUNDAY, MONDAY = date(2026, 11, 22), date(2026, 11, 23)


@pytest.fixture
def configured(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world that the environment describes, and the examples where Python finds them."""
    monkeypatch.setenv("DATABASE_URL", world.database)
    monkeypatch.setenv("BACKUP_STORE_URL", str(world.store))
    monkeypatch.setenv("BACKUP_ENCRYPTION_KEY", PASSPHRASE)
    monkeypatch.syspath_prepend(str(EXAMPLES))
    yield world
    for name in ("airflow_task", "collector", "nightly", "progress", "service"):
        sys.modules.pop(name, None)


def test_the_nightly_script_backs_up_and_proves(configured: World) -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / "nightly.py"], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    with lastgood.Vault() as vault:
        (made,) = vault.list()
    assert made.tags == ("nightly",)
    assert made.id in done.stderr


def test_the_nightly_script_drills_on_sundays(configured: World) -> None:
    import nightly

    assert nightly.main(MONDAY) == 0
    with lastgood.Vault() as vault:
        assert vault.list()[0].drilled_at is None
        assert nightly.main(SUNDAY) == 0
        assert vault.list()[0].drilled_at is not None


def test_the_nightly_script_tells_what_to_do_and_whether_to_try_again(
    configured: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import nightly

    monkeypatch.setenv("DATABASE_URL", "sqlite:/nonexistent/shop.db")
    assert nightly.main(MONDAY) == 1
    monkeypatch.setenv("DATABASE_URL", "postgres://nobody@127.0.0.1:1/shop")
    with caplog.at_level(logging.ERROR, "nightly"):
        assert nightly.main(MONDAY) == 75
    assert "database_unavailable" in caplog.text


def test_the_service_serves_health_and_metrics(configured: World) -> None:
    from fastapi.testclient import TestClient
    from service import app

    with TestClient(app) as client:
        assert client.get("/live").json() == {"status": "ok"}
        with lastgood.Vault() as vault:
            made = vault.backup()
            vault.drill(made.id)
        health = client.get("/health")
        assert health.status_code == 200, health.text
        told = health.json()
        assert (told["status"], told["db"], told["database"]) == ("ok", "ok", "connected")
        assert told["backup"]["id"] == made.id
        metrics = client.get("/metrics")
        assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert "lastgood_backup_last_success_timestamp_seconds{" in metrics.text
        assert client.get("/backups").json()[0]["id"] == made.id


def test_the_service_answers_503_when_the_database_is_down(configured: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from fastapi.testclient import TestClient
    from service import app

    with lastgood.Vault() as vault:
        vault.backup()
    monkeypatch.setenv("DATABASE_URL", "postgres://app:canary-password@127.0.0.1:1/shop")
    with TestClient(app) as client:
        health = client.get("/health")
        assert health.status_code == 503
        assert health.json()["db"] == "down"
        assert "canary" not in health.text


def test_the_airflow_task_hands_on_plain_values(configured: World) -> None:
    from airflow_task import back_up

    handed_on = back_up(run_id="scheduled__2026-11-21", dag="ignored")
    assert json.loads(json.dumps(handed_on))["id"].startswith("backup-")
    with lastgood.Vault() as vault:
        (made,) = vault.list()
    assert made.drilled_at is not None
    assert made.tags == ("run:scheduled__2026-11-21",)


def test_the_airflow_task_is_tried_again_only_when_that_may_help(
    configured: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_task import GiveUp, back_up

    monkeypatch.setenv("DATABASE_URL", "sqlite:/nonexistent/shop.db")
    with pytest.raises(GiveUp, match="database_not_found"):
        back_up()
    monkeypatch.setenv("DATABASE_URL", "postgres://nobody@127.0.0.1:1/shop")
    with pytest.raises(lastgood.UnavailableError):
        back_up()


def test_the_collector_fills_a_registry(configured: World) -> None:
    from collector import LastgoodCollector
    from prometheus_client import CollectorRegistry, generate_latest

    with lastgood.Vault() as vault:
        vault.backup()
        registry = CollectorRegistry()
        registry.register(LastgoodCollector(vault))
        text = generate_latest(registry).decode()
        labels = next(iter(vault.metrics().splitlines()))
        assert labels.startswith("# HELP lastgood_")
        assert "lastgood_backup_last_success_timestamp_seconds{" in text


@pytest.mark.parametrize("bar", ["tqdm_bar", "rich_bar"])
def test_progress_bars_follow_a_backup(configured: World, bar: str, capfd: pytest.CaptureFixture[str]) -> None:
    import progress

    with lastgood.Vault() as vault, getattr(progress, bar)() as tell:
        vault.backup(on_progress=tell)
    output = capfd.readouterr()
    assert "committing" in output.out + output.err
    assert Path(progress.__file__).parent == EXAMPLES
