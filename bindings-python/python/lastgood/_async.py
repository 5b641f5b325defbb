"""A vault whose verbs are coroutines."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import Any, TypeAlias, TypeVar

from . import _lastgood
from ._calls import Call, VaultBase, log_level
from ._types import Plan, Progress, ScheduleStatus
from ._values import PLAIN, Converter

Self = TypeVar("Self", bound="AsyncVaultBase")

OnProgressAsync: TypeAlias = Callable[[Progress], object]
"""A function, or a coroutine function, which is awaited."""


class AsyncVaultBase(VaultBase):
    """Runs verbs beside the event loop. It is opened by `async with`, or by its first verb."""

    async def _run(
        self,
        verb: str | None,
        options: Mapping[str, Any],
        report: Converter,
        on_progress: OnProgressAsync | None,
        timeout: float | timedelta | None,
    ) -> Any:
        wake, woken = waker()
        call = self._start(verb, options, timeout, wake)
        try:
            return report.decode(await finished(call, woken, on_progress))
        finally:
            self._calls.discard(call)

    async def schedule(self, plan: str | Plan | None = None) -> AsyncSchedule:
        """Starts a schedule in this process, and does at once what is due.

        A database and its store have one schedule in a process. Started again with the same plan it is the one that
        runs already; with another plan, it takes its place. `run_due` is for hosts that do not stay.

        Args:
            plan: The cron expression of the backups, or a whole plan. Absent: as BACKUP_SCHEDULE says, or daily
                at 02:00.
        """
        await self._run(None, {}, PLAIN, None, None)
        schedule = AsyncSchedule(self._start_schedule(plan))
        self._schedules.append(schedule)
        return schedule

    async def close(self) -> None:
        """Ends what still runs and lets go of keys and connections. A second call does nothing.

        Its schedules are stopped, but for those that another vault has started as well.
        """
        self._close()
        while self._schedules:
            await self._schedules.pop()._leave()

    async def __aenter__(self: Self) -> Self:
        """Opens the vault: a wrong key or a foreign store is told now, not at two in the morning."""
        self._told = await self._run(None, {}, PLAIN, None, None)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the vault."""
        await self.close()


class AsyncSchedule:
    """A schedule that runs beside the event loop until `stop`, the end of an `async with` block or of the loop.

    It keeps no loop running. Waiting for what it does keeps one, as any waiting:

        async for status in await vault.schedule("0 2 * * *"):
            print(status.last, status.error)
    """

    def __init__(self, native: _lastgood.Schedule) -> None:
        """A schedule that was just started."""
        self._native = native
        # A backup in the middle of the night is logged in the middle of the night, whoever looks.
        self._follower = asyncio.create_task(self._follow(), name="lastgood schedule")

    @property
    def status(self) -> ScheduleStatus:
        """How it is now."""
        return ScheduleStatus.from_dict(json.loads(self._native.status()))

    async def stop(self) -> None:
        """Stops it, and waits until a job that runs has cleaned up. A second call does nothing."""
        await answered(self._native.stop)

    async def __aiter__(self) -> AsyncIterator[ScheduleStatus]:
        """How it is each time that something was done or failed, until it is stopped or its vault is closed."""
        seen: str | None = None
        while told := await answered(partial(self._native.changed, seen, log_level())):
            seen = json.dumps(told)
            yield ScheduleStatus.from_dict(told)

    async def __aenter__(self) -> AsyncSchedule:
        """The schedule itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops it."""
        await self.stop()

    async def _leave(self) -> None:
        await answered(self._native.leave)

    async def _follow(self) -> None:
        try:
            async for _ in self:
                pass
        except asyncio.CancelledError:
            # The loop is about to end, and nobody would be told any more.
            await self._leave()
            raise


def waker() -> tuple[Callable[[], object], asyncio.Event]:
    """What other threads call to wake the coroutine that waits for the event."""
    loop, woken = asyncio.get_running_loop(), asyncio.Event()
    return (lambda: loop.call_soon_threadsafe(woken.set)), woken


async def answered(start: Callable[[Callable[[], object]], _lastgood.Operation | None]) -> Any:
    """What an operation answers; nothing where there is none."""
    wake, woken = waker()
    operation = start(wake)
    return None if operation is None else await finished(Call(operation, None), woken)


async def finished(call: Call, woken: asyncio.Event, on_progress: OnProgressAsync | None = None) -> Any:
    """Waits for a call, and gives what it answers."""
    loop = asyncio.get_running_loop()
    timer = None if call.timeout is None else loop.call_later(call.timeout, call.time_out)
    try:
        while not call.ended:
            for progress in call.take(0):
                told = None if on_progress is None else on_progress(progress)
                if inspect.isawaitable(told):
                    await told
            if not call.ended:
                await woken.wait()
                woken.clear()
    except GeneratorExit:
        # The coroutine is thrown away, and nothing can be awaited any more.
        call.cancel()
        raise
    except BaseException:
        await cleaned_up(call, woken)
        raise
    finally:
        if timer is not None:
            timer.cancel()
    return call.answer()


async def cleaned_up(call: Call, woken: asyncio.Event) -> None:
    """Cancels a verb and waits until nothing half done is left, even when the task is cancelled once more."""
    cancelled = False
    call.cancel()
    while not call.ended:
        for _ in call.take(0):
            pass
        if not call.ended:
            try:
                await woken.wait()
            except asyncio.CancelledError:
                cancelled = True
            woken.clear()
    if cancelled:
        raise asyncio.CancelledError
