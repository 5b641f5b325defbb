"""What the tests stand on: a folder with a database and a store in it, and scripts run by themselves."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from lastgood import AsyncVault, Settings, Vault

# Whoever is started in the background of a script ignores Ctrl-C, and so do its children.
signal.signal(signal.SIGINT, signal.default_int_handler)

REPOSITORY = Path(__file__).resolve().parents[2]
PASSPHRASE = "canary-passphrase gravel onion sixfold tundra maple kiosk"

SCHEMA = """
CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
INSERT INTO person VALUES (1, 'Zoë'), (2, 'O''Hara'), (3, '');
CREATE TABLE visit (person INTEGER REFERENCES person (id), day TEXT);
INSERT INTO visit VALUES (1, 'monday'), (3, 'tuesday');
"""
ROWS = 5


@dataclass
class World:
    """One database to back up, and room for everything else."""

    folder: Path
    database: str
    new_database: Callable[[], str]
    """The URL of a database that is not there yet, or empty."""
    add_bulk: Callable[[], None]
    """Makes a backup last: data that does not compress."""

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def work_dir(self) -> Path:
        return self.folder / "work"

    def options(self, **more: Any) -> dict[str, Any]:
        self.work_dir.mkdir(exist_ok=True)
        settings = Settings(work_dir=self.work_dir, **more.pop("settings", {}))
        given = {"database": self.database, "store": self.store, "key": PASSPHRASE, "work_factor": 4}
        return {**given, "settings": settings, **more}

    def vault(self, **more: Any) -> Vault:
        return Vault(**self.options(**more))

    def async_vault(self, **more: Any) -> AsyncVault:
        return AsyncVault(**self.options(**more))

    def slow(self) -> dict[str, Any]:
        """Options with which a backup of the bulk lasts until it is cancelled."""
        self.add_bulk()
        return self.options(settings={"jobs": 1, "level": 19})

    def stored(self) -> set[str]:
        """Every file of the store."""
        return {str(path.relative_to(self.store)) for path in self.store.rglob("*") if path.is_file()}

    def leftovers(self) -> list[Path]:
        """Temporary copies that were not removed."""
        return list(self.work_dir.iterdir())


def sqlite_world(folder: Path) -> World:
    path = folder / "shop.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(SCHEMA)
    connection.close()

    def add_bulk() -> None:
        with sqlite3.connect(path) as connection:
            connection.execute(
                "CREATE TABLE bulk AS WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20) "
                "SELECT i, randomblob(1000000) AS data FROM n"
            )
        connection.close()

    return World(folder, f"sqlite:{path}", lambda: f"sqlite:{folder / uuid.uuid4().hex}.db", add_bulk)


def postgres_world(folder: Path, server: str) -> World:
    def create() -> str:
        name = f"python_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        base, _, query = server.partition("?")
        return f"{base.rpartition('/')[0]}/{name}" + (f"?{query}" if query else "")

    database = create()
    with psycopg.connect(database) as connection:
        connection.execute(SCHEMA.encode())

    def add_bulk() -> None:
        with psycopg.connect(database) as connection:
            connection.execute(
                "CREATE TABLE bulk AS SELECT i, md5(random()::text) AS data FROM generate_series(1, 500000) i"
            )

    return World(folder, database, create, add_bulk)


def mysql_world(folder: Path, server: str) -> World:
    def name() -> str:
        return f"python_{uuid.uuid4().hex[:12]}"

    def url(database: str) -> str:
        return urlsplit(server)._replace(path=f"/{database}").geturl()

    def run(sql: str) -> None:
        at = urlsplit(server)
        client = ["mariadb", "--no-defaults", "--protocol=tcp", "-h", at.hostname or "", "-P", str(at.port or 3306)]
        environment = {**os.environ, "MYSQL_PWD": at.password or ""}
        subprocess.run([*client, "-u", at.username or ""], input=sql.encode(), env=environment, check=True)

    database = name()
    run(f"CREATE DATABASE {database} CHARACTER SET utf8mb4; USE {database}; SET NAMES utf8mb4; {SCHEMA}")

    def add_bulk() -> None:
        run(f"CREATE TABLE {database}.bulk AS SELECT seq, RANDOM_BYTES(1000) AS data FROM seq_1_to_20000")

    # A restore makes the database.
    return World(folder, url(database), lambda: url(name()), add_bulk)


@pytest.fixture(params=["sqlite", "postgres"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """Every test that takes it runs on these engines, or on those it names."""
    if request.param == "sqlite":
        yield sqlite_world(tmp_path)
        return
    if request.param == "mysql":
        server = os.environ.get("LASTGOOD_TEST_MYSQL_URL")
        if not server:
            pytest.skip("LASTGOOD_TEST_MYSQL_URL names no server")
        yield mysql_world(tmp_path, server)
        return
    server = os.environ.get("LASTGOOD_TEST_POSTGRES_URL")
    if not server:
        pytest.skip("LASTGOOD_TEST_POSTGRES_URL names no server")
    made = postgres_world(tmp_path, server)
    yield made


@pytest.fixture
def small(tmp_path: Path) -> World:
    """A world for tests that have nothing to do with the engine."""
    return sqlite_world(tmp_path)


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting comes from the environment by accident."""
    for name in os.environ:
        if name.startswith(("DATABASE_", "POSTGRES_", "MONGODB_", "BACKUP_", "AWS_", "S3_", "AZURE_")):
            monkeypatch.delenv(name)


@dataclass
class Script:
    """Python programs that tests run by themselves."""

    folder: Path

    def command(self, code: str, *arguments: str) -> list[str]:
        path = self.folder / f"{uuid.uuid4().hex}.py"
        path.write_text(textwrap.dedent(code), "utf-8")
        return [sys.executable, str(path), *arguments]

    def run(self, code: str, *arguments: str) -> str:
        done = subprocess.run(
            self.command(code, *arguments),
            capture_output=True,
            text=True,
            timeout=300,
            cwd=self.folder,
            # With an arena a thread, what glibc keeps for later hides what is never given back.
            env={**os.environ, "MALLOC_ARENA_MAX": "1"},
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture
def script(tmp_path: Path) -> Script:
    return Script(tmp_path)
