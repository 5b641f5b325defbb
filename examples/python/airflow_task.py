"""A task for Airflow, or for anything that calls a function with a context: back up, prove it, hand on the id.

    from airflow.sdk import task
    backup = task(retries=2)(back_up)

In Airflow a task's return value goes to the next one, and an exception of a certain class ends the retries: that is why
only errors that may pass are raised as they are.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from lastgood import BackupError, Vault

try:
    from airflow.sdk.exceptions import AirflowFailException as GiveUp
except ImportError:

    class GiveUp(Exception):  # type: ignore[no-redef]
        """Ends a task without another try."""


__all__ = ["GiveUp", "back_up"]

log = logging.getLogger(__name__)


def back_up(*, drill: bool = True, timeout: timedelta = timedelta(hours=4), **context: Any) -> dict[str, Any]:
    """Makes one backup and proves it. Returns plain values, since they are stored as JSON between tasks."""
    # Airflow forks its workers: a vault is made where it is used, and one that was made before a fork works too.
    try:
        with Vault() as vault:
            made = vault.backup(tags=[f"run:{context['run_id']}"] if "run_id" in context else None, timeout=timeout)
            proof = vault.drill(made.id) if drill else vault.verify(made.id)
    except BackupError as error:
        if error.retryable:
            raise
        raise GiveUp(f"{error.code}: {error}") from error
    log.info("%s is proven, it took %s", made.id, made.duration + proof.duration)
    return made.to_dict()
