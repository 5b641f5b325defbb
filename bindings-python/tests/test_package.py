"""The package itself: where it is, what it exports, what it is made from."""

from __future__ import annotations

import dataclasses
import inspect
import json
import logging
import os
import pickle
import sys
import typing
from importlib.metadata import version
from pathlib import Path

import lastgood
import pytest
from conftest import REPOSITORY, Script
from lastgood import AsyncVault, BackupError, DamagedError, TimedOutError, Vault
from lastgood._values import Data

API = json.loads((REPOSITORY / "core/api.json").read_text("utf-8"))
VERBS = [verb["name"] for verb in API["verbs"]]


def test_it_is_the_installed_wheel_that_is_tested() -> None:
    assert Path(lastgood.__file__).is_relative_to(sys.prefix)
    assert (Path(lastgood.__file__).parent / "py.typed").exists()
    assert lastgood.__version__ == version("lastgood")


def test_one_wheel_serves_every_python_from_3_10() -> None:
    assert "-cp310-abi3-" in os.environ["LASTGOOD_TEST_WHEEL"]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_of_the_core_is_there_twice(verb: str) -> None:
    name = f"{verb}_" if verb == "import" else verb
    plain, coroutine = getattr(Vault, name), getattr(AsyncVault, name)
    assert inspect.iscoroutinefunction(coroutine)
    assert not inspect.iscoroutinefunction(plain)
    takes = next(v["takes"] for v in API["verbs"] if v["name"] == verb)
    for method in (plain, coroutine):
        assert method.__doc__
        parameters = list(inspect.signature(method).parameters.values())[1:]
        positional = [p.name for p in parameters if p.kind is not inspect.Parameter.KEYWORD_ONLY]
        assert positional == takes


@pytest.mark.parametrize("code", API["codes"], ids=lambda code: str(code["code"]))
def test_every_kind_of_error_has_a_class(code: dict[str, str]) -> None:
    classes = [c for c in vars(lastgood).values() if isinstance(c, type) and getattr(c, "kind", "") == code["kind"]]
    (kind,) = [c for c in classes if c.__base__ is BackupError]
    assert issubclass(kind, BackupError)
    assert f"`{code['code']}`" in (kind.__doc__ or "")


def test_names_in_tracebacks_are_the_public_ones() -> None:
    assert repr(DamagedError) == "<class 'lastgood.DamagedError'>"
    assert repr(Vault) == "<class 'lastgood.Vault'>"


@pytest.mark.parametrize("report", Data.__subclasses__())
def test_annotations_can_be_looked_up(report: type) -> None:
    assert typing.get_type_hints(report)


def test_errors_cross_processes() -> None:
    for error in (DamagedError("m", code="damaged", next="n"), TimedOutError("m", code="cancelled", retryable=True)):
        copy = pickle.loads(pickle.dumps(error))
        assert type(copy) is type(error)
        assert (str(copy), copy.code, copy.retryable) == (str(error), error.code, error.retryable)


def test_a_timeout_is_what_python_calls_a_timeout() -> None:
    assert issubclass(TimedOutError, TimeoutError)
    assert issubclass(TimedOutError, lastgood.CancelledError)
    assert issubclass(TimedOutError, BackupError)


def test_reports_are_frozen_hashable_and_cross_as_json() -> None:
    progress = lastgood.Progress(phase="dumping", bytes_done=1, bytes_per_second=2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        progress.phase = "loading"  # type: ignore[misc]
    assert not hasattr(progress, "__dict__")
    assert hash(progress) == hash(lastgood.Progress.from_dict(progress.to_dict()))
    assert progress.to_dict() == {"phase": "dumping", "bytes_done": 1, "bytes_per_second": 2}


def test_importing_installs_no_log_handler(script: Script) -> None:
    script.run("""
        import logging, lastgood
        assert not logging.getLogger("lastgood").handlers
        assert not logging.getLogger().handlers
    """)
    assert not logging.getLogger("lastgood").handlers
