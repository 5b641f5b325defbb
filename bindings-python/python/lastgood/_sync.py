"""A vault whose verbs block."""

from __future__ import annotations

import atexit
import json
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from types import TracebackType
from typing import Any, TypeAlias, TypeVar

from . import _lastgood
from ._calls import Call, VaultBase, log_level
from ._types import Plan, Progress, ScheduleStatus
from ._values import PLAIN, Converter

Self = TypeVar("Self", bound="SyncVault")

OnProgress: TypeAlias = Callable[[Progress], object]

POLL = 0.05
"""Seconds after which a waiting thread looks whether Ctrl-C was pressed."""


def finished(call: Call, on_progress: OnProgress | None = None, poll: float = POLL) -> Any:
    """Waits for a call, and gives what it answers."""
    try:
        deadline = math.inf if call.timeout is None else time.monotonic() + call.timeout
        while not call.ended:
            left = deadline - time.monotonic()
            if left <= 0:
                call.time_out()
                deadline = math.inf
            for progress in call.take(min(poll, max(left, 0))):
                if on_progress is not None:
                    on_progress(progress)
    except BaseException:
        # Ctrl-C, or the callback's own exception: it goes on once nothing half done is left.
        call.cancel()
        while not call.ended:
            for _ in call.take(poll):
                pass
        raise
    return call.answer()


class Schedule:
    """A schedule that runs in this process until it is stopped, by `stop`, a `with` block or the end of the process.

    It keeps no process alive. Waiting for what it does keeps one, as any waiting:

        for status in vault.schedule("0 2 * * *"):
            print(status.last, status.error)
    """

    def __init__(self, native: _lastgood.Schedule) -> None:
        """A schedule that was just started."""
        self._native = native
        # A backup in the middle of the night is logged in the middle of the night, whoever looks.
        self._follower = threading.Thread(target=self._follow, name="lastgood schedule", daemon=True)
        self._follower.start()
        # What runs then cleans up, and the thread is gone before the interpreter is.
        atexit.register(self.stop)

    @property
    def status(self) -> ScheduleStatus:
        """How it is now."""
        return ScheduleStatus.from_dict(json.loads(self._native.status()))

    def stop(self) -> None:
        """Stops it, and waits until a job that runs has cleaned up. A second call does nothing."""
        self._end(self._native.stop(None))

    def __iter__(self) -> Iterator[ScheduleStatus]:
        """How it is each time that something was done or failed, until it is stopped or its vault is closed."""
        return self._changes(POLL)

    def __enter__(self) -> Schedule:
        """The schedule itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops it."""
        self.stop()

    def _leave(self) -> None:
        self._end(self._native.leave(None))

    def _end(self, operation: _lastgood.Operation | None) -> None:
        if operation is None:
            return
        finished(Call(operation, None))
        if threading.current_thread() is not self._follower:
            self._follower.join()

    def _changes(self, poll: float) -> Iterator[ScheduleStatus]:
        seen: str | None = None
        while (operation := self._native.changed(seen, log_level(), None)) is not None:
            told = finished(Call(operation, None), None, poll)
            if told is None:
                return
            seen = json.dumps(told)
            yield ScheduleStatus.from_dict(told)

    def _follow(self) -> None:
        for _ in self._changes(1):
            pass
        atexit.unregister(self.stop)


class SyncVault(VaultBase):
    """Runs verbs and waits for them. Any number of threads may use one vault."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Opens the vault: a wrong key or a foreign store is told now, not at two in the morning."""
        super().__init__(options)
        self._told = self._run(None, {}, PLAIN, None, None)

    def _run(
        self,
        verb: str | None,
        options: Mapping[str, Any],
        report: Converter,
        on_progress: OnProgress | None,
        timeout: float | timedelta | None,
    ) -> Any:
        call = self._start(verb, options, timeout)
        try:
            return report.decode(finished(call, on_progress))
        finally:
            self._calls.discard(call)

    def schedule(self, plan: str | Plan | None = None) -> Schedule:
        """Starts a schedule in this process, and does at once what is due.

        A database and its store have one schedule in a process. Started again with the same plan it is the one that
        runs already; with another plan, it takes its place. `run_due` is for hosts that do not stay.

        Args:
            plan: The cron expression of the backups, or a whole plan. Absent: as BACKUP_SCHEDULE says, or daily
                at 02:00.
        """
        # In a forked child it may not be open yet.
        self._run(None, {}, PLAIN, None, None)
        schedule = Schedule(self._start_schedule(plan))
        self._schedules.append(schedule)
        return schedule

    def close(self) -> None:
        """Ends what still runs and lets go of keys and connections. A second call does nothing.

        Its schedules are stopped, but for those that another vault has started as well.
        """
        self._close()
        while self._schedules:
            self._schedules.pop()._leave()

    def __enter__(self: Self) -> Self:
        """The vault itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the vault."""
        self.close()
