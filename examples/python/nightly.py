"""A nightly backup, for cron or a systemd timer: back up, drill it on Sundays, and say how it went.

    DATABASE_URL=… BACKUP_STORE_URL=… BACKUP_ENCRYPTION_KEY_FILE=… python nightly.py

The exit code tells a scheduler what to do: 0 done, 75 try again later, 1 somebody has to look.
"""

from __future__ import annotations

import logging
import sys
from datetime import date, timedelta

from lastgood import BackupError, Progress, Vault

SUNDAY = 6
TRY_AGAIN = 75  # EX_TEMPFAIL of sysexits.h

log = logging.getLogger("nightly")


def main(today: date) -> int:
    """Runs the night of this day and gives the exit code."""
    try:
        # Nothing is given here: database, store and key come from the environment.
        with Vault() as vault:
            made = vault.backup(tags=["nightly"], on_progress=tell, timeout=timedelta(hours=4))
            log.info("%s: %d rows, %d bytes stored in %s", made.id, made.rows, made.stored_bytes, made.duration)
            for warning in made.warnings:
                log.warning("%s: %s", warning.code, warning.message)
            if today.weekday() == SUNDAY:
                drill = vault.drill(made.id)
                log.info("%s: restored in %s, %d rows are the same", drill.id, drill.restore, drill.rows)
            else:
                vault.verify(made.id)
    except BackupError as error:
        # The message says what failed and what to do next.
        log.error("%s: %s", error.code, error)
        return TRY_AGAIN if error.retryable else 1
    return 0


def tell(progress: Progress) -> None:
    """One line a phase is enough for a log."""
    if progress.bytes_done == 0:
        log.info("%s", progress.phase)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    sys.exit(main(date.today()))
