#!/usr/bin/env python3
"""What calling through Python costs, against calling the same library in Rust, in one run.

    cargo build --release -p benches --bin overhead
    (cd bindings-python && maturin build --release -o /tmp/wheels) && pip install /tmp/wheels/*.whl
    python bindings-python/bench.py target/release/overhead [MEGABYTES] [RUNS]

MEGABYTES 100 and RUNS 5 unless given. Every contender runs once in each round, so that a noisy minute hits all; the
table gives medians of seconds. A backup of SQLite through Python also starts the child process that opens the live
file, which is part of what it costs; `Python, no child` leaves it out.
"""

from __future__ import annotations

import hashlib
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from lastgood import Settings, Vault

PASSPHRASE = "a bench needs no secret, so this one is printed here"
WORDS = [hashlib.md5(str(i).encode()).hexdigest()[: 3 + i % 6] for i in range(2000)]


def make(path: Path, megabytes: int) -> None:
    """Orders with texts that compress about as such texts do."""
    with sqlite3.connect(path) as shop:
        shop.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT, note TEXT, digest BLOB)")
        rows = 0
        while path.stat().st_size < megabytes << 20:
            batch = []
            for i in range(rows, rows + 20_000):
                digest = hashlib.sha256(str(i).encode()).digest()
                words = (WORDS[(digest[k % 32] * 7 + k * i) % len(WORDS)] for k in range(60))
                batch.append((i, digest[:6].hex(), " ".join(words), digest))
            shop.executemany("INSERT INTO orders VALUES (?, ?, ?, ?)", batch)
            shop.commit()
            rows += len(batch)
    shop.close()


def python(verb: str, database: str, store: Path, **settings: list[str]) -> float:
    with Vault(database=database, store=store, key=PASSPHRASE, settings=Settings(**settings)) as vault:
        begun = time.perf_counter()
        if verb == "backup":
            vault.backup()
        else:
            vault.verify("latest")
        return time.perf_counter() - begun


def rust(program: str, verb: str, database: str, store: Path) -> float:
    done = subprocess.run([program, verb, database, str(store), PASSPHRASE], check=True, capture_output=True, text=True)
    return float(done.stdout)


def main() -> None:
    program, *numbers = sys.argv[1:]
    megabytes, runs = (int(given) for given in (numbers + ["100", "5"][len(numbers) :])[:2])
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make(folder / "shop.db", megabytes)
        database = f"sqlite:{folder / 'shop.db'}"
        contenders: dict[str, Callable[[str, Path], float]] = {
            "Rust": lambda verb, store: rust(program, verb, database, store),
            "Python": lambda verb, store: python(verb, database, store),
            "Python, no child": lambda verb, store: python(verb, database, store, command=[]),
        }
        seconds: dict[tuple[str, str], list[float]] = {}
        for _ in range(runs + 1):
            for name, run in contenders.items():
                for verb in ("backup", "verify"):
                    seconds.setdefault((verb, name), []).append(run(verb, folder / name))
        print(f"{megabytes} MB of SQLite into a folder, {runs} runs after one to warm up")
        for (verb, name), all_of_them in sorted(seconds.items(), key=lambda pair: pair[0][0]):
            median = statistics.median(all_of_them[1:])
            of_rust = statistics.median(seconds[verb, "Rust"][1:])
            print(f"{verb:8} {name:18} {median:8.3f} s  {100 * (median / of_rust - 1):+6.1f} %")


if __name__ == "__main__":
    main()
