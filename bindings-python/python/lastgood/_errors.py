"""What every error of this package has in common."""

from __future__ import annotations

from typing import ClassVar


class BackupError(Exception):
    """Something failed: `str(error)` says what, where, and what to do next.

    Each kind of error has a class of its own below this one, by what a caller can do about it.
    """

    kind: ClassVar[str] = "internal"
    """What a caller can do about it, as a text."""

    code: str
    """A stable, machine-readable name of what went wrong: the same in every language."""

    message: str
    """What went wrong, without the next step."""

    next: str | None
    """What to do next, where there is something to say."""

    retryable: bool
    """Whether the same call may succeed later without any change."""

    def __init__(
        self, message: str, *, code: str = "internal", next: str | None = None, retryable: bool = False
    ) -> None:
        """An error as the library tells it."""
        super().__init__(message)
        self.code, self.message, self.next, self.retryable = code, message, next, retryable

    def __str__(self) -> str:
        """What went wrong, and what to do next."""
        return f"{self.message}; {self.next}" if self.next else self.message
