"""The core's log records arrive at the logger `lastgood`."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest
from conftest import World


def test_records_arrive_with_their_fields(small: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "lastgood")
    with small.vault() as vault:
        made = vault.backup()
    (record,) = [r for r in caplog.records if r.getMessage().startswith("backup committed")]
    assert record.name == "lastgood"
    assert record.levelno == logging.INFO
    assert record.__dict__["fields"]["backup_id"] == made.id
    assert record.__dict__["target"].startswith("lastgood::")
    assert made.id in record.getMessage()
    # They come in the thread that called, where its context is.
    assert record.thread == threading.get_ident()


def test_only_what_the_logger_wants_is_told(small: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "lastgood")
    with small.vault() as vault:
        vault.backup()
    assert caplog.records == []
    caplog.set_level(logging.INFO, "lastgood")
    with small.vault() as vault:
        vault.backup()
    assert {r.levelno for r in caplog.records} == {logging.INFO}


def test_a_warning_that_stops_nothing_is_told(small: World, caplog: pytest.LogCaptureFixture) -> None:
    with small.vault() as vault:
        made = vault.backup()
        (small.store / "shop" / made.id / "manifest.json").write_text("{}")
        assert vault.list() == []
    (record,) = [r for r in caplog.records if r.name == "lastgood"]
    assert record.levelno == logging.WARNING
    assert "a damaged backup is not listed" in record.getMessage()


def test_coroutines_tell_them_in_the_event_loop(small: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "lastgood")

    async def run() -> None:
        async with small.async_vault() as vault:
            await vault.backup()

    asyncio.run(run())
    assert [r.thread for r in caplog.records if "backup committed" in r.getMessage()] == [threading.get_ident()]
