"""Whatever is printed, secrets are not in it."""

from __future__ import annotations

import asyncio
import logging
import pickle
import traceback
from typing import Any

import pytest
from conftest import World
from lastgood import AsyncVault, BackupError, Vault

CANARIES = ("canary-passphrase", "canary-password", "canary-option")


def assert_clean(*values: object) -> None:
    for value in values:
        for text in (repr(value), str(value), repr(vars(value)) if hasattr(value, "__dict__") else ""):
            for canary in CANARIES:
                assert canary not in text, text


def secret_options(world: World) -> dict[str, Any]:
    return world.options(
        database="postgres://app:canary-password@127.0.0.1:1/shop",
        store_options={"aws_secret_access_key": "canary-option"},
    )


def test_nothing_that_is_printed_holds_a_secret(small: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    options = secret_options(small)
    vault, coroutines = Vault(**options), AsyncVault(**options)
    assert_clean(vault, coroutines, vault._native, vault._calls)
    assert "127.0.0.1" in repr(vault)

    async def run() -> None:
        async with coroutines as opened:
            assert_clean(opened)
            with pytest.raises(BackupError) as caught:
                await opened.backup()
            assert_clean(caught.value, *caught.value.args)

    asyncio.run(run())
    target = options["database"]
    for attempt in (vault.backup, lambda: vault.restore("latest", target=target)):
        with pytest.raises(BackupError) as caught:
            attempt()
        assert_clean(caught.value, *caught.value.args, pickle.dumps(caught.value))
        trace = "".join(traceback.format_exception(caught.value))
        assert not any(canary in trace for canary in CANARIES)
    assert not any(canary in caplog.text for canary in CANARIES)
    health, metrics = vault.health(), vault.metrics()
    assert_clean(health, health.to_dict(), metrics)


@pytest.mark.parametrize(
    "wrong",
    [
        {"database": "nonsense://app:canary-password@host/db"},
        {"database": "postgres://app:canary-password@:99999999/db"},
        {"store": "s3://key:canary-password@bucket/prefix?x=["},
        {"key": "raw:canary-passphrase"},
        {"key": ["canary-passphrase"]},
        {"key": {"canary-passphrase": 1}},
        {"store_options": {"no_such_option": ["canary-option"]}},
        {"signing_key_file": "/nonexistent/file", "key": "canary-passphrase"},
    ],
    ids=lambda wrong: ",".join(wrong),
)
def test_refused_options_are_not_repeated(small: World, wrong: dict[str, Any]) -> None:
    with pytest.raises((BackupError, TypeError)) as caught:
        Vault(**small.options(**wrong)).backup()
    assert_clean(caught.value)


def test_a_wrong_key_is_not_repeated(small: World) -> None:
    with small.vault() as vault:
        vault.backup()
    with pytest.raises(BackupError) as caught:
        small.vault(key="canary-passphrase that opens nothing at all here")
    assert caught.value.code == "wrong_key"
    assert_clean(caught.value)
