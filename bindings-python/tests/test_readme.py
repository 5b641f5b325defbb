"""The README does what it says, on a machine that has the wheel and nothing else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY

README = (REPOSITORY / "bindings-python/README.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an environment in it that holds the wheel alone."""
    folder = tmp_path_factory.mktemp("fresh")
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


def test_the_quick_start_runs_as_printed(fresh: Path) -> None:
    (fresh / "quickstart.py").write_text(BLOCKS[0], "utf-8")
    told = run(fresh, "venv/bin/python", "quickstart.py")
    assert "dumping" in told
    assert "BackupSummary(id='backup-" in told
    assert (fresh / "restored.db").exists()
    assert run(fresh, "venv/bin/pip", "list", "--format=freeze").count("lastgood==") == 1
    assert run(fresh, "venv/bin/lastgood", "list", "--store", "backups").count("backup-") >= 1


def test_the_tqdm_recipe_runs_as_printed(fresh: Path, tmp_path: Path) -> None:
    (recipe,) = [block for block in BLOCKS if "tqdm" in block]
    code = BLOCKS[0].split("with Vault")[0] + "vault = Vault(database='sqlite:shop.db', store='b', unencrypted=True)\n"
    (tmp_path / "recipe.py").write_text(code + recipe, "utf-8")
    run(tmp_path, sys.executable, "recipe.py")


def test_every_error_it_names_is_there() -> None:
    import lastgood

    for name in re.findall(r"`(\w+Error)`", README):
        assert hasattr(lastgood, name) or name in ("TypeError", "TimeoutError", "asyncio.CancelledError"), name
