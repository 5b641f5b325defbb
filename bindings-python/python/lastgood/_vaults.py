"""The two vaults and their verbs."""

# Made by generate.py from core/api.json: change that, and run it again.

from __future__ import annotations

import builtins
import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from . import _values
from ._async import AsyncVaultBase, OnProgressAsync
from ._sync import OnProgress, SyncVault
from ._types import (
    AddKeyReport,
    Alerts,
    ArtifactSummary,
    BackupDetails,
    BackupMapping,
    BackupReport,
    BackupSummary,
    DatabaseStats,
    DoctorReport,
    DrillReport,
    ExportFormat,
    ExportReport,
    HealthCheck,
    HealthReport,
    HoldReport,
    Keep,
    KeysReport,
    Plan,
    PruneReport,
    ReencryptReport,
    RemoveKeyReport,
    RestoreReport,
    RewrapReport,
    RotateKeyReport,
    RunDueReport,
    Selection,
    Settings,
    VerifyReport,
)


class Vault(SyncVault):
    """One database and the store that its backups lie in. Use it in a `with` block, or call `close`."""

    def __init__(
        self,
        *,
        alerts: Alerts | None = None,
        allow_weak_passphrase: bool | None = None,
        database: str | None = None,
        identity_file: str | os.PathLike[str] | None = None,
        key: str | None = None,
        key_file: str | os.PathLike[str] | None = None,
        name: str | None = None,
        recipients: Sequence[str] | None = None,
        settings: Settings | None = None,
        signing_key_file: str | os.PathLike[str] | None = None,
        store: str | os.PathLike[str] | None = None,
        store_options: Mapping[str, str] | None = None,
        trusted_signers: Sequence[str] | None = None,
        unencrypted: bool | None = None,
        without_store: bool | None = None,
        work_factor: int | None = None,
    ) -> None:
        """What is absent is taken from the environment (`DATABASE_URL`, `BACKUP_STORE_URL`, `BACKUP_ENCRYPTION_KEY` …).

        Args:
            alerts: Who is told when something failed, works again, or looks odd. Absent: as the environment says.
            allow_weak_passphrase: Take a passphrase although it is weak.
            database: URL of the database to back up: `postgres://…`, `mysql://…`, `sqlite:path`.
            identity_file: File with age or SSH identities that open the store.
            key: What opens the store: a passphrase, or `raw:` and 32 bytes in hex or base64.
            key_file: File that holds the key.
            name: The database's name in the store. Absent: the database's own name, made safe.
            recipients: Further recipients (`age1…`, `ssh-ed25519 …`) of each backup's data key.
            settings: Numbers and choices.
            signing_key_file: File with the key with which a host that holds only recipients signs its manifests.
            store: Where backups lie: `s3://bucket/prefix`, `az://container/prefix`, `gs://bucket/prefix`,
                `file:///folder`, or a path.
            store_options: Options of the store's client, by the names of `object_store`: `aws_access_key_id`,
                `azure_storage_account_key` …
            trusted_signers: Public keys of hosts that hold only recipients, whose backups are to be believed.
            unencrypted: Make and expect a store without encryption.
            without_store: Open also when no store is given: to verify and restore artifacts by their paths or URLs.
            work_factor: The scrypt work factor (log2 of N, 1 to 18) of passphrase slots that are written. Absent: 16.
        """
        super().__init__(
            {
                "alerts": _values.nested(lambda: Alerts).encode(alerts),
                "allow_weak_passphrase": allow_weak_passphrase,
                "database": database,
                "identity_file": _values.PATH.encode(identity_file),
                "key": key,
                "key_file": _values.PATH.encode(key_file),
                "name": name,
                "recipients": _values.each(_values.PLAIN).encode(recipients),
                "settings": _values.nested(lambda: Settings).encode(settings),
                "signing_key_file": _values.PATH.encode(signing_key_file),
                "store": _values.PATH_OR_TEXT.encode(store),
                "store_options": _values.mapped(_values.PLAIN).encode(store_options),
                "trusted_signers": _values.each(_values.PLAIN).encode(trusted_signers),
                "unencrypted": unencrypted,
                "without_store": without_store,
                "work_factor": work_factor,
            }
        )

    def backup(
        self,
        *,
        globals: bool | None = None,
        select: Selection | None = None,
        tags: Sequence[str] | None = None,
        on_progress: OnProgress | None = None,
        timeout: float | timedelta | None = None,
    ) -> BackupReport:
        """Makes one backup of the database. The first one also makes the store.

        Args:
            globals: Back up what belongs to the server as well: roles, users, tablespaces.
            select: What of the database is backed up; the default is everything.
            tags: Labels to keep in the manifest.
            on_progress: Called with a `Progress` now and then, where this call was made; an exception in it cancels
                the work.
            timeout: Seconds, or a timedelta, after which the work is cancelled and `TimedOutError` raised.
        """
        report: BackupReport = self._run(
            "backup",
            {
                "globals": globals,
                "select": _values.nested(lambda: Selection).encode(select),
                "tags": _values.each(_values.PLAIN).encode(tags),
            },
            _values.nested(lambda: BackupReport),
            on_progress,
            timeout,
        )
        return report

    def list(
        self,
        *,
        limit: int | None = None,
        on_progress: OnProgress | None = None,
        timeout: float | timedelta | None = None,
    ) -> builtins.list[BackupSummary]:
        """Lists the backups there are, newest first. Needs no key.

        Args:
            limit: At most so many, the newest. Absent: all.
            on_progress: Called with a `Progress` now and then, where this call was made; an exception in it cancels
                the work.
            timeout: Seconds, or a timedelta, after which the work is cancelled and `TimedOutError` raised.
        """
        report: builtins.list[BackupSummary] = self._run(
            "list",
            {
                "limit": limit,
            },
            _values.listed(_values.nested(lambda: BackupSummary)),
            on_progress,
            timeout,
        )
        return report

    def artifacts(
        self,
        *,
        on_progress: OnProgress | None = None,
        timeout: float | timedelta | None = None,
    ) -> builtins.list[ArtifactSummary]:
        """Lists the dumps of old scripts that lie in the store. Needs no key, and no store of ours.

        Args:
            on_progress: Called with a `Progress` now and then, where this call was made; an exception in it cancels
                the work.
            timeout: Seconds, or a timedelta, after which the work is cancelled and `TimedOutError` raised.
        """
        report: builtins.list[ArtifactSummary] = self._run(
            "artifacts",
            {},
            _values.listed(_values.nested(lambda: ArtifactSummary)),
            on_progress,
            timeout,
        )
        return report

    def import_(
        self,
        artifact: str,
        *,
        artifact_passphrase: str | None = None,
        from_database: str | None = None,
        no_owner: bool | None = None,
        no_privileges: bool | None = None,
        tags: Sequence[str] | None = None,
        on_progress: OnProgress | None = None,
        timeout: float | timedelta | None = None,
    ) -> BackupReport:
        """Turns the dump of an old script into a backup: restored into a scratch database, and backed up from there.

        Args:
            artifact_passphrase: The passphrase that openssl encrypted it with. Absent: the vault's.
            from_database: Which database of a dump that holds several: a script of pg_dumpall.
            no_owner: Leave everything to the importing user.
            no_privileges: Leave out grants.
            tags: Labels to keep in the manifest.
            on_progress: Called with a `Progress` now and then, where this call was made; an exception in it cancels
                the work.
            timeout: Seconds, or a timedelta, after which the work is cancelled and `TimedOutError` raised.
        """
        report: BackupReport = self._run(
            "import",
            {
                "artifact": artifact,
                "artifact_passphrase": artifact_passphrase,
                "from_database": from_database,
                "no_owner": no_owner,
                "no_privileges": no_privileges,
                "tags": _values.each(_values.PLAIN).encode(tags),
            },
            _values.nested(lambda: BackupReport),
            on_progress,
            timeout,
        )
        return report

    def show(
        self,
        backup: str,
        *,
        on_progress: OnProgress | None = None,
        timeout: float | timedelta | None = None,
    ) -> BackupDetails:
        """Shows one backup in full. `backup` is an id, the beginning of one, or `latest`; so everywhere.

        Args:
            on_progress: Called with a `Progress` now and then, where this call was made; an exception in it cancels
                the work.
            timeout: Seconds, or a timedelta, after which the work is cancelled and `TimedOutError` raised.
        """
        report: BackupDetails = self._run(
            "show",
            {
                "backup": backup,
            },
            _values.nested(lambda: BackupDetails),
            on_progress,
            timeout,
        )
        return report

    def verify(
        self,
        backup: str,
        *,
        artifact_passphrase: str | None = None,
        on_progress: OnProgress | None = None,
        timeout: float | timedelta | None = None,
    ) -> VerifyReport:
        """Opens and checks every stored byte of one backup, and keeps the proof.

        Takes the dumps of old scripts as well.

        Args:
            artifact_passphrase: The passphrase that openssl encrypted the artifact with. Absent: the vault's.
            on_progress: Called with a `Progress` now and then, where this call was made; an exception in it cancels
                the work.
            timeout: Seconds, or a timedelta, after which the work is cancelled and `TimedOutError` raised.
        """
        report: VerifyReport = self._run(
            "verify",
            {
                "backup": backup,
                "artifact_passphrase": artifact_passphrase,
            },
            _values.nested(lambda: VerifyReport),
            on_progress,
            timeout,
        )
        return report

    def drill(
        self,
        backup: str,
        *,
        queries: Sequence[str] | None = None,
        target: str | None = None,
        on_progress: OnProgress | None = None,
        timeout: float | timedelta | None = None,
    ) -> DrillReport:
        """Restores one backup into a scratch database, compares counts and hashes, drops it, and keeps the proof.

        Args:
            queries: Queries to run on the restored database; each must succeed, and not answer `false` or `0`.
            target: URL of an empty database to use. Absent: one is created beside the vault's database and dropped
                afterwards.
            on_progress: Called with a `Progress` now and then, where this call was made; an exception in it cancels
                the work.
            timeout: Seconds, or a timedelta, after which the work is cancelled and `TimedOutError` raised.
        """
        report: DrillReport = self._run(
            "drill",
            {
                "backup": backup,
                "queries": _values.each(_values.PLAIN).encode(queries),
                "target": target,
            },
            _values.nested(lambda: DrillReport),
            on_progress,
            timeout,
        )
        return report

    def restore(
        self,
        backup: str,
        *,
        artifact_passphrase: str | None = None,
        clean: bool | None = None,
        from_database: str | None = None,
        globals: bool | None = None,
        map: BackupMapping | None = None,
        no_owner: bool | None = None,
        no_privileges: bool | None = None,
        no_superuser: bool | None = None,
        overwrite: bool | None = None,
        promote: bool | None = None,
        queries: Sequence[str] | None = None,
        select: Selection | None = None,
        target: str | None = None,
        on_progress: OnProgress | None = None,
        timeout: float | timedelta | None = None,
    ) -> RestoreReport:
        """Restores one backup into an empty database; or the dump of an old script: its name in the store, a path or
        a URL.

        Args:
            artifact_passphrase: The passphrase that openssl encrypted the artifact with. Absent: the vault's.
            clean: Drop what the backup brings before it is created.
            from_database: Which database of a dump that holds several: a script of pg_dumpall.
            globals: Create the roles, users and tablespaces that the backup needs and the server lacks.
            map: Other names for schemas, owners and tablespaces.
            no_owner: Leave everything to the restoring user.
            no_privileges: Leave out grants.
            no_superuser: Leave out what only a superuser may create.
            overwrite: Restore even though the target holds something.
            promote: Restore beside the target, check, and let the result take its place; the database that was there
                is kept.
            queries: Queries to run before a promotion; each must succeed, and not answer `false` or `0`.
            select: What of the backup is restored; the default is everything.
            target: URL of the database to restore into: empty, or not there yet.
            on_progress: Called with a `Progress` now and then, where this call was made; an exception in it cancels
                the work.
            timeout: Seconds, or a timedelta, after which the work is cancelled and `TimedOutError` raised.
        """
        report: RestoreReport = self._run(
            "restore",
            {
                "backup": backup,
                "artifact_passphrase": artifact_passphrase,
                "clean": clean,
                "from_database": from_database,
                "globals": globals,
                "map": _values.nested(lambda: BackupMapping).encode(map),
                "no_owner": no_owner,
                "no_privileges": no_privileges,
                "no_superuser": no_superuser,
                "overwrite": overwrite,
                "promote": promote,
                "queries": _values.each(_values.PLAIN).encode(queries),
                "select": _values.nested(lambda: Selection).encode(select),
                "target": target,
            },
            _values.nested(lambda: RestoreReport),
            on_progress,
            timeout,
        )
        return report

    def export(
        self,
        backup: str,
        *,
        artifact_passphrase: str | None = None,
        folder: str | os.PathLike[str] | None = None,
        format: ExportFormat | None = None,
        keep_compression: bool | None = None,
        plain: bool | None = None,
        on_progress: OnProgress | None = None,
        timeout: float | timedelta | None = None,
    ) -> ExportReport:
        """Writes one backup's dump into a folder, as stock tools load it.

        Args:
            artifact_passphrase: The passphrase that a classic artifact is encrypted with. Absent: the vault's.
            folder: The folder to write: new, or empty; for classic artifacts any folder.
            format: What is written. Default: the dump directory.
            keep_compression: Leave the files compressed as they are stored.
            plain: Do not encrypt a classic artifact.
            on_progress: Called with a `Progress` now and then, where this call was made; an exception in it cancels
                the work.
            timeout: Seconds, or a timedelta, after which the work is cancelled and `TimedOutError` raised.
        """
        report: ExportReport = self._run(
            "export",
            {
                "backup": backup,
                "artifact_passphrase": artifact_passphrase,
                "folder": _values.PATH.encode(folder),
                "format": format,
                "keep_compression": keep_compression,
                "plain": plain,
            },
            _values.nested(lambda: ExportReport),
            on_progress,
            timeout,
        )
        return report

    def prune(
        self,
        *,
        dry_run: bool | None = None,
        grace: float | timedelta | None = None,
        keep: Keep | None = None,
        on_progress: OnProgress | None = None,
        timeout: float | timedelta | None = None,
    ) -> PruneReport:
        """Deletes the backups that no rule keeps, and what dead runs left behind.

        Marks first, deletes after a time of grace.

        Args:
            dry_run: Tell what would be done, and do nothing.
            grace: Seconds (or a timedelta) from the mark to the deletion. Absent: 86400, a day. 0 deletes at once.
            keep: What is kept. Absent: BACKUP_RETENTION, or else everything of the last 30 days.
            on_progress: Called with a `Progress` now and then, where this call was made; an exception in it cancels
                the work.
            timeout: Seconds, or a timedelta, after which the work is cancelled and `TimedOutError` raised.
        """
        report: PruneReport = self._run(
            "prune",
            {
                "dry_run": dry_run,
                "grace_seconds": _values.SECONDS.encode(grace),
                "keep": _values.nested(lambda: Keep).encode(keep),
            },
            _values.nested(lambda: PruneReport),
            on_progress,
            timeout,
        )
        return report

    def hold(
        self,
        backup: str,
        *,
        reason: str | None = None,
        until: datetime | None = None,
        on_progress: OnProgress | None = None,
        timeout: float | timedelta | None = None,
    ) -> HoldReport:
        """Keeps one backup from being deleted, until a date or until `release`.

        Args:
            reason: Why, for those who meet the hold later.
            until: The hold ends then by itself. Absent: it ends with `release`.
            on_progress: Called with a `Progress` now and then, where this call was made; an exception in it cancels
                the work.
            timeout: Seconds, or a timedelta, after which the work is cancelled and `TimedOutError` raised.
        """
        report: HoldReport = self._run(
            "hold",
            {
                "backup": backup,
                "reason": reason,
                "until": _values.TIMESTAMP.encode(until),
            },
            _values.nested(lambda: HoldReport),
            on_progress,
            timeout,
        )
        return report

    def release(
        self,
        backup: str,
        *,
        on_progress: OnProgress | None = None,
        timeout: float | timedelta | None = None,
    ) -> HoldReport:
        """Takes back every hold on one backup.

        Args:
            on_progress: Called with a `Progress` now and then, where this call was made; an exception in it cancels
                the work.
            timeout: Seconds, or a timedelta, after which the work is cancelled and `TimedOutError` raised.
        """
        report: HoldReport = self._run(
            "release",
            {
                "backup": backup,
            },
            _values.nested(lambda: HoldReport),
            on_progress,
            timeout,
        )
        return report

    def run_due(
        self,
        *,
        plan: Plan | None = None,
        within: float | timedelta | None = None,
        on_progress: OnProgress | None = None,
        timeout: float | timedelta | None = None,
    ) -> RunDueReport:
        """Does what the plan says is due: each slot once, however many hosts try.

        Says what it did, and what failed.

        Args:
            plan: What runs when.
            within: Be done within so many seconds: what runs then is cancelled and cleans up, and is due again. Give
                a little less than the host allows.
            on_progress: Called with a `Progress` now and then, where this call was made; an exception in it cancels
                the work.
            timeout: Seconds, or a timedelta, after which the work is cancelled and `TimedOutError` raised.
        """
        report: RunDueReport = self._run(
            "run_due",
            {
                "plan": _values.nested(lambda: Plan).encode(plan),
                "within_seconds": _values.SECONDS.encode(within),
            },
            _values.nested(lambda: RunDueReport),
            on_progress,
            timeout,
        )
        return report

    def keys(
        self,
        *,
        on_progress: OnProgress | None = None,
        timeout: float | timedelta | None = None,
    ) -> KeysReport:
        """Shows what opens what: key slots, epochs, and the backups under each. Without a key, the slots alone.

        Args:
            on_progress: Called with a `Progress` now and then, where this call was made; an exception in it cancels
                the work.
            timeout: Seconds, or a timedelta, after which the work is cancelled and `TimedOutError` raised.
        """
        report: KeysReport = self._run(
            "keys",
            {},
            _values.nested(lambda: KeysReport),
            on_progress,
            timeout,
        )
        return report

    def rotate_key(
        self,
        *,
        allow_weak: bool | None = None,
        new_epoch: bool | None = None,
        to_passphrase: str | None = None,
        to_recipients: Sequence[str] | None = None,
        work_factor: int | None = None,
        on_progress: OnProgress | None = None,
        timeout: float | timedelta | None = None,
    ) -> RotateKeyReport:
        """Makes a new key open the store, and retires the one that opened it; with `new_epoch`, under a new identity.

        Args:
            allow_weak: Take the passphrase although it is weak.
            new_epoch: Make a new identity for the backups to come: after somebody saw the old one. Without a new key,
                the one that opened the store opens it on.
            to_passphrase: The key that opens the store from now on: a passphrase, or `raw:` and 32 bytes in hex or
                base64.
            to_recipients: Or the public keys (`age1…`, `ssh-ed25519 …`) whose identities open the store from now on.
                One of them must be given here as well, so that the new slot can be tried before the old one goes.
            work_factor: The scrypt work factor (log2 of N) of a passphrase slot. Absent: 16.
            on_progress: Called with a `Progress` now and then, where this call was made; an exception in it cancels
                the work.
            timeout: Seconds, or a timedelta, after which the work is cancelled and `TimedOutError` raised.
        """
        report: RotateKeyReport = self._run(
            "rotate_key",
            {
                "allow_weak": allow_weak,
                "new_epoch": new_epoch,
                "to_passphrase": to_passphrase,
                "to_recipients": _values.each(_values.PLAIN).encode(to_recipients),
                "work_factor": work_factor,
            },
            _values.nested(lambda: RotateKeyReport),
            on_progress,
            timeout,
        )
        return report

    def add_key(
        self,
        *,
        allow_weak: bool | None = None,
        name: str | None = None,
        passphrase: str | None = None,
        recipients: Sequence[str] | None = None,
        work_factor: int | None = None,
        on_progress: OnProgress | None = None,
        timeout: float | timedelta | None = None,
    ) -> AddKeyReport:
        """Makes another key open the store, beside those that do.

        Args:
            allow_weak: Take the passphrase although it is weak.
            name: What the slot is called, so that people know whose it is: `safe`. Of a-z, 0-9 and `-`.
            passphrase: Another key that opens the store: a passphrase, or `raw:` and 32 bytes in hex or base64.
            recipients: Or public keys (`age1…`, `ssh-ed25519 …`), each of whose identities opens the store.
            work_factor: The scrypt work factor (log2 of N) of a passphrase slot. Absent: 16.
            on_progress: Called with a `Progress` now and then, where this call was made; an exception in it cancels
                the work.
            timeout: Seconds, or a timedelta, after which the work is cancelled and `TimedOutError` raised.
        """
        report: AddKeyReport = self._run(
            "add_key",
            {
                "allow_weak": allow_weak,
                "name": name,
                "passphrase": passphrase,
                "recipients": _values.each(_values.PLAIN).encode(recipients),
                "work_factor": work_factor,
            },
            _values.nested(lambda: AddKeyReport),
            on_progress,
            timeout,
        )
        return report

    def remove_key(
        self,
        slot: str,
        *,
        on_progress: OnProgress | None = None,
        timeout: float | timedelta | None = None,
    ) -> RemoveKeyReport:
        """Makes a key open the store no more. `slot` is as `keys` shows it. Never the last one.

        Args:
            on_progress: Called with a `Progress` now and then, where this call was made; an exception in it cancels
                the work.
            timeout: Seconds, or a timedelta, after which the work is cancelled and `TimedOutError` raised.
        """
        report: RemoveKeyReport = self._run(
            "remove_key",
            {
                "slot": slot,
            },
            _values.nested(lambda: RemoveKeyReport),
            on_progress,
            timeout,
        )
        return report

    def rewrap(
        self,
        *,
        all: bool | None = None,
        on_progress: OnProgress | None = None,
        timeout: float | timedelta | None = None,
    ) -> RewrapReport:
        """Wraps the data keys of all backups to the newest epoch, and to the recipients of the settings, alone.

        Args:
            all: Also what looks as it should: after one recipient took the place of another, which key files do not
                tell.
            on_progress: Called with a `Progress` now and then, where this call was made; an exception in it cancels
                the work.
            timeout: Seconds, or a timedelta, after which the work is cancelled and `TimedOutError` raised.
        """
        report: RewrapReport = self._run(
            "rewrap",
            {
                "all": all,
            },
            _values.nested(lambda: RewrapReport),
            on_progress,
            timeout,
        )
        return report

    def reencrypt(
        self,
        *,
        on_progress: OnProgress | None = None,
        timeout: float | timedelta | None = None,
    ) -> ReencryptReport:
        """Seals all backups of earlier epochs anew, with new data keys under the newest epoch: after somebody saw a
        key.

        Args:
            on_progress: Called with a `Progress` now and then, where this call was made; an exception in it cancels
                the work.
            timeout: Seconds, or a timedelta, after which the work is cancelled and `TimedOutError` raised.
        """
        report: ReencryptReport = self._run(
            "reencrypt",
            {},
            _values.nested(lambda: ReencryptReport),
            on_progress,
            timeout,
        )
        return report

    def health(
        self,
        *,
        cache: float | timedelta | None = None,
        checks: Sequence[HealthCheck] | None = None,
        health_json: bool | None = None,
        max_age: float | timedelta | None = None,
        max_drill_age: float | timedelta | None = None,
        timeout_seconds: float | timedelta | None = None,
        on_progress: OnProgress | None = None,
        timeout: float | timedelta | None = None,
    ) -> HealthReport:
        """Tells whether database, store, backups and drills are as they should be; what fails is in the report.

        Args:
            cache: Seconds (or a timedelta) that an answer is kept and given again. Default: 15.
            checks: What the caller looked at by himself; it counts like the rest.
            health_json: Give the report as `application/health+json` too.
            max_age: Seconds (or a timedelta) that the newest backup may be old. Default: 93,600 (26 hours).
            max_drill_age: Seconds (or a timedelta) that may pass without a successful drill. Default: 3,024,000 (35
                days).
            timeout_seconds: Seconds (or a timedelta) that the database and the store each have for an answer.
                Default: 5.
            on_progress: Called with a `Progress` now and then, where this call was made; an exception in it cancels
                the work.
            timeout: Seconds, or a timedelta, after which the work is cancelled and `TimedOutError` raised.
        """
        report: HealthReport = self._run(
            "health",
            {
                "cache_seconds": _values.SECONDS.encode(cache),
                "checks": _values.each(_values.nested(lambda: HealthCheck)).encode(checks),
                "health_json": health_json,
                "max_age_seconds": _values.SECONDS.encode(max_age),
                "max_drill_age_seconds": _values.SECONDS.encode(max_drill_age),
                "timeout_seconds": _values.SECONDS.encode(timeout_seconds),
            },
            _values.nested(lambda: HealthReport),
            on_progress,
            timeout,
        )
        return report

    def metrics(
        self,
        *,
        cache: float | timedelta | None = None,
        timeout_seconds: float | timedelta | None = None,
        on_progress: OnProgress | None = None,
        timeout: float | timedelta | None = None,
    ) -> str:
        """Gives everything that is known of the vault and of this process as Prometheus text (format 0.0.4).

        Args:
            cache: Seconds (or a timedelta) that an answer is kept and given again. Default: 15.
            timeout_seconds: Seconds (or a timedelta) that the database and the store each have for an answer.
                Default: 5.
            on_progress: Called with a `Progress` now and then, where this call was made; an exception in it cancels
                the work.
            timeout: Seconds, or a timedelta, after which the work is cancelled and `TimedOutError` raised.
        """
        report: str = self._run(
            "metrics",
            {
                "cache_seconds": _values.SECONDS.encode(cache),
                "timeout_seconds": _values.SECONDS.encode(timeout_seconds),
            },
            _values.PLAIN,
            on_progress,
            timeout,
        )
        return report

    def database_stats(
        self,
        *,
        on_progress: OnProgress | None = None,
        timeout: float | timedelta | None = None,
    ) -> DatabaseStats:
        """Asks the database how it is doing: connections, sizes, slow queries, locks, replication.

        Args:
            on_progress: Called with a `Progress` now and then, where this call was made; an exception in it cancels
                the work.
            timeout: Seconds, or a timedelta, after which the work is cancelled and `TimedOutError` raised.
        """
        report: DatabaseStats = self._run(
            "database_stats",
            {},
            _values.nested(lambda: DatabaseStats),
            on_progress,
            timeout,
        )
        return report

    def doctor(
        self,
        *,
        indexes: Sequence[str] | None = None,
        tables: Sequence[str] | None = None,
        on_progress: OnProgress | None = None,
        timeout: float | timedelta | None = None,
    ) -> DoctorReport:
        """Looks at everything that backups and restores depend on; changes nothing but a probe object in the store.

        What is broken is a failed check, never an error. Where a vault cannot even be opened: `VaultBuilder.doctor`.

        Args:
            indexes: Indexes that must be there, and usable.
            tables: Tables or collections that must be there: `orders`, `sales.orders`.
            on_progress: Called with a `Progress` now and then, where this call was made; an exception in it cancels
                the work.
            timeout: Seconds, or a timedelta, after which the work is cancelled and `TimedOutError` raised.
        """
        report: DoctorReport = self._run(
            "doctor",
            {
                "indexes": _values.each(_values.PLAIN).encode(indexes),
                "tables": _values.each(_values.PLAIN).encode(tables),
            },
            _values.nested(lambda: DoctorReport),
            on_progress,
            timeout,
        )
        return report


