"""MongoDB, whose documents a driver of its own writes and reads."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pymongo
import pytest
from lastgood import RefusedError, Vault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def client() -> Iterator[pymongo.MongoClient[dict[str, Any]]]:
    server = os.environ.get("LASTGOOD_TEST_MONGODB_URL")
    if not server:
        pytest.skip("LASTGOOD_TEST_MONGODB_URL names no server")
    with pymongo.MongoClient[dict[str, Any]](server) as client:
        yield client


def test_a_database_is_backed_up_verified_drilled_and_restored(
    client: pymongo.MongoClient[dict[str, Any]], tmp_path: Path
) -> None:
    shop, copy = (client[f"{name}_{os.getpid()}"] for name in ("python_shop", "python_copy"))
    base, _, query = os.environ["LASTGOOD_TEST_MONGODB_URL"].partition("?")

    def url(database: str) -> str:
        return f"{base.rstrip('/')}/{database}" + (f"?{query}" if query else "")

    try:
        shop.person.insert_many([{"_id": i, "name": name} for i, name in enumerate(("Zoë", "O'Hara", ""))])
        shop.visit.insert_many([{"_id": i, "person": i % 3, "at": f"day {i}"} for i in range(100)])
        shop.visit.create_index([("person", 1), ("at", -1)], name="whose", unique=True)
        with Vault(
            database=url(shop.name),
            store=tmp_path / "store",
            key="canary gravel onion sixfold tundra maple kiosk",
            work_factor=4,
        ) as vault:
            backup = vault.backup()
            assert (backup.rows, backup.warnings) == (103, ())
            assert vault.verify("latest").raw_bytes == backup.source_bytes
            assert vault.drill("latest", queries=['{"count": "person"}']).rows == 103
            vault.restore("latest", target=url(copy.name))
            for name in ("person", "visit"):
                assert list(copy[name].find()) == list(shop[name].find())
            assert sorted(copy.visit.index_information()) == ["_id_", "whose"]
            with pytest.raises(RefusedError) as refused:
                vault.restore("latest", target=url(copy.name))
            assert refused.value.code == "target_not_empty"
            assert vault.database_stats().engine == "mongodb"
    finally:
        for database in (shop, copy):
            client.drop_database(database.name)
