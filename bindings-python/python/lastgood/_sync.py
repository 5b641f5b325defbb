"""A vault whose verbs block."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from types import TracebackType
from typing import Any, TypeAlias, TypeVar

from ._calls import VaultBase
from ._types import Progress
from ._values import PLAIN, Converter

Self = TypeVar("Self", bound="SyncVault")

OnProgress: TypeAlias = Callable[[Progress], object]

POLL = 0.05
"""Seconds after which a waiting thread looks whether Ctrl-C was pressed."""


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
            deadline = math.inf if call.timeout is None else time.monotonic() + call.timeout
            while not call.ended:
                left = deadline - time.monotonic()
                if left <= 0:
                    call.time_out()
                    deadline = math.inf
                for progress in call.take(min(POLL, max(left, 0))):
                    if on_progress is not None:
                        on_progress(progress)
        except BaseException:
            # Ctrl-C, or the callback's own exception: it goes on once nothing half done is left.
            call.cancel()
            while not call.ended:
                for _ in call.take(POLL):
                    pass
            raise
        finally:
            self._calls.discard(call)
        return report.decode(call.answer())

    def close(self) -> None:
        """Ends what still runs and lets go of keys and connections. A second call does nothing."""
        self._close()

    def __enter__(self: Self) -> Self:
        """The vault itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the vault."""
        self.close()
