"""Every verb, on every engine, with what goes in and what comes out."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from conftest import PASSPHRASE, ROWS, World
from lastgood import (
    AsyncVault,
    BackupError,
    DeniedError,
    HealthCheck,
    InvalidError,
    NotFoundError,
    RefusedError,
    Settings,
    Vault,
)


@pytest.mark.parametrize("world", ["sqlite", "postgres", "mysql"], indirect=True)
def test_the_life_of_a_backup(world: World) -> None:
    before = datetime.now(timezone.utc) - timedelta(seconds=2)
    with world.vault() as vault:
        made = vault.backup(tags=["nightly", "blue"])
        assert made.rows == ROWS
        assert before < made.started_at <= made.finished_at
        assert made.started_at.tzinfo is timezone.utc
        assert isinstance(made.duration, timedelta)

        (listed,) = vault.list()
        assert listed.id == made.id
        assert listed.tags == ("nightly", "blue")
        assert listed.verified_at is None
        assert vault.list(limit=0) == []

        verified = vault.verify(made.id)
        assert verified.stored_bytes == made.stored_bytes
        drilled = vault.drill("latest", queries=["SELECT count(*) = 3 FROM person"])
        assert (drilled.id, drilled.rows, drilled.queries) == (made.id, ROWS, 1)

        target = world.new_database()
        restored = vault.restore(made.id, target=target, no_owner=True, no_privileges=True)
        assert restored.bytes == made.source_bytes

        exported = vault.export(made.id, folder=world.folder / "out")
        assert exported.folder == world.folder / "out"
        assert len(list(exported.folder.iterdir())) == exported.files

        shown = vault.show(made.id[:-1])
        assert [proof.kind for proof in shown.proofs] == ["verify", "drill"]
        assert shown.drilled_at is not None
        assert {table.rows for table in shown.table_summaries} == {2, 3}

        rotated = vault.rotate_key(to_passphrase="another-passphrase gravel onion sixfold tundra", work_factor=4)
        assert rotated.removed is not None
    with pytest.raises(DeniedError) as caught:
        world.vault()
    assert caught.value.code == "wrong_key"


def test_the_same_with_coroutines(world: World) -> None:
    async def life() -> None:
        async with world.async_vault() as vault:
            made = await vault.backup(tags=["nightly"])
            listed, verified = await asyncio.gather(vault.list(limit=1), vault.verify(made.id))
            assert [b.id for b in listed] == [verified.id] == [made.id]
            await vault.drill(made.id)
            await vault.restore(made.id, target=world.new_database())
            await vault.export(made.id, folder=world.folder / "out")
            assert (await vault.show("latest")).drilled_at is not None
            await vault.rotate_key(to_passphrase="another-passphrase gravel onion sixfold tundra", work_factor=4)

    asyncio.run(life())


def test_keys_are_added_shown_changed_and_removed(small: World) -> None:
    second, third = "walnut-harbor-eleven-copper-violet-summit", "lantern-pebble-orchard-nineteen-velvet-canoe"
    with small.vault() as vault:
        made = vault.backup()
        added = vault.add_key(passphrase=second, name="safe", work_factor=4)
        assert (added.slot, added.proven) == ("1-safe", True)
        report = vault.keys()
        assert [(slot.slot, slot.kind, slot.opens_here, slot.backups) for slot in report.slots] == [
            ("1-main", "passphrase", True, 1),
            ("1-safe", "passphrase", False, 1),
        ]
        assert report.slots[0].written_at.tzinfo is timezone.utc
        with pytest.raises(RefusedError) as last:
            vault.remove_key("1-main")
        assert last.value.code == "key_slot"
        rotated = vault.rotate_key(to_passphrase=third, new_epoch=True, work_factor=4)
        assert (rotated.epoch, rotated.removed, list(rotated.behind)) == (2, "1-main", ["1-safe"])
        assert [behind.backup for behind in vault.keys().behind] == [made.id]
        assert vault.rewrap().rewrapped == 1
        (done,) = vault.reencrypt().reencrypted
        assert (done.backup, done.removed) == (made.id, True)
        assert not vault.keys().behind
        assert vault.remove_key("1-safe").opens_with == "2-main"

    async def opened() -> None:
        async with small.async_vault(key=third) as vault:
            await vault.verify(done.by)
            assert (await vault.keys()).epoch == 2
            assert (await vault.rewrap(all=True)).rewrapped == 1

    asyncio.run(opened())


def test_what_can_be_seen_of_it(world: World) -> None:
    with world.vault() as vault:
        made = vault.backup()
        own = HealthCheck(name="queue", status="degraded", message="long")
        health = vault.health(max_age=timedelta(hours=1), max_drill_age=86_400, checks=[own], health_json=True)
        assert (health.status, health.http_status, health.db) == ("degraded", 200, "ok")
        assert health.backup.id == made.id
        assert health.backup.last_success_at == made.started_at
        assert health.backup.age is not None
        assert health.backup.age < health.backup.max_age == timedelta(hours=1)
        assert own in health.checks
        assert health.health_json["status"] == "warn"
        metrics = vault.metrics(cache=0, timeout_seconds=timedelta(seconds=30))
        assert "lastgood_backup_last_success_timestamp_seconds{" in metrics
        stats = vault.database_stats()
        assert stats.engine in ("sqlite", "postgres")
        assert stats.size_bytes
        assert stats.largest_tables or stats.engine == "sqlite"

    async def ask() -> None:
        async with world.async_vault() as vault:
            health, metrics, stats = await asyncio.gather(vault.health(), vault.metrics(), vault.database_stats())
            assert health.status == "ok"
            assert metrics.startswith("# HELP")
            assert stats.size_bytes

    asyncio.run(ask())


def test_errors_say_what_to_do_next(small: World) -> None:
    with small.vault() as vault:
        made = vault.backup()
        with pytest.raises(NotFoundError) as missing:
            vault.verify("backup-19990101-000000")
        assert missing.value.code == "backup_not_found"
        assert missing.value.kind == "not_found"
        assert not missing.value.retryable
        target = small.new_database()
        vault.restore(made.id, target=target)
        with pytest.raises(RefusedError) as refused:
            vault.restore(made.id, target=target)
        assert refused.value.code == "target_not_empty"
        assert refused.value.next
        assert str(refused.value) == f"{refused.value.message}; {refused.value.next}"
        vault.restore(made.id, target=target, overwrite=True)


def test_what_the_core_does_not_understand_is_refused_by_the_core(small: World) -> None:
    with pytest.raises(InvalidError) as caught:
        small.vault(settings={"jobs": 0})
    assert caught.value.code == "invalid_option"
    assert "jobs" in str(caught.value)
    with pytest.raises(InvalidError, match="no store was given"):
        Vault(database=small.database)


def test_a_text_is_not_taken_for_a_list(small: World) -> None:
    with small.vault() as vault, pytest.raises(TypeError, match="give a list"):
        vault.backup(tags="nightly")


def test_settings_and_key_files_go_in(small: World) -> None:
    key_file = small.folder / "key"
    key_file.write_text(PASSPHRASE + "\n")
    options = small.options(key=None, key_file=key_file, settings={"codec": "none"})
    with Vault(**options) as vault:
        made = vault.backup()
        assert made.stored_bytes >= made.source_bytes


def test_the_environment_fills_in_what_is_absent(small: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", small.database)
    monkeypatch.setenv("BACKUP_STORE_URL", str(small.store))
    monkeypatch.setenv("BACKUP_ENCRYPTION_KEY", PASSPHRASE)
    with Vault.from_env() as vault:
        assert str(small.store) in repr(vault)
    asyncio.run(AsyncVault.from_env().close())


def test_live_sqlite_files_are_opened_by_a_process_of_their_own(small: World) -> None:
    options = small.options()
    options["settings"] = Settings(work_dir=small.work_dir, command=["/nonexistent/lastgood"])
    with Vault(**options) as vault, pytest.raises(BackupError, match="/nonexistent/lastgood"):
        vault.backup()
    with small.vault() as vault:
        vault.backup()


def test_that_process_takes_no_module_from_the_current_folder(small: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("lastgood", "signal", "threading"):
        (small.folder / f"{name}.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(small.folder)
    with small.vault() as vault:
        vault.backup()


def test_a_closed_vault_says_so(small: World) -> None:
    vault = small.vault()
    vault.close()
    vault.close()
    assert repr(vault) == "Vault(closed)"
    with pytest.raises(RuntimeError, match="closed"):
        vault.list()


def test_a_store_given_as_a_path_is_a_path(small: World) -> None:
    assert isinstance(small.store, Path)
    with small.vault() as vault:
        vault.backup()
    assert small.store.is_dir()
