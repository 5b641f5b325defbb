"""`python -m lastgood` and the script `lastgood` are the command line."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import PASSPHRASE, World

SCRIPT = str(Path(sys.prefix) / "bin/lastgood")


@pytest.fixture(params=[[sys.executable, "-m", "lastgood"], [SCRIPT]], ids=["module", "script"])
def lastgood(request: pytest.FixtureRequest) -> list[str]:
    command: list[str] = request.param
    return command


def place(world: World) -> list[str]:
    key_file = world.folder / "key"
    key_file.write_text(PASSPHRASE)
    return ["--database", world.database, "--store", str(world.store), "--key-file", str(key_file)]


def test_it_backs_up_and_tells_in_json(lastgood: list[str], small: World) -> None:
    def run(verb: str) -> Any:
        done = subprocess.run([*lastgood, verb, *place(small), "--json"], capture_output=True, check=True)
        return json.loads(done.stdout)

    made = run("backup")
    (listed,) = run("list")
    assert listed["id"] == made["id"]


def test_exit_codes_tell_the_kind_of_error(lastgood: list[str], small: World) -> None:
    def code(*arguments: str) -> int:
        return subprocess.run([*lastgood, *arguments], capture_output=True, check=False).returncode

    assert code("--help") == 0
    assert code("no-such-verb") == 2
    assert code("list", "--store", str(small.folder / "nowhere")) == 6
    assert code("backup", *place(small)) == 0
    assert code("verify", "backup-19990101-000000", *place(small)) == 6
    (small.folder / "wrong").write_text("another-passphrase gravel onion sixfold tundra")
    assert code("verify", "latest", "--store", str(small.store), "--key-file", str(small.folder / "wrong")) == 5


def test_help_names_the_program(lastgood: list[str]) -> None:
    told = subprocess.run([*lastgood, "--help"], capture_output=True, text=True, check=True).stdout
    assert "Usage: lastgood " in told


def test_ctrl_c_cleans_up_without_a_traceback(lastgood: list[str], small: World) -> None:
    small.add_bulk()
    child = subprocess.Popen(
        [*lastgood, "backup", "--jobs", "1", "--level", "19", "--verbose", *place(small)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stderr is not None
    told = ""
    for line in child.stderr:
        told += line
        if "phase=dumping" in line:
            child.send_signal(signal.SIGINT)
            break
    told += child.communicate(timeout=120)[1]
    assert child.returncode == 130, told
    assert "Traceback" not in told
    assert not [name for name in small.stored() if "volume" in name or name.endswith(".run")]
