"""The native half: verbs by their names, values as JSON."""

from collections.abc import Callable, Sequence
from typing import Final, final

__all__ = ["Operation", "Schedule", "Vault", "__version__", "cli"]

__version__: Final[str]

def cli(arguments: Sequence[str]) -> int:
    """Runs the command line with these arguments (the first one is the program's name) and gives its exit code."""

@final
class Vault:
    """A vault that is opened at its first use, once in each process."""

    def __new__(cls, options: str) -> Vault: ...
    def start(self, verb: str | None, options: str, log_level: int, wake: Callable[[], object] | None) -> Operation:
        """Starts a verb with its options as JSON; no verb opens the vault and answers where it is."""

    def schedule(self, plan: str) -> Schedule:
        """Starts a schedule by this plan, which is JSON. A `ValueError` holds an error as JSON."""

@final
class Schedule:
    """A schedule that runs in the process that started it; elsewhere there is no operation to be had of it."""

    def status(self) -> str:
        """How it is, as JSON."""

    def changed(self, seen: str | None, log_level: int, wake: Callable[[], object] | None) -> Operation | None:
        """Waits until something was done or failed since this status; tells how it is, or null when it has stopped."""

    def stop(self, wake: Callable[[], object] | None) -> Operation | None:
        """Stops it; tells null when a job that runs has cleaned up."""

    def leave(self, wake: Callable[[], object] | None) -> Operation | None:
        """Stops it unless somebody else has started it since; tells null."""

@final
class Operation:
    """A verb that runs. Dropping it cancels."""

    def next(self, timeout: float) -> tuple[str, str] | None:
        """Waits up to `timeout` seconds for the next thing that the verb tells."""

    def cancel(self) -> None:
        """Tells the verb to stop and to clean up behind itself; its last event tells when it has."""
