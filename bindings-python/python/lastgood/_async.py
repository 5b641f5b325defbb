"""A vault whose verbs are coroutines."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from datetime import timedelta
from types import TracebackType
from typing import Any, TypeAlias, TypeVar

from ._calls import Call, VaultBase
from ._types import Progress
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
        loop, woken = asyncio.get_running_loop(), asyncio.Event()
        call = self._start(verb, options, timeout, lambda: loop.call_soon_threadsafe(woken.set))
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
            self._calls.discard(call)
            if timer is not None:
                timer.cancel()
        return report.decode(call.answer())

    async def close(self) -> None:
        """Ends what still runs and lets go of keys and connections. A second call does nothing."""
        self._close()

    async def __aenter__(self: Self) -> Self:
        """Opens the vault: a wrong key or a foreign store is told now, not at two in the morning."""
        self._told = await self._run(None, {}, PLAIN, None, None)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the vault."""
        await self.close()


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