class AsyncVault(AsyncVaultBase):
    """A `Vault` for asyncio: every verb is a coroutine. Use it in an `async with` block."""

    def __init__(
        self,
        *,
        alerts: Alerts | None = None,
        allow_weak_passphrase: bool | None = None,
        database: str | None = None,
        identity_file: str | os.PathLike[str] | None = None,
        key: str | None = None,
        key_file: str | os.PathLike[str] | None = None,
        name: str | None = None,
        recipients: Sequence[str] | None = None,
        settings: Settings | None = None,
        signing_key_file: str | os.PathLike[str] | None = None,
        store: str | os.PathLike[str] | None = None,
        store_options: Mapping[str, str] | None = None,
        trusted_signers: Sequence[str] | None = None,
        unencrypted: bool | None = None,
        without_store: bool | None = None,
        work_factor: int | None = None,
    ) -> None:
        """What is absent is taken from the environment (`DATABASE_URL`, `BACKUP_STORE_URL`, `BACKUP_ENCRYPTION_KEY` …).

        Args:
            alerts: Who is told when something failed, works again, or looks odd. Absent: as the environment says.
            allow_weak_passphrase: Take a passphrase although it is weak.
            database: URL of the database to back up: `postgres://…`, `mysql://…`, `sqlite:path`.
            identity_file: File with age or SSH identities that open the store.
            key: What opens the store: a passphrase, or `raw:` and 32 bytes in hex or base64.
            key_file: File that holds the key.
            name: The database's name in the store. Absent: the database's own name, made safe.
            recipients: Further recipients (`age1…`, `ssh-ed25519 …`) of each backup's data key.
            settings: Numbers and choices.
            signing_key_file: File with the key with which a host that holds only recipients signs its manifests.
            store: Where backups lie: `s3://bucket/prefix`, `az://container/prefix`, `gs://bucket/prefix`,
                `file:///folder`, or a path.
            store_options: Options of the store's client, by the names of `object_store`: `aws_access_key_id`,
                `azure_storage_account_key` …
            trusted_signers: Public keys of hosts that hold only recipients, whose backups are to be believed.
            unencrypted: Make and expect a store without encryption.
            without_store: Open also when no store is given: to verify and restore artifacts by their paths or URLs.
            work_factor: The scrypt work factor (log2 of N, 1 to 18) of passphrase slots that are written. Absent: 16.
        """
        super().__init__(
            {
                "alerts": _values.nested(lambda: Alerts).encode(alerts),
                "allow_weak_passphrase": allow_weak_passphrase,
                "database": database,
                "identity_file": _values.PATH.encode(identity_file),
                "key": key,
                "key_file": _values.PATH.encode(key_file),
                "name": name,
                "recipients": _values.each(_values.PLAIN).encode(recipients),
                "settings": _values.nested(lambda: Settings).encode(settings),
                "signing_key_file": _values.PATH.encode(signing_key_file),
                "store": _values.PATH_OR_TEXT.encode(store),
                "store_options": _values.mapped(_values.PLAIN).encode(store_options),
                "trusted_signers": _values.each(_values.PLAIN).encode(trusted_signers),
                "unencrypted": unencrypted,
                "without_store": without_store,
                "work_factor": work_factor,
            }
        )

    async def backup(
        self,
        *,
        globals: bool | None = None,
        select: Selection | None = None,
        tags: Sequence[str] | None = None,
        on_progress: OnProgressAsync | None = None,
        timeout: float | timedelta | None = None,
    ) -> BackupReport:
        """Makes one backup of the database. The first one also makes the store.

        Args:
            globals: Back up what belongs to the server as well: roles, users, tablespaces.
            select: What of the database is backed up; the default is everything.
            tags: Labels to keep in the manifest.
            on_progress: Called with a `Progress` now and then, where this call was made; an exception in it cancels
                the work.
            timeout: Seconds, or a timedelta, after which the work is cancelled and `TimedOutError` raised.
        """
        report: BackupReport = await self._run(
            "backup",
            {
                "globals": globals,
                "select": _values.nested(lambda: Selection).encode(select),
                "tags": _values.each(_values.PLAIN).encode(tags),
            },
            _values.nested(lambda: BackupReport),
            on_progress,
            timeout,
        )
        return report

    async def list(
        self,
        *,
        limit: int | None = None,
        on_progress: OnProgressAsync | None = None,
        timeout: float | timedelta | None = None,
    ) -> builtins.list[BackupSummary]:
        """Lists the backups there are, newest first. Needs no key.

        Args:
            limit: At most so many, the newest. Absent: all.
            on_progress: Called with a `Progress` now and then, where this call was made; an exception in it cancels
                the work.
            timeout: Seconds, or a timedelta, after which the work is cancelled and `TimedOutError` raised.
        """
        report: builtins.list[BackupSummary] = await self._run(
            "list",
            {
                "limit": limit,
            },
            _values.listed(_values.nested(lambda: BackupSummary)),
            on_progress,
            timeout,
        )
        return report

    async def artifacts(
        self,
        *,
        on_progress: OnProgressAsync | None = None,
        timeout: float | timedelta | None = None,
    ) -> builtins.list[ArtifactSummary]:
        """Lists the dumps of old scripts that lie in the store. Needs no key, and no store of ours.

        Args:
            on_progress: Called with a `Progress` now and then, where this call was made; an exception in it cancels
                the work.
            timeout: Seconds, or a timedelta, after which the work is cancelled and `TimedOutError` raised.
        """
        report: builtins.list[ArtifactSummary] = await self._run(
            "artifacts",
            {},
            _values.listed(_values.nested(lambda: ArtifactSummary)),
            on_progress,
            timeout,
        )
        return report

    async def import_(
        self,
        artifact: str,
        *,
        artifact_passphrase: str | None = None,
        from_database: str | None = None,
        no_owner: bool | None = None,
        no_privileges: bool | None = None,
        tags: Sequence[str] | None = None,
        on_progress: OnProgressAsync | None = None,
        timeout: float | timedelta | None = None,
    ) -> BackupReport:
        """Turns the dump of an old script into a backup: restored into a scratch database, and backed up from there.

        Args:
            artifact_passphrase: The passphrase that openssl encrypted it with. Absent: the vault's.
            from_database: Which database of a dump that holds several: a script of pg_dumpall.
            no_owner: Leave everything to the importing user.
            no_privileges: Leave out grants.
            tags: Labels to keep in the manifest.
            on_progress: Called with a `Progress` now and then, where this call was made; an exception in it cancels
                the work.
            timeout: Seconds, or a timedelta, after which the work is cancelled and `TimedOutError` raised.
        """
        report: BackupReport = await self._run(
            "import",
            {
                "artifact": artifact,
                "artifact_passphrase": artifact_passphrase,
                "from_database": from_database,
                "no_owner": no_owner,
                "no_privileges": no_privileges,
                "tags": _values.each(_values.PLAIN).encode(tags),
            },
            _values.nested(lambda: BackupReport),
            on_progress,
            timeout,
        )
        return report

    async def show(
        self,
        backup: str,
        *,
        on_progress: OnProgressAsync | None = None,
        timeout: float | timedelta | None = None,
    ) -> BackupDetails:
        """Shows one backup in full. `backup` is an id, the beginning of one, or `latest`; so everywhere.

        Args:
            on_progress: Called with a `Progress` now and then, where this call was made; an exception in it cancels
                the work.
            timeout: Seconds, or a timedelta, after which the work is cancelled and `TimedOutError` raised.
        """
        report: BackupDetails = await self._run(
            "show",
            {
                "backup": backup,
            },
            _values.nested(lambda: BackupDetails),
            on_progress,
            timeout,
        )
        return report

    async def verify(
        self,
        backup: str,
        *,
        artifact_passphrase: str | None = None,
        on_progress: OnProgressAsync | None = None,
        timeout: float | timedelta | None = None,
    ) -> VerifyReport:
        """Opens and checks every stored byte of one backup, and keeps the proof.

        Takes the dumps of old scripts as well.

        Args:
            artifact_passphrase: The passphrase that openssl encrypted the artifact with. Absent: the vault's.
            on_progress: Called with a `Progress` now and then, where this call was made; an exception in it cancels
                the work.
            timeout: Seconds, or a timedelta, after which the work is cancelled and `TimedOutError` raised.
        """
        report: VerifyReport = await self._run(
            "verify",
            {
                "backup": backup,
                "artifact_passphrase": artifact_passphrase,
            },
            _values.nested(lambda: VerifyReport),
            on_progress,
            timeout,
        )
        return report

    async def drill(
        self,
        backup: str,
        *,
        queries: Sequence[str] | None = None,
        target: str | None = None,
        on_progress: OnProgressAsync | None = None,
        timeout: float | timedelta | None = None,
    ) -> DrillReport:
        """Restores one backup into a scratch database, compares counts and hashes, drops it, and keeps the proof.

        Args:
            queries: Queries to run on the restored database; each must succeed, and not answer `false` or `0`.
            target: URL of an empty database to use. Absent: one is created beside the vault's database and dropped
                afterwards.
            on_progress: Called with a `Progress` now and then, where this call was made; an exception in it cancels
                the work.
            timeout: Seconds, or a timedelta, after which the work is cancelled and `TimedOutError` raised.
        """
        report: DrillReport = await self._run(
            "drill",
            {
                "backup": backup,
                "queries": _values.each(_values.PLAIN).encode(queries),
                "target": target,
            },
            _values.nested(lambda: DrillReport),
            on_progress,
            timeout,
        )
        return report

    async def restore(
        self,
        backup: str,
        *,
        artifact_passphrase: str | None = None,
        clean: bool | None = None,
        from_database: str | None = None,
        globals: bool | None = None,
        map: BackupMapping | None = None,
        no_owner: bool | None = None,
        no_privileges: bool | None = None,
        no_superuser: bool | None = None,
        overwrite: bool | None = None,
        promote: bool | None = None,
        queries: Sequence[str] | None = None,
        select: Selection | None = None,
        target: str | None = None,
        on_progress: OnProgressAsync | None = None,
        timeout: float | timedelta | None = None,
    ) -> RestoreReport:
        """Restores one backup into an empty database; or the dump of an old script: its name in the store, a path or
        a URL.

        Args:
            artifact_passphrase: The passphrase that openssl encrypted the artifact with. Absent: the vault's.
            clean: Drop what the backup brings before it is created.
            from_database: Which database of a dump that holds several: a script of pg_dumpall.
            globals: Create the roles, users and tablespaces that the backup needs and the server lacks.
            map: Other names for schemas, owners and tablespaces.
            no_owner: Leave everything to the restoring user.
            no_privileges: Leave out grants.
            no_superuser: Leave out what only a superuser may create.
            overwrite: Restore even though the target holds something.
            promote: Restore beside the target, check, and let the result take its place; the database that was there
                is kept.
            queries: Queries to run before a promotion; each must succeed, and not answer `false` or `0`.
            select: What of the backup is restored; the default is everything.
            target: URL of the database to restore into: empty, or not there yet.
            on_progress: Called with a `Progress` now and then, where this call was made; an exception in it cancels
                the work.
            timeout: Seconds, or a timedelta, after which the work is cancelled and `TimedOutError` raised.
        """
        report: RestoreReport = await self._run(
            "restore",
            {
                "backup": backup,
                "artifact_passphrase": artifact_passphrase,
                "clean": clean,
                "from_database": from_database,
                "globals": globals,
                "map": _values.nested(lambda: BackupMapping).encode(map),
                "no_owner": no_owner,
                "no_privileges": no_privileges,
                "no_superuser": no_superuser,
                "overwrite": overwrite,
                "promote": promote,
                "queries": _values.each(_values.PLAIN).encode(queries),
                "select": _values.nested(lambda: Selection).encode(select),
                "target": target,
            },
            _values.nested(lambda: RestoreReport),
            on_progress,
            timeout,
        )
        return report

    async def export(
        self,
        backup: str,
        *,
        artifact_passphrase: str | None = None,
        folder: str | os.PathLike[str] | None = None,
        format: ExportFormat | None = None,
        keep_compression: bool | None = None,
        plain: bool | None = None,
        on_progress: OnProgressAsync | None = None,
        timeout: float | timedelta | None = None,
    ) -> ExportReport:
        """Writes one backup's dump into a folder, as stock tools load it.

        Args:
            artifact_passphrase: The passphrase that a classic artifact is encrypted with. Absent: the vault's.
            folder: The folder to write: new, or empty; for classic artifacts any folder.
            format: What is written. Default: the dump directory.
            keep_compression: Leave the files compressed as they are stored.
            plain: Do not encrypt a classic artifact.
            on_progress: Called with a `Progress` now and then, where this call was made; an exception in it cancels
                the work.
            timeout: Seconds, or a timedelta, after which the work is cancelled and `TimedOutError` raised.
        """
        report: ExportReport = await self._run(
            "export",
            {
                "backup": backup,
                "artifact_passphrase": artifact_passphrase,
                "folder": _values.PATH.encode(folder),
                "format": format,
                "keep_compression": keep_compression,
                "plain": plain,
            },
            _values.nested(lambda: ExportReport),
            on_progress,
            timeout,
        )
        return report

    async def prune(
        self,
        *,
        dry_run: bool | None = None,
        grace: float | timedelta | None = None,
        keep: Keep | None = None,
        on_progress: OnProgressAsync | None = None,
        timeout: float | timedelta | None = None,
    ) -> PruneReport:
        """Deletes the backups that no rule keeps, and what dead runs left behind.

        Marks first, deletes after a time of grace.

        Args:
            dry_run: Tell what would be done, and do nothing.
            grace: Seconds (or a timedelta) from the mark to the deletion. Absent: 86400, a day. 0 deletes at once.
            keep: What is kept. Absent: BACKUP_RETENTION, or else everything of the last 30 days.
            on_progress: Called with a `Progress` now and then, where this call was made; an exception in it cancels
                the work.
            timeout: Seconds, or a timedelta, after which the work is cancelled and `TimedOutError` raised.
        """
        report: PruneReport = await self._run(
            "prune",
            {
                "dry_run": dry_run,
                "grace_seconds": _values.SECONDS.encode(grace),
                "keep": _values.nested(lambda: Keep).encode(keep),
            },
            _values.nested(lambda: PruneReport),
            on_progress,
            timeout,
        )
        return report

    async def hold(
        self,
        backup: str,
        *,
        reason: str | None = None,
        until: datetime | None = None,
        on_progress: OnProgressAsync | None = None,
        timeout: float | timedelta | None = None,
    ) -> HoldReport:
        """Keeps one backup from being deleted, until a date or until `release`.

        Args:
            reason: Why, for those who meet the hold later.
            until: The hold ends then by itself. Absent: it ends with `release`.
            on_progress: Called with a `Progress` now and then, where this call was made; an exception in it cancels
                the work.
            timeout: Seconds, or a timedelta, after which the work is cancelled and `TimedOutError` raised.
        """
        report: HoldReport = await self._run(
            "hold",
            {
                "backup": backup,
                "reason": reason,
                "until": _values.TIMESTAMP.encode(until),
            },
            _values.nested(lambda: HoldReport),
            on_progress,
            timeout,
        )
        return report

    async def release(
        self,
        backup: str,
        *,
        on_progress: OnProgressAsync | None = None,
        timeout: float | timedelta | None = None,
    ) -> HoldReport:
        """Takes back every hold on one backup.

        Args:
            on_progress: Called with a `Progress` now and then, where this call was made; an exception in it cancels
                the work.
            timeout: Seconds, or a timedelta, after which the work is cancelled and `TimedOutError` raised.
        """
        report: HoldReport = await self._run(
            "release",
            {
                "backup": backup,
            },
            _values.nested(lambda: HoldReport),
            on_progress,
            timeout,
        )
        return report

    async def run_due(
        self,
        *,
        plan: Plan | None = None,
        within: float | timedelta | None = None,
        on_progress: OnProgressAsync | None = None,
        timeout: float | timedelta | None = None,
    ) -> RunDueReport:
        """Does what the plan says is due: each slot once, however many hosts try.

        Says what it did, and what failed.

        Args:
            plan: What runs when.
            within: Be done within so many seconds: what runs then is cancelled and cleans up, and is due again. Give
                a little less than the host allows.
            on_progress: Called with a `Progress` now and then, where this call was made; an exception in it cancels
                the work.
            timeout: Seconds, or a timedelta, after which the work is cancelled and `TimedOutError` raised.
        """
        report: RunDueReport = await self._run(
            "run_due",
            {
                "plan": _values.nested(lambda: Plan).encode(plan),
                "within_seconds": _values.SECONDS.encode(within),
            },
            _values.nested(lambda: RunDueReport),
            on_progress,
            timeout,
        )
        return report

    async def keys(
        self,
        *,
        on_progress: OnProgressAsync | None = None,
        timeout: float | timedelta | None = None,
    ) -> KeysReport:
        """Shows what opens what: key slots, epochs, and the backups under each. Without a key, the slots alone.

        Args:
            on_progress: Called with a `Progress` now and then, where this call was made; an exception in it cancels
                the work.
            timeout: Seconds, or a timedelta, after which the work is cancelled and `TimedOutError` raised.
        """
        report: KeysReport = await self._run(
            "keys",
            {},
            _values.nested(lambda: KeysReport),
            on_progress,
            timeout,
        )
        return report

    async def rotate_key(
        self,
        *,
        allow_weak: bool | None = None,
        new_epoch: bool | None = None,
        to_passphrase: str | None = None,
        to_recipients: Sequence[str] | None = None,
        work_factor: int | None = None,
        on_progress: OnProgressAsync | None = None,
        timeout: float | timedelta | None = None,
    ) -> RotateKeyReport:
        """Makes a new key open the store, and retires the one that opened it; with `new_epoch`, under a new identity.

        Args:
            allow_weak: Take the passphrase although it is weak.
            new_epoch: Make a new identity for the backups to come: after somebody saw the old one. Without a new key,
                the one that opened the store opens it on.
            to_passphrase: The key that opens the store from now on: a passphrase, or `raw:` and 32 bytes in hex or
                base64.
            to_recipients: Or the public keys (`age1…`, `ssh-ed25519 …`) whose identities open the store from now on.
                One of them must be given here as well, so that the new slot can be tried before the old one goes.
            work_factor: The scrypt work factor (log2 of N) of a passphrase slot. Absent: 16.
            on_progress: Called with a `Progress` now and then, where this call was made; an exception in it cancels
                the work.
            timeout: Seconds, or a timedelta, after which the work is cancelled and `TimedOutError` raised.
        """
        report: RotateKeyReport = await self._run(
            "rotate_key",
            {
                "allow_weak": allow_weak,
                "new_epoch": new_epoch,
                "to_passphrase": to_passphrase,
                "to_recipients": _values.each(_values.PLAIN).encode(to_recipients),
                "work_factor": work_factor,
            },
            _values.nested(lambda: RotateKeyReport),
            on_progress,
            timeout,
        )
        return report

    async def add_key(
        self,
        *,
        allow_weak: bool | None = None,
        name: str | None = None,
        passphrase: str | None = None,
        recipients: Sequence[str] | None = None,
        work_factor: int | None = None,
        on_progress: OnProgressAsync | None = None,
        timeout: float | timedelta | None = None,
    ) -> AddKeyReport:
        """Makes another key open the store, beside those that do.

        Args:
            allow_weak: Take the passphrase although it is weak.
            name: What the slot is called, so that people know whose it is: `safe`. Of a-z, 0-9 and `-`.
            passphrase: Another key that opens the store: a passphrase, or `raw:` and 32 bytes in hex or base64.
            recipients: Or public keys (`age1…`, `ssh-ed25519 …`), each of whose identities opens the store.
            work_factor: The scrypt work factor (log2 of N) of a passphrase slot. Absent: 16.
            on_progress: Called with a `Progress` now and then, where this call was made; an exception in it cancels
                the work.
            timeout: Seconds, or a timedelta, after which the work is cancelled and `TimedOutError` raised.
        """
        report: AddKeyReport = await self._run(
            "add_key",
            {
                "allow_weak": allow_weak,
                "name": name,
                "passphrase": passphrase,
                "recipients": _values.each(_values.PLAIN).encode(recipients),
                "work_factor": work_factor,
            },
            _values.nested(lambda: AddKeyReport),
            on_progress,
            timeout,
        )
        return report

    async def remove_key(
        self,
        slot: str,
        *,
        on_progress: OnProgressAsync | None = None,
        timeout: float | timedelta | None = None,
    ) -> RemoveKeyReport:
        """Makes a key open the store no more. `slot` is as `keys` shows it. Never the last one.

        Args:
            on_progress: Called with a `Progress` now and then, where this call was made; an exception in it cancels
                the work.
            timeout: Seconds, or a timedelta, after which the work is cancelled and `TimedOutError` raised.
        """
        report: RemoveKeyReport = await self._run(
            "remove_key",
            {
                "slot": slot,
            },
            _values.nested(lambda: RemoveKeyReport),
            on_progress,
            timeout,
        )
        return report

    async def rewrap(
        self,
        *,
        all: bool | None = None,
        on_progress: OnProgressAsync | None = None,
        timeout: float | timedelta | None = None,
    ) -> RewrapReport:
        """Wraps the data keys of all backups to the newest epoch, and to the recipients of the settings, alone.

        Args:
            all: Also what looks as it should: after one recipient took the place of another, which key files do not
                tell.
            on_progress: Called with a `Progress` now and then, where this call was made; an exception in it cancels
                the work.
            timeout: Seconds, or a timedelta, after which the work is cancelled and `TimedOutError` raised.
        """
        report: RewrapReport = await self._run(
            "rewrap",
            {
                "all": all,
            },
            _values.nested(lambda: RewrapReport),
            on_progress,
            timeout,
        )
        return report

    async def reencrypt(
        self,
        *,
        on_progress: OnProgressAsync | None = None,
        timeout: float | timedelta | None = None,
    ) -> ReencryptReport:
        """Seals all backups of earlier epochs anew, with new data keys under the newest epoch: after somebody saw a
        key.

        Args:
            on_progress: Called with a `Progress` now and then, where this call was made; an exception in it cancels
                the work.
            timeout: Seconds, or a timedelta, after which the work is cancelled and `TimedOutError` raised.
        """
        report: ReencryptReport = await self._run(
            "reencrypt",
            {},
            _values.nested(lambda: ReencryptReport),
            on_progress,
            timeout,
        )
        return report

    async def health(
        self,
        *,
        cache: float | timedelta | None = None,
        checks: Sequence[HealthCheck] | None = None,
        health_json: bool | None = None,
        max_age: float | timedelta | None = None,
        max_drill_age: float | timedelta | None = None,
        timeout_seconds: float | timedelta | None = None,
        on_progress: OnProgressAsync | None = None,
        timeout: float | timedelta | None = None,
    ) -> HealthReport:
        """Tells whether database, store, backups and drills are as they should be; what fails is in the report.

        Args:
            cache: Seconds (or a timedelta) that an answer is kept and given again. Default: 15.
            checks: What the caller looked at by himself; it counts like the rest.
            health_json: Give the report as `application/health+json` too.
            max_age: Seconds (or a timedelta) that the newest backup may be old. Default: 93,600 (26 hours).
            max_drill_age: Seconds (or a timedelta) that may pass without a successful drill. Default: 3,024,000 (35
                days).
            timeout_seconds: Seconds (or a timedelta) that the database and the store each have for an answer.
                Default: 5.
            on_progress: Called with a `Progress` now and then, where this call was made; an exception in it cancels
                the work.
            timeout: Seconds, or a timedelta, after which the work is cancelled and `TimedOutError` raised.
        """
        report: HealthReport = await self._run(
            "health",
            {
                "cache_seconds": _values.SECONDS.encode(cache),
                "checks": _values.each(_values.nested(lambda: HealthCheck)).encode(checks),
                "health_json": health_json,
                "max_age_seconds": _values.SECONDS.encode(max_age),
                "max_drill_age_seconds": _values.SECONDS.encode(max_drill_age),
                "timeout_seconds": _values.SECONDS.encode(timeout_seconds),
            },
            _values.nested(lambda: HealthReport),
            on_progress,
            timeout,
        )
        return report

    async def metrics(
        self,
        *,
        cache: float | timedelta | None = None,
        timeout_seconds: float | timedelta | None = None,
        on_progress: OnProgressAsync | None = None,
        timeout: float | timedelta | None = None,
    ) -> str:
        """Gives everything that is known of the vault and of this process as Prometheus text (format 0.0.4).

        Args:
            cache: Seconds (or a timedelta) that an answer is kept and given again. Default: 15.
            timeout_seconds: Seconds (or a timedelta) that the database and the store each have for an answer.
                Default: 5.
            on_progress: Called with a `Progress` now and then, where this call was made; an exception in it cancels
                the work.
            timeout: Seconds, or a timedelta, after which the work is cancelled and `TimedOutError` raised.
        """
        report: str = await self._run(
            "metrics",
            {
                "cache_seconds": _values.SECONDS.encode(cache),
                "timeout_seconds": _values.SECONDS.encode(timeout_seconds),
            },
            _values.PLAIN,
            on_progress,
            timeout,
        )
        return report

    async def database_stats(
        self,
        *,
        on_progress: OnProgressAsync | None = None,
        timeout: float | timedelta | None = None,
    ) -> DatabaseStats:
        """Asks the database how it is doing: connections, sizes, slow queries, locks, replication.

        Args:
            on_progress: Called with a `Progress` now and then, where this call was made; an exception in it cancels
                the work.
            timeout: Seconds, or a timedelta, after which the work is cancelled and `TimedOutError` raised.
        """
        report: DatabaseStats = await self._run(
            "database_stats",
            {},
            _values.nested(lambda: DatabaseStats),
            on_progress,
            timeout,
        )
        return report

    async def doctor(
        self,
        *,
        indexes: Sequence[str] | None = None,
        tables: Sequence[str] | None = None,
        on_progress: OnProgressAsync | None = None,
        timeout: float | timedelta | None = None,
    ) -> DoctorReport:
        """Looks at everything that backups and restores depend on; changes nothing but a probe object in the store.

        What is broken is a failed check, never an error. Where a vault cannot even be opened: `VaultBuilder.doctor`.

        Args:
            indexes: Indexes that must be there, and usable.
            tables: Tables or collections that must be there: `orders`, `sales.orders`.
            on_progress: Called with a `Progress` now and then, where this call was made; an exception in it cancels
                the work.
            timeout: Seconds, or a timedelta, after which the work is cancelled and `TimedOutError` raised.
        """
        report: DoctorReport = await self._run(
            "doctor",
            {
                "indexes": _values.each(_values.PLAIN).encode(indexes),
                "tables": _values.each(_values.PLAIN).encode(tables),
            },
            _values.nested(lambda: DoctorReport),
            on_progress,
            timeout,
        )
        return report
