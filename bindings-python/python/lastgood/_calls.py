"""A verb while it runs, and what both vaults share."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any, NoReturn, TypeVar

from . import _lastgood
from ._errors import BackupError
from ._types import KINDS, CancelledError, Plan, Progress
from ._values import seconds

Self = TypeVar("Self", bound="VaultBase")

# The native module alone, by its file: with the package around it a child would take several times as long to start.
# Nothing else is imported, least of all from the folder it runs in, which anybody may be able to write modules into;
# and Ctrl-C is for the core, not for the interpreter.
CHILD = """import sys, _signal, _frozen_importlib as bootstrap, _frozen_importlib_external as external
_signal.signal(_signal.SIGINT, _signal.SIG_DFL)
name, path = "_lastgood", sys.argv[1]
spec = bootstrap.ModuleSpec(name, external.ExtensionFileLoader(name, path), origin=path)
native = bootstrap.module_from_spec(spec)
spec.loader.exec_module(native)
sys.exit(native.cli(["lastgood", *sys.argv[2:]]))"""

logger = logging.getLogger("lastgood")


class TimedOutError(CancelledError, TimeoutError):
    """The call took longer than its `timeout`: it was cancelled, and has cleaned up behind itself."""


class Call:
    """One running verb. What it tells is handed on in the thread, or the event loop, that takes it."""

    def __init__(self, operation: _lastgood.Operation, timeout: float | timedelta | None) -> None:
        """A verb that was just started."""
        self.ended = False
        self.timeout = None if timeout is None else seconds(timeout)
        self._operation = operation
        self._timed_out = False
        self._answer: tuple[str, Any] = ("failed", None)

    def take(self, wait: float) -> Iterator[Progress]:
        """Hands on what the verb has told so far; when there is nothing, waits up to so many seconds for it."""
        while not self.ended and (event := self._operation.next(wait)) is not None:
            wait = 0
            kind, text = event
            data = json.loads(text)
            if kind == "log":
                log(data)
            elif kind == "progress":
                yield Progress.from_dict(data)
            else:
                self.ended, self._answer = True, (kind, data)

    def cancel(self) -> None:
        """Stops the verb; it has ended once it has cleaned up behind itself."""
        self._operation.cancel()

    def time_out(self) -> None:
        """Cancels the verb because its time is over."""
        self._timed_out = True
        self.cancel()

    def answer(self) -> Any:
        """The report of a verb that has ended, or its error."""
        kind, data = self._answer
        if kind == "done":
            return data
        if self._timed_out and data["kind"] == "cancelled":
            raise TimedOutError(
                f"the operation took longer than {self.timeout:g} seconds and was cancelled",
                code=data["code"],
                next="give it a longer timeout",
                retryable=True,
            )
        raise failure(data)


class VaultBase:
    """What both vaults share: they start verbs, until they are closed."""

    _told: str = ""

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Takes the options of a vault, by their names in the core."""
        settings = dict(options["settings"] or {})
        if sys.executable:
            # Python has a SQLite of its own: two of them in one process do not see each other's locks.
            settings.setdefault("command", [sys.executable, "-S", "-c", CHILD, _lastgood.__file__])
        self._native: _lastgood.Vault | None = _lastgood.Vault(as_json({**options, "settings": settings}))
        self._calls: set[Call] = set()
        self._schedules: list[Any] = []

    @classmethod
    def from_env(cls: type[Self]) -> Self:
        """The vault that the environment describes: `DATABASE_URL`, `BACKUP_STORE_URL`, `BACKUP_ENCRYPTION_KEY` …"""
        return cls()  # type: ignore[call-arg]

    def _start(
        self,
        verb: str | None,
        options: Mapping[str, Any],
        timeout: float | timedelta | None,
        wake: Callable[[], object] | None = None,
    ) -> Call:
        # Another thread may close the vault at any moment.
        native = self._native
        if native is None:
            raise RuntimeError("this vault is closed; open another one")
        call = Call(native.start(verb, as_json(options), log_level(), wake), timeout)
        self._calls.add(call)
        if self._native is None:
            call.cancel()
        return call

    def _start_schedule(self, plan: str | Plan | None) -> _lastgood.Schedule:
        native = self._native
        if native is None:
            raise RuntimeError("this vault is closed; open another one")
        data = {"backup": plan} if isinstance(plan, str) else plan.to_dict() if plan else {}
        try:
            return native.schedule(as_json(data))
        except ValueError as error:
            told = json.loads(str(error))
        raise failure(told)

    def _close(self) -> None:
        self._native = None
        for call in tuple(self._calls):
            call.cancel()

    def __repr__(self) -> str:
        """Where the database and the store are, without credentials."""
        return f"{type(self).__name__}({'closed' if self._native is None else self._told})"

    def __reduce__(self) -> NoReturn:
        """Refuses: keys and connections stay in their process."""
        raise TypeError(
            f"a {type(self).__name__} cannot be pickled or copied, since it holds keys and connections; "
            "hand over what it is made of, and make one in each process"
        )


def failure(told: Mapping[str, Any]) -> BackupError:
    """An error as the core tells it."""
    kind = KINDS.get(told["kind"], BackupError)
    return kind(told["message"], code=told["code"], next=told["next"], retryable=told["retryable"])


def log_level() -> int:
    """The level of the logger `lastgood`, below which no record is made."""
    return min(max(logger.getEffectiveLevel(), 0), 255)


def as_json(options: Mapping[str, Any]) -> str:
    """What was given, for the core to read. It refuses what it does not understand."""
    return json.dumps({name: value for name, value in options.items() if value is not None})


def log(record: Mapping[str, Any]) -> None:
    """Hands a record of the core to the logger `lastgood`."""
    fields = record["fields"]
    pairs = "".join(f" {name}={value}" for name, value in fields.items())
    logger.log(record["level"], "%s%s", record["message"], pairs, extra={"target": record["target"], "fields": fields})
