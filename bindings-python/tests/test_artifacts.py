"""Dumps of old scripts: listed, verified, restored, and turned into backups."""

from __future__ import annotations

import gzip
import hashlib
import subprocess
from pathlib import Path

import psycopg
import pytest
from conftest import ROWS, World
from lastgood import DamagedError, NotFoundError, Vault

NAME = "backup-20240101-020000.dump.gz"

on_postgres = pytest.mark.parametrize("world", ["postgres"], indirect=True)


def old_dump(world: World) -> Path:
    """What a nightly script left: pg_dump through gzip, with a checksum beside it."""
    program = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_dump"))[0]
    dump = subprocess.run([program, "-Fc", "-Z0", world.database], capture_output=True, check=True).stdout
    world.store.mkdir()
    path = world.store / NAME
    path.write_bytes(gzip.compress(dump))
    path.with_name(f"{NAME}.sha256").write_text(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {NAME}\n")
    return path


def people(database: str) -> int:
    with psycopg.connect(database) as connection:
        row = connection.execute("SELECT count(*) FROM person").fetchone()
    assert row is not None
    return int(row[0])


@on_postgres
def test_an_old_dump_becomes_a_backup(world: World) -> None:
    path = old_dump(world)
    with world.vault() as vault:
        (listed,) = vault.artifacts()
        assert (listed.name, listed.bytes, listed.checksum, listed.encrypted) == (
            NAME,
            path.stat().st_size,
            True,
            False,
        )
        assert listed.started_at is not None
        assert listed.started_at.isoformat() == "2024-01-01T02:00:00+00:00"
        assert vault.verify(NAME).id == NAME
        target = world.new_database()
        vault.restore(NAME, target=target, no_owner=True)
        assert people(target) == 3

        made = vault.import_(NAME, tags=["from the old days"])
        assert made.rows == ROWS
        assert vault.drill(made.id).rows == ROWS
        (backup,) = vault.list()
        assert (backup.id, backup.tags) == (made.id, ("from the old days",))


@on_postgres
def test_a_file_can_be_restored_without_any_store(world: World) -> None:
    path = old_dump(world)
    target = world.new_database()
    with Vault(without_store=True) as vault:
        vault.restore(str(path), target=target)
        with pytest.raises(NotFoundError) as caught:
            vault.verify(str(path.with_name("nothing.dump")))
    assert caught.value.next
    assert people(target) == 3


@on_postgres
def test_a_damaged_dump_is_refused(world: World) -> None:
    path = old_dump(world)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    with world.vault() as vault:
        path.write_bytes(flipped)
        with pytest.raises(DamagedError, match="SHA-256"):
            vault.verify(NAME)
        # Without a checksum, what was cut off is still missed.
        path.with_name(f"{NAME}.sha256").unlink()
        path.write_bytes(whole[:-20])
        with pytest.raises(DamagedError):
            vault.import_(NAME)
        assert vault.artifacts()[0].checksum is False
        assert vault.list() == []
