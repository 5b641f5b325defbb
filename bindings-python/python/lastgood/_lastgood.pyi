"""The native half: verbs by their names, values as JSON."""

from collections.abc import Callable, Sequence
from typing import Final, final

__all__ = ["Operation", "Vault", "__version__", "cli"]

__version__: Final[str]

def cli(arguments: Sequence[str]) -> int:
    """Runs the command line with these arguments (the first one is the program's name) and gives its exit code."""

@final
class Vault:
    """A vault that is opened at its first use, once in each process."""

    def __new__(cls, options: str) -> Vault: ...
    def start(self, verb: str | None, options: str, log_level: int, wake: Callable[[], object] | None) -> Operation:
        """Starts a verb with its options as JSON; no verb opens the vault and answers where it is."""

@final
class Operation:
    """A verb that runs. Dropping it cancels."""

    def next(self, timeout: float) -> tuple[str, str] | None:
        """Waits up to `timeout` seconds for the next thing that the verb tells."""

    def cancel(self) -> None:
        """Tells the verb to stop and to clean up behind itself; its last event tells when it has."""
