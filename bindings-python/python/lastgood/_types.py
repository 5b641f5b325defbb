"""What goes into verbs and comes out of them, and the errors."""

# Made by generate.py from core/api.json: change that, and run it again.

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias

from . import _values
from ._errors import BackupError
from ._values import Data

ErrorCode: TypeAlias = Literal[
    "invalid_url",
    "invalid_option",
    "missing_setting",
    "not_compiled_in",
    "weak_passphrase",
    "key_required",
    "wrong_key",
    "unauthenticated",
    "key_slot",
    "backup_not_found",
    "backup_ambiguous",
    "object_missing",
    "damaged",
    "newer_format",
    "not_a_store",
    "store_unavailable",
    "store_denied",
    "store_not_found",
    "database_unavailable",
    "too_many_connections",
    "recovery_conflict",
    "tls_failed",
    "pooler_mode",
    "row_security",
    "database_denied",
    "database_not_found",
    "database_error",
    "database_changed",
    "unsupported_database",
    "unsupported_object",
    "unsupported_script",
    "target_not_empty",
    "target_in_use",
    "nothing_selected",
    "incomplete_selection",
    "missing_role",
    "missing_extension",
    "drill_mismatch",
    "disk_full",
    "local_file",
    "busy",
    "unhealthy",
    "cancelled",
    "internal",
]
"""The codes that errors have."""


class InvalidError(BackupError):
    """Errors of the kind `invalid`, by their codes.

    - `invalid_url`: A database or store URL cannot be understood.
    - `invalid_option`: A name, a number or a combination of options is malformed.
    - `missing_setting`: A setting that the call needs was given neither as an argument nor in the environment.
    - `not_compiled_in`: The engine or store exists but was not compiled in.
    - `backup_ambiguous`: An abbreviated id fits several backups.
    """

    kind: ClassVar[str] = "invalid"


class RefusedError(BackupError):
    """Errors of the kind `refused`, by their codes.

    - `weak_passphrase`: The passphrase is too short or too easily guessed.
    - `key_slot`: The key slot does not exist, or is the last one and cannot be removed.
    - `newer_format`: The manifest or the store was written by a newer version of the format.
    - `not_a_store`: The place given as a store holds something else.
    - `pooler_mode`: A connection pooler lies between that gives each transaction another session.
    - `database_error`: The database answered a statement with an error.
    - `unsupported_database`: The source or the target is of another engine or of a version that cannot be served.
    - `unsupported_object`: Something in the source cannot be backed up, and `strict` was asked for.
    - `unsupported_script`: A script holds what is not run here: a command for psql, or what no dump holds.
    - `target_not_empty`: The restore target already holds data.
    - `target_in_use`: The live database is used in a way that would not survive if another took its place.
    - `incomplete_selection`: What was selected cannot be without something that was not.
    - `missing_role`: A role that the backup refers to does not exist at the target.
    - `missing_extension`: An extension that the backup needs cannot be created at the target.
    - `local_file`: A local file cannot be read or written.
    """

    kind: ClassVar[str] = "refused"


class DeniedError(BackupError):
    """Errors of the kind `denied`, by their codes.

    - `key_required`: The store holds encrypted backups and no key was given, or the other way round.
    - `wrong_key`: The key given opens nothing here.
    - `unauthenticated`: The manifest was not written by a host that holds the repository's key or by a trusted
      signer.
    - `store_denied`: The store refused the credentials or the operation.
    - `tls_failed`: TLS is asked for and cannot be had: no TLS at the server, or a certificate that is not believed.
    - `row_security`: Row-level security would hide rows from the backup.
    - `database_denied`: The database refused the credentials, or a privilege is missing.
    """

    kind: ClassVar[str] = "denied"


class NotFoundError(BackupError):
    """Errors of the kind `not_found`, by their codes.

    - `backup_not_found`: No backup has that id.
    - `store_not_found`: The bucket, container or folder does not exist.
    - `database_not_found`: The database, or something in it that was asked for, does not exist.
    - `nothing_selected`: A pattern that selects names nothing.
    """

    kind: ClassVar[str] = "not_found"


class DamagedError(BackupError):
    """Errors of the kind `damaged`, by their codes.

    - `object_missing`: A backup's volume, key file or side file is not in the store.
    - `damaged`: Stored bytes are truncated, altered, reordered or swapped.
    - `drill_mismatch`: Restored data is not what was backed up.
    """

    kind: ClassVar[str] = "damaged"


class UnavailableError(BackupError):
    """Errors of the kind `unavailable`, by their codes.

    - `store_unavailable`: The store cannot be reached, or answered with a passing error.
    - `database_unavailable`: The database cannot be reached, or the connection broke.
    - `too_many_connections`: The database has no connection left for us.
    - `recovery_conflict`: A standby had to cancel the dump to go on with its recovery.
    - `database_changed`: The source changed in a way that would make the backup inconsistent.
    - `disk_full`: The disk is full, here or at the store.
    - `unhealthy`: A health check found something that does not work.
    """

    kind: ClassVar[str] = "unavailable"


class BusyError(BackupError):
    """Errors of the kind `busy`, by their codes.

    - `busy`: Another run holds the same backup id or slot.
    """

    kind: ClassVar[str] = "busy"


class CancelledError(BackupError):
    """Errors of the kind `cancelled`, by their codes.

    - `cancelled`: The operation was cancelled by its caller.
    """

    kind: ClassVar[str] = "cancelled"


class InternalError(BackupError):
    """Errors of the kind `internal`, by their codes.

    - `internal`: A defect in this library.
    """

    kind: ClassVar[str] = "internal"


