"""The README does what it says, on a machine that has the wheel and nothing else."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY

README = (REPOSITORY / "bindings-python/README.md").read_text("utf-8")


def blocks(text: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A folder with an environment in it that holds the wheel alone."""
    folder = tmp_path / "fresh"
    folder.mkdir()
    run(folder, sys.executable, "-m", "venv", "venv")
    run(folder, "venv/bin/pip", "install", "-q", "--no-index", os.environ["LASTGOOD_TEST_WHEEL"])
    return folder


def run(folder: Path, *command: str) -> str:
    # Nothing of this environment, the repository least of all.
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("file", ["README.md", "bindings-python/README.md"])
def test_the_quick_start_runs_as_printed(file: str, fresh: Path) -> None:
    code = blocks((REPOSITORY / file).read_text("utf-8"))[0]
    (fresh / "quickstart.py").write_text(code, "utf-8")
    told = run(fresh, "venv/bin/python", "quickstart.py")
    assert "dumping" in told
    made = re.search(r"BackupSummary\(id='(backup-\d{8}-\d{6})'", told)
    assert made
    assert (fresh / "restored.db").exists()
    assert run(fresh, "venv/bin/pip", "list", "--format=freeze").count("lastgood==") == 1
    for command in (["venv/bin/lastgood"], ["venv/bin/python", "-m", "lastgood"]):
        listed = json.loads(run(fresh, *command, "list", "--store", "backups", "--json"))
        assert [backup["id"] for backup in listed] == [made[1]]


def test_the_tqdm_recipe_runs_as_printed(fresh: Path, tmp_path: Path) -> None:
    (recipe,) = [block for block in blocks(README) if "tqdm" in block]
    code = (
        blocks(README)[0].split("with Vault")[0]
        + "vault = Vault(database='sqlite:shop.db', store='b', unencrypted=True)\n"
    )
    (tmp_path / "recipe.py").write_text(code + recipe, "utf-8")
    run(tmp_path, sys.executable, "recipe.py")


def test_every_error_it_names_is_there() -> None:
    import lastgood

    for name in re.findall(r"`(\w+Error)`", README):
        assert hasattr(lastgood, name) or name in ("TypeError", "TimeoutError", "asyncio.CancelledError"), name
