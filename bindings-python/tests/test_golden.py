"""Stores that other versions and other languages wrote are read here, and the other way round."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import PASSPHRASE, REPOSITORY, ROWS, World
from lastgood import BackupError, Vault

VECTORS = REPOSITORY / "tests/vectors"
STORES = sorted(path.parent for path in VECTORS.glob("*/*/store.json"))
DAMAGES: list[dict[str, Any]] = json.loads((VECTORS / "damaged.json").read_text("utf-8"))


class Golden:
    """A copy of a golden store, since proofs are written beside backups."""

    def __init__(self, folder: Path, copy: Path) -> None:
        self.folder = folder
        told = json.loads((folder / "store.json").read_text("utf-8"))
        self.backups: list[str] = told["backups"]
        self.rows: int = told["rows"]
        self.store = copy / "store"
        shutil.copytree(folder / "store", self.store)
        files = {k: folder / v for k, v in told["options"].items() if k.endswith("_file")}
        self.options: dict[str, Any] = {**told["options"], **files, "name": told["name"], "store": self.store}

    def object(self, name: str) -> Path:
        for place, backup in enumerate(self.backups):
            name = name.replace(f"{{{place}}}", backup)
        return self.store / name


def dump(path: Path) -> list[str]:
    connection = sqlite3.connect(path)
    try:
        return list(connection.iterdump())
    finally:
        connection.close()


@pytest.mark.parametrize("folder", STORES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_golden_stores_are_read_verified_drilled_and_restored(folder: Path, tmp_path: Path) -> None:
    golden = Golden(folder, tmp_path)
    with Vault(**golden.options) as vault:
        assert [b.id for b in reversed(vault.list())] == golden.backups
        for backup in golden.backups:
            assert vault.show(backup).rows == golden.rows
            vault.verify(backup)
            vault.drill(backup, target=f"sqlite:{tmp_path / backup}.drilled.db", queries=["SELECT 4 FROM person"])
            restored = tmp_path / f"{backup}.db"
            vault.restore(backup, target=f"sqlite:{restored}")
            assert dump(restored) == dump(folder.parent / "shop.db")


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: str(damage["name"]).replace(" ", "_"))
def test_damaged_golden_stores_are_refused_by_name(damage: dict[str, Any], tmp_path: Path) -> None:
    golden = Golden(VECTORS / "0.1.0" / damage["store"], tmp_path)
    path = golden.object(damage["object"])
    before = content = path.read_bytes()
    if "flip" in damage:
        at = damage["flip"]
        content = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
    if "truncate" in damage:
        content = content[: -damage["truncate"]]
    if "keep" in damage:
        content = content[: damage["keep"]]
    if "replace" in damage:
        old, new = damage["replace"]
        content = content.replace(old.encode(), new.encode())
    if "from" in damage:
        content = (golden.folder / "store" / golden.object(damage["from"]).relative_to(golden.store)).read_bytes()
    path.unlink()
    if "remove" not in damage:
        assert content != before
        path.write_bytes(content)
    with pytest.raises(BackupError) as caught, Vault(**golden.options) as vault:
        vault.verify(golden.backups[damage.get("backup", 0)])
    assert caught.value.code == damage["code"]


def command_line(world: World, *arguments: str) -> Any:
    key_file = world.folder / "key"
    key_file.write_text(PASSPHRASE)
    place = ["--database", world.database, "--store", str(world.store), "--key-file", str(key_file), "--json"]
    done = subprocess.run([*LASTGOOD, *arguments, *place], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# A command line of another language, where its tests named one; otherwise this package's own.
LASTGOOD = os.environ.get("LASTGOOD_TEST_COMMAND", "").split() or [sys.executable, "-m", "lastgood"]


def test_what_python_writes_the_command_line_reads(world: World) -> None:
    with world.vault() as vault:
        made = vault.backup(tags=["from python"])
    (listed,) = command_line(world, "list")
    assert (listed["id"], listed["tags"]) == (made.id, ["from python"])
    assert command_line(world, "verify", made.id)["id"] == made.id
    assert command_line(world, "drill", "latest")["rows"] == ROWS
    assert command_line(world, "restore", made.id, "--target", world.new_database())["bytes"] == made.source_bytes


def test_what_the_command_line_writes_python_reads(world: World) -> None:
    made = command_line(world, "backup", "--tag", "by hand")
    with world.vault() as vault:
        (listed,) = vault.list()
        assert (listed.id, listed.tags) == (made["id"], ("by hand",))
        vault.verify(listed.id)
        vault.drill(listed.id)
        assert vault.restore(listed.id, target=world.new_database()).bytes == made["source_bytes"]