KINDS: dict[str, type[BackupError]] = {
    "invalid": InvalidError,
    "refused": RefusedError,
    "denied": DeniedError,
    "not_found": NotFoundError,
    "damaged": DamagedError,
    "unavailable": UnavailableError,
    "busy": BusyError,
    "cancelled": CancelledError,
    "internal": InternalError,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AddKeyReport(Data):
    """What became of a key slot that was added."""

    slot: str = field(metadata=_values.key("slot"))
    """The slot: `1-safe`."""

    proven: bool = field(metadata=_values.key("proven"))
    """Whether a key that was given here opens it. What was sealed to somebody else's public key, only they can try."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alerts(Data):
    """Who is told. URLs that hold a token are secrets."""

    command: Sequence[str] | None = field(default=None, metadata=_values.key("command", _values.each(_values.PLAIN)))
    """Program and arguments that get every event as JSON on standard input."""

    discord_url: str | None = field(default=None, repr=False, metadata=_values.key("discord_url"))
    """A Discord webhook."""

    pagerduty_key: str | None = field(default=None, repr=False, metadata=_values.key("pagerduty_key"))
    """The integration key of a PagerDuty service (Events API v2). Incidents are resolved on recovery."""

    pagerduty_url: str | None = field(default=None, metadata=_values.key("pagerduty_url"))
    """Where PagerDuty's events go. Default: `https://events.pagerduty.com/v2/enqueue`."""

    ping_url: str | None = field(default=None, repr=False, metadata=_values.key("ping_url"))
    """A healthchecks-style URL for backups: `/start`, the URL itself on success, `/fail`."""

    slack_url: str | None = field(default=None, repr=False, metadata=_values.key("slack_url"))
    """A Slack incoming webhook."""

    successes: bool | None = field(default=None, metadata=_values.key("successes"))
    """Tell people of every success too, not only of recoveries."""

    webhook_secret: str | None = field(default=None, repr=False, metadata=_values.key("webhook_secret"))
    """Signs the webhook's body: the header `Lastgood-Signature: t=SECONDS,v1=HEX` holds HMAC-SHA256 of
    `SECONDS.BODY`.
    """

    webhook_url: str | None = field(default=None, repr=False, metadata=_values.key("webhook_url"))
    """A URL that gets every event as JSON by POST."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactSummary(Data):
    """An export: the dump as a directory that stock tools load. A dump that scripts made, as its name tells."""

    name: str = field(metadata=_values.key("name"))
    """Its object name in the store; for a directory dump its folder's."""

    bytes: int = field(metadata=_values.key("bytes"))
    """Bytes as stored."""

    encrypted: bool = field(metadata=_values.key("encrypted"))
    """Whether its name says that it is encrypted."""

    checksum: bool = field(metadata=_values.key("checksum"))
    """Whether its SHA-256 lies beside it."""

    started_at: datetime | None = field(default=None, metadata=_values.key("started_at", _values.TIMESTAMP))
    """The time in its name, taken as UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupDetails(Data):
    """One backup in full, as `show` gives it; what is sealed is opened with the key."""

    id: str = field(metadata=_values.key("id"))
    """The backup."""

    database: str = field(metadata=_values.key("database"))
    """Its database's name in the store."""

    engine: EngineKind = field(metadata=_values.key("engine"))
    """The engine it is of."""

    server_version: str = field(metadata=_values.key("server_version"))
    """The server's version."""

    started_at: datetime = field(metadata=_values.key("started_at", _values.TIMESTAMP))
    """When the run began."""

    finished_at: datetime = field(metadata=_values.key("finished_at", _values.TIMESTAMP))
    """When it ended."""

    source_bytes: int = field(metadata=_values.key("source_bytes"))
    """Raw bytes of the dump."""

    stored_bytes: int = field(metadata=_values.key("stored_bytes"))
    """Bytes of its volumes in the store."""

    tables: int = field(metadata=_values.key("tables"))
    """Tables in it."""

    rows: int = field(metadata=_values.key("rows"))
    """Rows in it."""

    tags: tuple[str, ...] = field(metadata=_values.key("tags", _values.each(_values.PLAIN)))
    """Labels given by the caller."""

    encrypted: bool = field(metadata=_values.key("encrypted"))
    """Whether it is encrypted."""

    warnings: int = field(metadata=_values.key("warnings"))
    """Number of warnings in the manifest."""

    partial: bool = field(metadata=_values.key("partial"))
    """Whether only a part of the database was backed up."""

    failing: bool = field(metadata=_values.key("failing"))
    """Whether the newest proof of all failed."""

    point: ConsistencyPoint = field(metadata=_values.key("point", _values.nested(lambda: ConsistencyPoint)))
    """The consistency point of the dump."""

    files: tuple[FileDetails, ...] = field(
        metadata=_values.key("files", _values.each(_values.nested(lambda: FileDetails)))
    )
    """Each file of the dump."""

    table_summaries: tuple[TableSummary, ...] = field(
        metadata=_values.key("table_summaries", _values.each(_values.nested(lambda: TableSummary)))
    )
    """Each table's count and hash."""

    warning_list: tuple[BackupWarning, ...] = field(
        metadata=_values.key("warning_list", _values.each(_values.nested(lambda: BackupWarning)))
    )
    """What the caller should know."""

    proofs: tuple[ProofSummary, ...] = field(
        metadata=_values.key("proofs", _values.each(_values.nested(lambda: ProofSummary)))
    )
    """Each proof there is, oldest first."""

    drilled_at: datetime | None = field(default=None, metadata=_values.key("drilled_at", _values.TIMESTAMP))
    """The newest successful drill, if any: the backup is proven."""

    held_until: datetime | None = field(default=None, metadata=_values.key("held_until", _values.TIMESTAMP))
    """Until when a hold keeps it, if there is one."""

    marked_at: datetime | None = field(default=None, metadata=_values.key("marked_at", _values.TIMESTAMP))
    """Since when it is marked for deletion, if it is: a later `prune` deletes it, and `hold` takes the mark back."""

    selection: Selection | None = field(
        default=None, metadata=_values.key("selection", _values.nested(lambda: Selection))
    )
    """What of the database was backed up, if not all of it."""

    verified_at: datetime | None = field(default=None, metadata=_values.key("verified_at", _values.TIMESTAMP))
    """The newest successful verification, if any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupHealth(Data):
    """The newest backup, and how old it may be."""

    max_age: timedelta = field(metadata=_values.key("max_age_seconds", _values.SECONDS))
    """Time that is allowed."""

    age: timedelta | None = field(default=None, metadata=_values.key("age_seconds", _values.SECONDS))
    """Time since then."""

    id: str | None = field(default=None, metadata=_values.key("id"))
    """The newest backup."""

    last_success_at: datetime | None = field(default=None, metadata=_values.key("last_success_at", _values.TIMESTAMP))
    """When the newest backup was started: the moment it brings back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupKey(Data):
    """A backup, and the epochs that matter for it."""

    database: str = field(metadata=_values.key("database"))
    """The database."""

    backup: str = field(metadata=_values.key("backup"))
    """The backup."""

    opened_by: tuple[int, ...] = field(metadata=_values.key("opened_by", _values.each(_values.PLAIN)))
    """The epochs that open it, the newest first. `rewrap` leaves the newest of all."""

    sealed_under: int = field(metadata=_values.key("sealed_under"))
    """The epoch that it was sealed under. `reencrypt` seals it under the newest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupReport(Data):
    """A backup that was made."""

    id: str = field(metadata=_values.key("id"))
    """The new backup."""

    database: str = field(metadata=_values.key("database"))
    """Its database's name in the store."""

    started_at: datetime = field(metadata=_values.key("started_at", _values.TIMESTAMP))
    """When the run began."""

    finished_at: datetime = field(metadata=_values.key("finished_at", _values.TIMESTAMP))
    """When the manifest was about to be written."""

    duration: timedelta = field(metadata=_values.key("duration_ms", _values.MILLISECONDS))
    """Time from start to commit."""

    source_bytes: int = field(metadata=_values.key("source_bytes"))
    """Raw bytes of the dump."""

    stored_bytes: int = field(metadata=_values.key("stored_bytes"))
    """Bytes of the volumes in the store."""

    tables: int = field(metadata=_values.key("tables"))
    """Tables and rows found."""

    rows: int = field(metadata=_values.key("rows"))
    """Rows in all tables."""

    warnings: tuple[BackupWarning, ...] = field(
        metadata=_values.key("warnings", _values.each(_values.nested(lambda: BackupWarning)))
    )
    """What the caller should know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupSummary(Data):
    """One backup, as its manifest's header and its proofs tell without a key."""

    id: str = field(metadata=_values.key("id"))
    """The backup."""

    database: str = field(metadata=_values.key("database"))
    """Its database's name in the store."""

    engine: EngineKind = field(metadata=_values.key("engine"))
    """The engine it is of."""

    server_version: str = field(metadata=_values.key("server_version"))
    """The server's version."""

    started_at: datetime = field(metadata=_values.key("started_at", _values.TIMESTAMP))
    """When the run began."""

    finished_at: datetime = field(metadata=_values.key("finished_at", _values.TIMESTAMP))
    """When it ended."""

    source_bytes: int = field(metadata=_values.key("source_bytes"))
    """Raw bytes of the dump."""

    stored_bytes: int = field(metadata=_values.key("stored_bytes"))
    """Bytes of its volumes in the store."""

    tables: int = field(metadata=_values.key("tables"))
    """Tables in it."""

    rows: int = field(metadata=_values.key("rows"))
    """Rows in it."""

    tags: tuple[str, ...] = field(metadata=_values.key("tags", _values.each(_values.PLAIN)))
    """Labels given by the caller."""

    encrypted: bool = field(metadata=_values.key("encrypted"))
    """Whether it is encrypted."""

    warnings: int = field(metadata=_values.key("warnings"))
    """Number of warnings in the manifest."""

    partial: bool = field(metadata=_values.key("partial"))
    """Whether only a part of the database was backed up."""

    failing: bool = field(metadata=_values.key("failing"))
    """Whether the newest proof of all failed."""

    drilled_at: datetime | None = field(default=None, metadata=_values.key("drilled_at", _values.TIMESTAMP))
    """The newest successful drill, if any: the backup is proven."""

    held_until: datetime | None = field(default=None, metadata=_values.key("held_until", _values.TIMESTAMP))
    """Until when a hold keeps it, if there is one."""

    marked_at: datetime | None = field(default=None, metadata=_values.key("marked_at", _values.TIMESTAMP))
    """Since when it is marked for deletion, if it is: a later `prune` deletes it, and `hold` takes the mark back."""

    verified_at: datetime | None = field(default=None, metadata=_values.key("verified_at", _values.TIMESTAMP))
    """The newest successful verification, if any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check(Data):
    """One thing that the doctor looked at."""

    name: str = field(metadata=_values.key("name"))
    """What was looked at, a stable name: `privileges`."""

    status: CheckStatus = field(metadata=_values.key("status"))
    """How it is."""

    message: str = field(metadata=_values.key("message"))
    """What was found, and what it means."""

    next: str | None = field(default=None, metadata=_values.key("next"))
    """What to do about it."""


CheckStatus: TypeAlias = Literal["pass", "warn", "fail"]
"""How a check ended. The later is the worse."""


Codec: TypeAlias = Literal["zstd", "gzip", "none"]
"""How the files of a dump are compressed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionStats(Data):
    """Connections of a server."""

    used: int = field(metadata=_values.key("used"))
    """Connections that are open."""

    allowed: int = field(metadata=_values.key("allowed"))
    """Connections that are allowed."""

    active: int = field(metadata=_values.key("active"))
    """Of those open, how many run a statement."""

    idle_in_transaction: int = field(metadata=_values.key("idle_in_transaction"))
    """Of those open, how many are in a transaction and do nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsistencyPoint(Data):
    """The single moment that a backup shows, in the database's own terms."""

    at: datetime = field(metadata=_values.key("at", _values.TIMESTAMP))
    """When the snapshot was taken, by the database's clock where it has one."""

    kind: str = field(metadata=_values.key("kind"))
    """What `position` is: `lsn` (PostgreSQL), `binlog` or `time` (MySQL and MariaDB), `cluster_time` or `oplog`
    (MongoDB: of a snapshot, or of the last entry of the oplog that goes along; `none` where there is neither, and the
    position is the server's clock) or `change_counter` (SQLite, of the file header).
    """

    position: str = field(metadata=_values.key("position"))
    """The position, as the database writes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseStats(Data):
    """How a database is doing, as far as it says. What it does not say, or not to this role, is absent."""

    engine: EngineKind = field(metadata=_values.key("engine"))
    """The engine."""

    version: str = field(metadata=_values.key("version"))
    """The server's version."""

    largest_tables: tuple[TableStats, ...] = field(
        metadata=_values.key("largest_tables", _values.each(_values.nested(lambda: TableStats)))
    )
    """The largest tables, the largest first; at most ten."""

    unused_indexes: tuple[IndexStats, ...] = field(
        metadata=_values.key("unused_indexes", _values.each(_values.nested(lambda: IndexStats)))
    )
    """The largest indexes that were never used since statistics began; at most ten."""

    slow_queries: tuple[QueryStats, ...] = field(
        metadata=_values.key("slow_queries", _values.each(_values.nested(lambda: QueryStats)))
    )
    """The statements that took the most time in all, where the server keeps such records; at most ten."""

    replicas: tuple[ReplicaStats, ...] = field(
        metadata=_values.key("replicas", _values.each(_values.nested(lambda: ReplicaStats)))
    )
    """Replicas that are fed by this server."""

    cache_hit_ratio: float | None = field(default=None, metadata=_values.key("cache_hit_ratio"))
    """Share of block reads that the server's cache answered, 0 to 1."""

    connections: ConnectionStats | None = field(
        default=None, metadata=_values.key("connections", _values.nested(lambda: ConnectionStats))
    )
    """Connections of the whole server."""

    deadlocks: int | None = field(default=None, metadata=_values.key("deadlocks"))
    """Deadlocks since statistics began."""

    free_bytes: int | None = field(default=None, metadata=_values.key("free_bytes"))
    """Bytes of files that no longer hold data (SQLite's free pages)."""

    longest_transaction: timedelta | None = field(
        default=None, metadata=_values.key("longest_transaction_seconds", _values.EXACT_SECONDS)
    )
    """Age of the oldest transaction that is open."""

    replication_lag: timedelta | None = field(
        default=None, metadata=_values.key("replication_lag_seconds", _values.EXACT_SECONDS)
    )
    """How far this server is behind its primary, if it is a replica."""

    size_bytes: int | None = field(default=None, metadata=_values.key("size_bytes"))
    """Size of the database on disk, in bytes."""

    waiting_locks: int | None = field(default=None, metadata=_values.key("waiting_locks"))
    """Sessions that wait for a lock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorReport(Data):
    """Whether backups can be relied on here: every check that the doctor made, in the order in which they build on
    each other.
    """

    status: CheckStatus = field(metadata=_values.key("status"))
    """The worst of the checks."""

    checks: tuple[Check, ...] = field(metadata=_values.key("checks", _values.each(_values.nested(lambda: Check))))
    """Each check."""

    duration: timedelta = field(metadata=_values.key("duration_ms", _values.MILLISECONDS))
    """Time it took."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillHealth(Data):
    """The newest drill, and how old it may be."""

    max_age: timedelta = field(metadata=_values.key("max_age_seconds", _values.SECONDS))
    """Time that is allowed since the newest success."""

    last_success_at: datetime | None = field(default=None, metadata=_values.key("last_success_at", _values.TIMESTAMP))
    """When the newest successful drill ended."""

    ok: bool | None = field(default=None, metadata=_values.key("ok"))
    """Whether the newest drill of all succeeded; absent when there was none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillReport(Data):
    """A drill that restored the backup and found the same content."""

    id: str = field(metadata=_values.key("id"))
    """The backup."""

    tables: int = field(metadata=_values.key("tables"))
    """Tables compared."""

    rows: int = field(metadata=_values.key("rows"))
    """Rows compared."""

    queries: int = field(metadata=_values.key("queries"))
    """Smoke queries that ran."""

    restore: timedelta = field(metadata=_values.key("restore_ms", _values.MILLISECONDS))
    """Time of the restore alone: the measured recovery time."""

    duration: timedelta = field(metadata=_values.key("duration_ms", _values.MILLISECONDS))
    """Time in all."""

    warnings: tuple[BackupWarning, ...] = field(
        metadata=_values.key("warnings", _values.each(_values.nested(lambda: BackupWarning)))
    )
    """What the restore had to say."""


EngineKind: TypeAlias = Literal["postgres", "mysql", "mongodb", "sqlite"]
"""Which database system a backup is of."""


ExportFormat: TypeAlias = Literal["directory", "classic"]
"""What an export writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport(Data):
    """An export: the dump as stock tools load it."""

    id: str = field(metadata=_values.key("id"))
    """The backup."""

    folder: Path = field(metadata=_values.key("folder", _values.PATH))
    """The folder that was written."""

    files: int = field(metadata=_values.key("files"))
    """Files in it."""

    bytes: int = field(metadata=_values.key("bytes"))
    """Bytes in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDetails(Data):
    """One file of a dump."""

    name: str = field(metadata=_values.key("name"))
    """Its name in the dump directory, without the codec's suffix."""

    bytes: int = field(metadata=_values.key("bytes"))
    """Raw bytes."""

    stored_bytes: int = field(metadata=_values.key("stored_bytes"))
    """Bytes as stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck(Data):
    """One thing that was looked at."""

    name: str = field(metadata=_values.key("name"))
    """What it is, for example `database`."""

    status: HealthStatus = field(metadata=_values.key("status"))
    """How it is doing."""

    message: str | None = field(default=None, metadata=_values.key("message"))
    """What was found, where there is something to say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthReport(Data):
    """The state of the database, of its store and of its backups."""

    status: HealthStatus = field(metadata=_values.key("status"))
    """The worst of all checks that count: a database that is down is `down`, a backup that is missing is `degraded`.
    """

    http_status: int = field(metadata=_values.key("http_status"))
    """What a route answers: 200, or 503 when `status` is `down`."""

    store: HealthStatus = field(metadata=_values.key("store"))
    """The store."""

    backup: BackupHealth = field(metadata=_values.key("backup", _values.nested(lambda: BackupHealth)))
    """The newest backup."""

    drill: DrillHealth = field(metadata=_values.key("drill", _values.nested(lambda: DrillHealth)))
    """The newest drill."""

    checks: tuple[HealthCheck, ...] = field(
        metadata=_values.key("checks", _values.each(_values.nested(lambda: HealthCheck)))
    )
    """Everything that was looked at, the caller's own checks among it."""

    timestamp: datetime = field(metadata=_values.key("timestamp", _values.TIMESTAMP))
    """When it was looked at."""

    database: str | None = field(default=None, metadata=_values.key("database"))
    """The same as `connected` or `disconnected`; absent when the vault has none."""

    db: HealthStatus | None = field(default=None, metadata=_values.key("db"))
    """The database; absent when the vault has none."""

    health_json: Any = field(default=None, metadata=_values.key("health_json"))
    """The same as `application/health+json`, if it was asked for."""


HealthStatus: TypeAlias = Literal["ok", "degraded", "down"]
"""How something is doing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldReport(Data):
    """A hold that was placed or taken back."""

    id: str = field(metadata=_values.key("id"))
    """The backup."""

    held_until: datetime | None = field(default=None, metadata=_values.key("held_until", _values.TIMESTAMP))
    """Until when it is held now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexStats(Data):
    """An index."""

    name: str = field(metadata=_values.key("name"))
    """The index, with its schema where there is one."""

    table: str = field(metadata=_values.key("table"))
    """Its table."""

    bytes: int = field(metadata=_values.key("bytes"))
    """Its bytes."""


Job: TypeAlias = Literal["backup", "verify", "drill", "prune"]
"""Something that runs by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobError(Data):
    """Why a job failed."""

    code: str = field(metadata=_values.key("code"))
    """The stable code of the error."""

    message: str = field(metadata=_values.key("message"))
    """What went wrong, and what to do next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobNext(Data):
    """When a job is due next."""

    job: Job = field(metadata=_values.key("job"))
    """The job."""

    at: datetime = field(metadata=_values.key("at", _values.TIMESTAMP))
    """When."""

    retry: bool = field(metadata=_values.key("retry"))
    """Whether that is another attempt after a failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord(Data):
    """What a job did last. Kept in `control/jobs/<job>.json`, written anew by the holder of the lease."""

    job: Job = field(metadata=_values.key("job"))
    """The job."""

    slot: datetime = field(metadata=_values.key("slot", _values.TIMESTAMP))
    """The slot that it was for."""

    attempt: int = field(metadata=_values.key("attempt"))
    """The number of this attempt in its slot, from 1."""

    started_at: datetime = field(metadata=_values.key("started_at", _values.TIMESTAMP))
    """When it began."""

    ended_at: datetime = field(metadata=_values.key("ended_at", _values.TIMESTAMP))
    """When it ended."""

    ok: bool = field(metadata=_values.key("ok"))
    """Whether it did what it was to do."""

    failures: int = field(metadata=_values.key("failures"))
    """Attempts that failed since then."""

    host: str = field(metadata=_values.key("host"))
    """Host and process."""

    backup: str | None = field(default=None, metadata=_values.key("backup"))
    """The backup that was made, or looked at."""

    error: JobError | None = field(default=None, metadata=_values.key("error", _values.nested(lambda: JobError)))
    """Why it failed."""

    last_ok_at: datetime | None = field(default=None, metadata=_values.key("last_ok_at", _values.TIMESTAMP))
    """The newest end of an attempt that did what it was to do."""

    next_at: datetime | None = field(default=None, metadata=_values.key("next_at", _values.TIMESTAMP))
    """The job's next slot by the plan that it ran by."""

    retry_at: datetime | None = field(default=None, metadata=_values.key("retry_at", _values.TIMESTAMP))
    """When it is tried again; absent when not before its next slot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep(Data):
    """Which backups are kept: a backup is kept when any rule keeps it.

    Numbers that are 0 are no rule.  The newest backup, the newest proven one, and what a kept one refers to are kept
    in any case.  As text: `7d 4w 12m` keeps the newest backup of each of 7 days, 4 weeks and 12 months that have one
    (also `24h` and `3y`); `5` the last five; `within=30d` everything that is not older; `tag=release` what carries
    the label; `tz=Europe/Berlin` says where days begin.  # Example ``` use lastgood::Keep; let keep: Keep = "7d 4w
    12m".parse()?; assert_eq!(keep, Keep::gfs(7, 4, 12)); assert_eq!(Keep::standard().to_string(), "within=30d 30d");
    # Ok::<(), lastgood::Error>(()) ```
    """

    daily: int | None = field(default=None, metadata=_values.key("daily"))
    """The newest backup of each of so many days that have one."""

    hourly: int | None = field(default=None, metadata=_values.key("hourly"))
    """The newest backup of each of so many hours that have one."""

    last: int | None = field(default=None, metadata=_values.key("last"))
    """So many of the newest."""

    monthly: int | None = field(default=None, metadata=_values.key("monthly"))
    """The newest backup of each of so many months that have one."""

    tags: Sequence[str] | None = field(default=None, metadata=_values.key("tags", _values.each(_values.PLAIN)))
    """Every backup with one of these labels."""

    time_zone: str | None = field(default=None, metadata=_values.key("time_zone"))
    """Where days, weeks, months and years begin, for example `Europe/Berlin`. Absent: UTC."""

    weekly: int | None = field(default=None, metadata=_values.key("weekly"))
    """The newest backup of each of so many weeks (from Monday) that have one."""

    within_hours: int | None = field(default=None, metadata=_values.key("within_hours"))
    """Every backup that was started less than so many hours ago."""

    yearly: int | None = field(default=None, metadata=_values.key("yearly"))
    """The newest backup of each of so many years that have one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyEpoch(Data):
    """One epoch of the store's identity."""

    epoch: int = field(metadata=_values.key("epoch"))
    """Its number, from 1."""

    public_key: str = field(metadata=_values.key("public_key"))
    """Its public key."""

    opens: int = field(metadata=_values.key("opens"))
    """Backups whose data keys it opens."""

    sealed: int = field(metadata=_values.key("sealed"))
    """Backups that were sealed under it: it has known their data keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRefusal(Data):
    """A backup about which something could not be done, and why."""

    database: str = field(metadata=_values.key("database"))
    """The database."""

    backup: str = field(metadata=_values.key("backup"))
    """The backup."""

    code: str = field(metadata=_values.key("code"))
    """The code of the error."""

    message: str = field(metadata=_values.key("message"))
    """What happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySlot(Data):
    """One key slot."""

    slot: str = field(metadata=_values.key("slot"))
    """Its name: `1-main` is the object `keys/1-main.age`."""

    epoch: int = field(metadata=_values.key("epoch"))
    """The newest epoch that it holds: it opens the backups of this epoch and of those before it."""

    kind: KeySlotKind = field(metadata=_values.key("kind"))
    """What it is locked with."""

    written_at: datetime = field(metadata=_values.key("written_at", _values.TIMESTAMP))
    """When it was written, by the store's clock."""

    opens_here: bool = field(metadata=_values.key("opens_here"))
    """Whether a key that was given here opens it."""

    current: bool = field(metadata=_values.key("current"))
    """Whether it opens every backup, those to come included. One of an earlier epoch does not."""

    backups: int | None = field(default=None, metadata=_values.key("backups"))
    """The backups that it opens: how many. Absent without a key."""

    being_removed: bool | None = field(default=None, metadata=_values.key("being_removed"))
    """Somebody began to remove it."""

    provider: str | None = field(default=None, metadata=_values.key("provider"))
    """The key provider's name."""

    recipient_kinds: tuple[str, ...] | None = field(
        default=None, metadata=_values.key("recipient_kinds", _values.each(_values.PLAIN))
    )
    """The kinds of its public keys (`X25519`, `ssh-ed25519`), one each. Whose they are, the store does not tell."""

    work_factor: int | None = field(default=None, metadata=_values.key("work_factor"))
    """log2 of the rounds of scrypt, of a passphrase."""


KeySlotKind: TypeAlias = Literal["passphrase", "recipients", "provider", "unknown"]
"""What a key slot is locked with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysReport(Data):
    """What opens what: the key slots, the epochs of the store's identity, and the backups under each of them."""

    recipients: tuple[str, ...] = field(metadata=_values.key("recipients", _values.each(_values.PLAIN)))
    """The public keys that new backups' data keys are wrapped to. Empty without a key."""

    slots: tuple[KeySlot, ...] = field(metadata=_values.key("slots", _values.each(_values.nested(lambda: KeySlot))))
    """The key slots, the newest epoch first."""

    epochs: tuple[KeyEpoch, ...] = field(metadata=_values.key("epochs", _values.each(_values.nested(lambda: KeyEpoch))))
    """The epochs, the newest first. Empty without a key."""

    behind: tuple[BackupKey, ...] = field(
        metadata=_values.key("behind", _values.each(_values.nested(lambda: BackupKey)))
    )
    """Backups whose key files an earlier epoch still opens, or whose data keys an earlier epoch has known."""

    unopened: tuple[KeyRefusal, ...] = field(
        metadata=_values.key("unopened", _values.each(_values.nested(lambda: KeyRefusal)))
    )
    """Backups whose data keys cannot be opened here, and why."""

    epoch: int | None = field(default=None, metadata=_values.key("epoch"))
    """The newest epoch: new backups belong to it. Absent without a key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupMapping(Data):
    """Other names in the target, by the name in the backup."""

    owners: Mapping[str, str] | None = field(
        default=None, metadata=_values.key("owners", _values.mapped(_values.PLAIN))
    )
    """Roles that own something, are granted something or are named by policies."""

    schemas: Mapping[str, str] | None = field(
        default=None, metadata=_values.key("schemas", _values.mapped(_values.PLAIN))
    )
    """Schemas: everything in them is created under the other name."""

    tablespaces: Mapping[str, str] | None = field(
        default=None, metadata=_values.key("tablespaces", _values.mapped(_values.PLAIN))
    )
    """Tablespaces."""


Phase: TypeAlias = Literal[
    "preparing",
    "dumping",
    "committing",
    "verifying",
    "loading",
    "finishing",
    "comparing",
    "reencrypting",
]
"""What an operation is doing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan(Data):
    """What runs by itself, and when.

    What is absent has its default; `off` switches a job off.  As text (`BACKUP_SCHEDULE`): the backup's expression
    alone, or several separated by semicolons: `0 2 * * *; verify=0 4 * * 1; drill=off; tz=Europe/Berlin`.
    """

    backup: str | None = field(default=None, metadata=_values.key("backup"))
    """Cron expression of the backups. Absent: BACKUP_SCHEDULE, or daily at 02:00."""

    deadline: float | timedelta | None = field(default=None, metadata=_values.key("deadline_seconds", _values.SECONDS))
    """A job is cancelled after so many seconds. Absent: 43200, twelve hours."""

    drill: str | None = field(default=None, metadata=_values.key("drill"))
    """Cron expression of the drills. Absent: the first of each month at 05:00."""

    drill_queries: Sequence[str] | None = field(
        default=None, metadata=_values.key("drill_queries", _values.each(_values.PLAIN))
    )
    """Queries to run on the restored database of a drill."""

    drill_target: str | None = field(default=None, repr=False, metadata=_values.key("drill_target"))
    """URL of an empty database for drills.

    Absent: one is created beside the vault's database and dropped afterwards.
    """

    globals: bool | None = field(default=None, metadata=_values.key("globals"))
    """Back up what belongs to the server as well: roles, users, tablespaces."""

    grace: float | timedelta | None = field(default=None, metadata=_values.key("grace_seconds", _values.SECONDS))
    """Time from a prune's mark to the deletion. Absent: 86400, a day."""

    jitter: float | timedelta | None = field(default=None, metadata=_values.key("jitter_seconds", _values.SECONDS))
    """A running schedule waits up to so many seconds, by chance, before each job. Absent: 0."""

    keep: Keep | None = field(default=None, metadata=_values.key("keep", _values.nested(lambda: Keep)))
    """What a prune keeps. Absent: BACKUP_RETENTION, or everything of the last 30 days."""

    lease: float | timedelta | None = field(default=None, metadata=_values.key("lease_seconds", _values.SECONDS))
    """A host that gave no sign of life for so many seconds is given up (1 to 3600). Absent: 60."""

    prune: str | None = field(default=None, metadata=_values.key("prune"))
    """Cron expression of the prunes. Absent: daily at 06:00."""

    retries: int | None = field(default=None, metadata=_values.key("retries"))
    """How often a job that failed is tried again before its next slot. Absent: 6."""

    retry: float | timedelta | None = field(default=None, metadata=_values.key("retry_seconds", _values.SECONDS))
    """Time before the first of those; each wait is twice the one before, up to an hour. Absent: 60."""

    select: Selection | None = field(default=None, metadata=_values.key("select", _values.nested(lambda: Selection)))
    """What of the database is backed up; the default is everything."""

    skip_missed: bool | None = field(default=None, metadata=_values.key("skip_missed"))
    """Leave out a slot that was missed by more than an hour, instead of doing it late."""

    tags: Sequence[str] | None = field(default=None, metadata=_values.key("tags", _values.each(_values.PLAIN)))
    """Labels of the backups."""

    time_zone: str | None = field(default=None, metadata=_values.key("time_zone"))
    """The time zone of the expressions, for example `Europe/Berlin`. Absent: UTC."""

    verify: str | None = field(default=None, metadata=_values.key("verify"))
    """Cron expression of the verifications. Absent: Mondays at 04:00."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress(Data):
    """One report of progress. Bytes are raw (uncompressed) bytes of the dump."""

    phase: Phase = field(metadata=_values.key("phase"))
    """What is being done now."""

    bytes_done: int = field(metadata=_values.key("bytes_done"))
    """Bytes done in this phase."""

    bytes_per_second: int = field(metadata=_values.key("bytes_per_second"))
    """Bytes per second since the phase began."""

    bytes_total: int | None = field(default=None, metadata=_values.key("bytes_total"))
    """Bytes expected in this phase; an estimate while dumping, absent where unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Promoted(Data):
    """A restored database that took the place of the live one."""

    go_back: tuple[str, ...] = field(metadata=_values.key("go_back", _values.each(_values.PLAIN)))
    """How to go back to it: SQL for any other database of the server, or commands of a shell."""

    drop_kept: tuple[str, ...] = field(metadata=_values.key("drop_kept", _values.each(_values.PLAIN)))
    """How to drop it once nobody will go back."""

    kept: str | None = field(default=None, metadata=_values.key("kept"))
    """What the database that was there is called now (for SQLite, its path); absent when there was none."""


ProofKind: TypeAlias = Literal["verify", "drill"]
"""The two ways to prove a backup."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofSummary(Data):
    """What was proven of a backup, and when."""

    kind: ProofKind = field(metadata=_values.key("kind"))
    """`verify` or `drill`."""

    at: datetime = field(metadata=_values.key("at", _values.TIMESTAMP))
    """When the check ended."""

    ok: bool = field(metadata=_values.key("ok"))
    """Whether everything was as it should be."""

    duration: timedelta = field(metadata=_values.key("duration_ms", _values.MILLISECONDS))
    """Time the check took; for a drill, the measured recovery time."""

    problems: tuple[str, ...] = field(metadata=_values.key("problems", _values.each(_values.PLAIN)))
    """What was found wrong, empty when `ok`."""


PruneAction: TypeAlias = Literal["keep", "mark", "wait", "delete"]
"""What a prune does with a backup."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneDecision(Data):
    """What becomes of one backup."""

    backup: str = field(metadata=_values.key("backup"))
    """The backup."""

    action: PruneAction = field(metadata=_values.key("action"))
    """What is done now."""

    reasons: tuple[str, ...] = field(metadata=_values.key("reasons", _values.each(_values.PLAIN)))
    """Why."""

    deletes_at: datetime | None = field(default=None, metadata=_values.key("deletes_at", _values.TIMESTAMP))
    """From when on a marked backup is deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneReport(Data):
    """What a prune did, or would do, and why."""

    dry_run: bool = field(metadata=_values.key("dry_run"))
    """Whether it was only asked what would be done."""

    keep: str = field(metadata=_values.key("keep"))
    """The policy, as text."""

    decisions: tuple[PruneDecision, ...] = field(
        metadata=_values.key("decisions", _values.each(_values.nested(lambda: PruneDecision)))
    )
    """Each backup, newest first, with what becomes of it."""

    swept: tuple[str, ...] = field(metadata=_values.key("swept", _values.each(_values.PLAIN)))
    """What runs that died left behind, and what deletions that were cut short left: removed now."""

    freed_bytes: int = field(metadata=_values.key("freed_bytes"))
    """Bytes that were freed."""

    refused: tuple[Refusal, ...] = field(metadata=_values.key("refused", _values.each(_values.nested(lambda: Refusal))))
    """What the store did not allow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryStats(Data):
    """A statement that was run many times, or long."""

    query: str = field(metadata=_values.key("query"))
    """The statement with its constants taken out, at most 300 characters."""

    calls: int = field(metadata=_values.key("calls"))
    """How often it was run."""

    total: timedelta = field(metadata=_values.key("total_ms", _values.EXACT_MILLISECONDS))
    """Time in all."""

    mean: timedelta = field(metadata=_values.key("mean_ms", _values.EXACT_MILLISECONDS))
    """Time of one call, on average."""


ReadBack: TypeAlias = Literal["sizes", "content"]
"""How much of what was stored is read back before a backup is committed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReencryptReport(Data):
    """What a reencryption did."""

    epoch: int = field(metadata=_values.key("epoch"))
    """The epoch that every backup is sealed under now, but for what was refused."""

    reencrypted: tuple[Reencrypted, ...] = field(
        metadata=_values.key("reencrypted", _values.each(_values.nested(lambda: Reencrypted)))
    )
    """Backups that were sealed anew."""

    unchanged: int = field(metadata=_values.key("unchanged"))
    """Backups that were as they should be."""

    refused: tuple[KeyRefusal, ...] = field(
        metadata=_values.key("refused", _values.each(_values.nested(lambda: KeyRefusal)))
    )
    """What could not be done. A backup whose copy is there and that was not let go is among these."""

    duration: timedelta = field(metadata=_values.key("duration_ms", _values.MILLISECONDS))
    """Time it took."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reencrypted(Data):
    """A backup that was sealed anew."""

    database: str = field(metadata=_values.key("database"))
    """The database."""

    backup: str = field(metadata=_values.key("backup"))
    """The backup that there was."""

    by: str = field(metadata=_values.key("by"))
    """The backup that took its place."""

    removed: bool = field(metadata=_values.key("removed"))
    """Whether the one that there was is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal(Data):
    """Something that the store did not allow."""

    backup: str = field(metadata=_values.key("backup"))
    """The backup that stays for now."""

    code: str = field(metadata=_values.key("code"))
    """The stable code of the error."""

    message: str = field(metadata=_values.key("message"))
    """What the store said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveKeyReport(Data):
    """What became of a key slot that was removed."""

    slot: str = field(metadata=_values.key("slot"))
    """The slot that is gone."""

    opens_with: str = field(metadata=_values.key("opens_with"))
    """A slot that stays, and that a key given here opens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaStats(Data):
    """A replica, as its primary sees it."""

    name: str = field(metadata=_values.key("name"))
    """The name it connects with."""

    state: str = field(metadata=_values.key("state"))
    """What it does, for example `streaming`."""

    lag_bytes: int | None = field(default=None, metadata=_values.key("lag_bytes"))
    """Bytes of the log that it has not replayed."""

    lag: timedelta | None = field(default=None, metadata=_values.key("lag_seconds", _values.EXACT_SECONDS))
    """Time it is behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreReport(Data):
    """A restore that ended well."""

    id: str = field(metadata=_values.key("id"))
    """The backup's id, or the artifact's name."""

    target: str = field(metadata=_values.key("target"))
    """Where it was restored, with credentials left out."""

    bytes: int = field(metadata=_values.key("bytes"))
    """Raw bytes loaded."""

    duration: timedelta = field(metadata=_values.key("duration_ms", _values.MILLISECONDS))
    """Time it took."""

    created: tuple[str, ...] = field(metadata=_values.key("created", _values.each(_values.PLAIN)))
    """What was created on the server beside the database: `role app`, `tablespace fast`."""

    warnings: tuple[BackupWarning, ...] = field(
        metadata=_values.key("warnings", _values.each(_values.nested(lambda: BackupWarning)))
    )
    """What could not be restored exactly."""

    promoted: Promoted | None = field(default=None, metadata=_values.key("promoted", _values.nested(lambda: Promoted)))
    """What became of the database that was there, when the restored one was promoted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RewrapReport(Data):
    """What a rewrap did."""

    epoch: int = field(metadata=_values.key("epoch"))
    """The epoch that opens every backup now, but for what was refused."""

    rewrapped: int = field(metadata=_values.key("rewrapped"))
    """Backups whose data keys were wrapped anew."""

    unchanged: int = field(metadata=_values.key("unchanged"))
    """Backups that were as they should be."""

    refused: tuple[KeyRefusal, ...] = field(
        metadata=_values.key("refused", _values.each(_values.nested(lambda: KeyRefusal)))
    )
    """What could not be done."""

    duration: timedelta = field(metadata=_values.key("duration_ms", _values.MILLISECONDS))
    """Time it took."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RotateKeyReport(Data):
    """What a key rotation did."""

    added: str = field(metadata=_values.key("added"))
    """The slot written."""

    epoch: int = field(metadata=_values.key("epoch"))
    """The epoch that new backups belong to."""

    behind: tuple[str, ...] = field(metadata=_values.key("behind", _values.each(_values.PLAIN)))
    """Slots of earlier epochs that stay: they open no backup of this epoch. Add their keys again, or remove them."""

    removed: str | None = field(default=None, metadata=_values.key("removed"))
    """The slot removed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDueReport(Data):
    """What `run_due` did."""

    at: datetime = field(metadata=_values.key("at", _values.TIMESTAMP))
    """The time that counted: this host's, or the store's where the two differ by minutes."""

    ran: tuple[JobRecord, ...] = field(metadata=_values.key("ran", _values.each(_values.nested(lambda: JobRecord))))
    """What was done, in this order."""

    next: tuple[JobNext, ...] = field(metadata=_values.key("next", _values.each(_values.nested(lambda: JobNext))))
    """When each job is due next."""

    clock_ahead: timedelta | None = field(default=None, metadata=_values.key("clock_ahead_seconds", _values.SECONDS))
    """Time by which this host's clock is ahead of the store's; absent where nobody had to look."""

    held_by: str | None = field(default=None, metadata=_values.key("held_by"))
    """Another host is at work: nothing was done. Its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleStatus(Data):
    """How a running schedule is."""

    running: bool = field(metadata=_values.key("running"))
    """Whether it was not stopped."""

    next: tuple[JobNext, ...] = field(metadata=_values.key("next", _values.each(_values.nested(lambda: JobNext))))
    """When each job is due next."""

    error: JobError | None = field(default=None, metadata=_values.key("error", _values.nested(lambda: JobError)))
    """Why the last look failed, if it did."""

    last: RunDueReport | None = field(default=None, metadata=_values.key("last", _values.nested(lambda: RunDueReport)))
    """What was done last. Looks that found nothing to do leave it as it is."""

    next_run_at: datetime | None = field(default=None, metadata=_values.key("next_run_at", _values.TIMESTAMP))
    """When this process looks at the plan again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection(Data):
    """A part of a database, named by patterns.

    Empty: all of it.  A pattern is a name in which `*` stands for any characters and `?` for one; double quotes keep
    what is between them as it is. A table's pattern may have its schema's before it: `sales.order*`. What is named by
    any of `schemas` and `tables` is taken, without what is named by one that excludes.
    """

    data_only: bool | None = field(default=None, metadata=_values.key("data_only"))
    """Rows without definitions."""

    exclude_data: Sequence[str] | None = field(
        default=None, metadata=_values.key("exclude_data", _values.each(_values.PLAIN))
    )
    """Of these tables the definition alone, without rows."""

    exclude_schemas: Sequence[str] | None = field(
        default=None, metadata=_values.key("exclude_schemas", _values.each(_values.PLAIN))
    )
    """Not these schemas."""

    exclude_tables: Sequence[str] | None = field(
        default=None, metadata=_values.key("exclude_tables", _values.each(_values.PLAIN))
    )
    """Not these tables."""

    schema_only: bool | None = field(default=None, metadata=_values.key("schema_only"))
    """Definitions without rows."""

    schemas: Sequence[str] | None = field(default=None, metadata=_values.key("schemas", _values.each(_values.PLAIN)))
    """Only these schemas, with everything in them."""

    tables: Sequence[str] | None = field(default=None, metadata=_values.key("tables", _values.each(_values.PLAIN)))
    """Only these tables (or views, or sequences), with what belongs to them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Data):
    """The settings of a vault. Every field has a default that suits a production server."""

    codec: Codec | None = field(default=None, metadata=_values.key("codec"))
    """Compression of the dump's files. Default: zstd."""

    command: Sequence[str] | None = field(default=None, metadata=_values.key("command", _values.each(_values.PLAIN)))
    """Program and arguments that start lastgood's command line.

    Hosts that bring a SQLite library of their own give it, so that live SQLite files are opened in a process of its
    own. Default: none, they are opened here.
    """

    jobs: int | None = field(default=None, metadata=_values.key("jobs"))
    """Connections and workers used at the same time (1 to 64). Default: 2."""

    level: int | None = field(default=None, metadata=_values.key("level"))
    """Level of the codec; absent means zstd 2, gzip 6."""

    part_bytes: int | None = field(default=None, metadata=_values.key("part_bytes"))
    """Raw bytes of one part, about: a table is read in pieces of this size. Default: 8 MiB."""

    read_back: ReadBack | None = field(default=None, metadata=_values.key("read_back"))
    """What is read back before a commit. Default: sizes."""

    strict: bool | None = field(default=None, metadata=_values.key("strict"))
    """Fail when the database holds something that cannot be backed up. Default: false (a warning in the manifest)."""

    upload_part_bytes: int | None = field(default=None, metadata=_values.key("upload_part_bytes"))
    """First size of the pieces in which a volume is uploaded; they double every 1,000 pieces. Default: 8 MiB."""

    volume_bytes: int | None = field(default=None, metadata=_values.key("volume_bytes"))
    """A volume is closed once it has this size. Default: 4 GiB."""

    work_dir: str | os.PathLike[str] | None = field(default=None, metadata=_values.key("work_dir", _values.PATH))
    """Folder for temporary copies (SQLite snapshots). Default: the system's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableStats(Data):
    """A table's size and state."""

    name: str = field(metadata=_values.key("name"))
    """The table, with its schema where there is one."""

    bytes: int = field(metadata=_values.key("bytes"))
    """Bytes with its indexes and out-of-line values."""

    rows: int = field(metadata=_values.key("rows"))
    """Rows, as the server estimates them."""

    dead_rows: int = field(metadata=_values.key("dead_rows"))
    """Rows that are deleted and not yet cleaned up, as the server estimates them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSummary(Data):
    """The content of one table: how many rows, and a hash that does not depend on their order."""

    name: str = field(metadata=_values.key("name"))
    """The table, quoted as the engine quotes it when it has to be, with its schema where there is one:
    `public.orders`.
    """

    columns: tuple[str, ...] = field(metadata=_values.key("columns", _values.each(_values.PLAIN)))
    """The columns that were hashed, in this order."""

    rows: int = field(metadata=_values.key("rows"))
    """Number of rows."""

    hash: str = field(metadata=_values.key("hash"))
    """Sum over all rows of XXH3-128 of the row's text, modulo 2^128, as 32 hex digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport(Data):
    """A verification that found everything as it should be."""

    id: str = field(metadata=_values.key("id"))
    """The backup's id, or the artifact's name."""

    stored_bytes: int = field(metadata=_values.key("stored_bytes"))
    """Stored bytes read."""

    raw_bytes: int = field(metadata=_values.key("raw_bytes"))
    """Raw bytes decompressed and hashed."""

    parts: int = field(metadata=_values.key("parts"))
    """Parts checked; of an artifact its data files."""

    warnings: tuple[BackupWarning, ...] = field(
        metadata=_values.key("warnings", _values.each(_values.nested(lambda: BackupWarning)))
    )
    """What the caller should know."""

    duration: timedelta = field(metadata=_values.key("duration_ms", _values.MILLISECONDS))
    """Time it took."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupWarning(Data):
    """Something a caller should know about a backup or a restore that did not stop it."""

    code: str = field(metadata=_values.key("code"))
    """A stable name of the kind of warning, for example `unsupported_object`."""

    message: str = field(metadata=_values.key("message"))
    """What it is about, and what follows from it."""


__all__ = [
    "AddKeyReport",
    "Alerts",
    "ArtifactSummary",
    "BackupDetails",
    "BackupHealth",
    "BackupKey",
    "BackupMapping",
    "BackupReport",
    "BackupSummary",
    "BackupWarning",
    "BusyError",
    "CancelledError",
    "Check",
    "CheckStatus",
    "Codec",
    "ConnectionStats",
    "ConsistencyPoint",
    "DamagedError",
    "DatabaseStats",
    "DeniedError",
    "DoctorReport",
    "DrillHealth",
    "DrillReport",
    "EngineKind",
    "ErrorCode",
    "ExportFormat",
    "ExportReport",
    "FileDetails",
    "HealthCheck",
    "HealthReport",
    "HealthStatus",
    "HoldReport",
    "IndexStats",
    "InternalError",
    "InvalidError",
    "Job",
    "JobError",
    "JobNext",
    "JobRecord",
    "Keep",
    "KeyEpoch",
    "KeyRefusal",
    "KeySlot",
    "KeySlotKind",
    "KeysReport",
    "NotFoundError",
    "Phase",
    "Plan",
    "Progress",
    "Promoted",
    "ProofKind",
    "ProofSummary",
    "PruneAction",
    "PruneDecision",
    "PruneReport",
    "QueryStats",
    "ReadBack",
    "ReencryptReport",
    "Reencrypted",
    "Refusal",
    "RefusedError",
    "RemoveKeyReport",
    "ReplicaStats",
    "RestoreReport",
    "RewrapReport",
    "RotateKeyReport",
    "RunDueReport",
    "ScheduleStatus",
    "Selection",
    "Settings",
    "TableStats",
    "TableSummary",
    "UnavailableError",
    "VerifyReport",
]
