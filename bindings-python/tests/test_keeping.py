"""What is kept and what is deleted: prune, hold and release."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone

import pytest
from conftest import World
from lastgood import InvalidError, Keep, NotFoundError, Vault


def ids(vault: Vault) -> list[str]:
    return [backup.id for backup in vault.list()]


def test_prune_explains_then_marks_then_deletes_what_no_rule_keeps(world: World) -> None:
    with world.vault() as vault:
        first, second, third, fourth = [vault.backup().id for _ in range(4)]
        vault.drill(second)
        plan = vault.prune(keep=Keep(last=1), dry_run=True)
        assert plan.dry_run
        assert plan.freed_bytes == 0
        told = {decision.backup: (decision.action, decision.reasons) for decision in plan.decisions}
        assert told[first] == ("mark", ("no rule of `1` keeps it",))
        assert told[fourth][0] == "keep"
        assert "newest" in told[fourth][1]
        assert told[second][0] == "keep", "the newest proven one stays, whatever the rules say"
        assert len(ids(vault)) == 4

        # Somebody may still be reading what is to go: it is marked now and deleted after a time of grace.
        vault.prune(keep=Keep(last=1), grace=timedelta(hours=1))
        assert len(ids(vault)) == 4
        report = vault.prune(keep=Keep(last=1), grace=0)
        assert report.freed_bytes > 0
        assert ids(vault) == [fourth, second]
        assert not [name for name in world.stored() if f"/{first}/" in name or f"/{third}/" in name]
        vault.verify(second)


def test_what_is_held_stays_until_its_date_or_its_release(small: World) -> None:
    with small.vault() as vault:
        first, second, newest = [vault.backup().id for _ in range(3)]
        until = datetime.now(timezone.utc) + timedelta(days=365)
        for_ever = vault.hold(first, reason="audit 2026").held_until
        assert for_ever is not None
        assert for_ever.year == 9999
        held = vault.hold(second, until=until)
        assert held.id == second
        assert held.held_until is not None
        assert abs(held.held_until - until) < timedelta(seconds=1)
        report = vault.prune(keep=Keep(last=1), grace=0)
        assert [decision.action for decision in report.decisions] == ["keep"] * 3
        assert any("held until" in reason for reason in report.decisions[-1].reasons)
        assert vault.release(first).held_until is None
        vault.prune(keep=Keep(last=1), grace=0)
        assert ids(vault) == [newest, second]
        with pytest.raises(NotFoundError):
            vault.hold("backup-19990101-000000")
        with pytest.raises(ValueError, match="time zone"):
            vault.hold(second, until=datetime(2030, 1, 1))
        with pytest.raises(InvalidError):
            vault.prune(keep=Keep(last=0))


def test_the_same_with_coroutines(small: World) -> None:
    async def run() -> None:
        async with small.async_vault() as vault:
            first, second = [(await vault.backup()).id for _ in range(2)]
            await vault.hold(first)
            await vault.prune(keep=Keep(last=1), grace=0)
            assert [backup.id for backup in await vault.list()] == [second, first]
            await vault.release(first)
            await vault.prune(keep=Keep(last=1), grace=0)
            assert [backup.id for backup in await vault.list()] == [second]

    asyncio.run(run())
