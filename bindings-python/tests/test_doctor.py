"""The doctor names what would go wrong, and never raises for it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from conftest import World
from lastgood import Vault


def test_a_whole_set_up_passes(world: World) -> None:
    with world.vault() as vault:
        vault.drill(vault.backup().id)
        before = world.stored()
        report = vault.doctor()
        assert {check.status for check in report.checks} <= {"pass", "warn"}, report
        assert report.status in ("pass", "warn")
        assert all(check.name and check.message for check in report.checks)
        assert all(check.next for check in report.checks if check.status == "warn")
        assert world.stored() == before

    async def ask() -> None:
        async with world.async_vault() as vault:
            assert (await vault.doctor()).status == report.status

    asyncio.run(ask())


def test_what_is_broken_is_a_failed_check_with_a_remedy(small: World) -> None:
    with Vault(**small.options()) as vault:
        Path(small.database.removeprefix("sqlite:")).unlink()
        report = vault.doctor()
    assert report.status == "fail"
    (failed,) = [check for check in report.checks if check.status == "fail"]
    assert "shop.db" in failed.message
    assert failed.next
