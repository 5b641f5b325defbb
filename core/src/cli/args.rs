//! What can be said on the command line.

mod plan;

use std::path::PathBuf;

use clap::{ArgAction, Args as ClapArgs, Parser, Subcommand, ValueEnum};

use crate::retention::Keep;
use crate::selection::Selection;
use crate::settings::{Codec, ReadBack, Settings};
use plan::PlanArgs;

const EXAMPLES: &str = "\
Examples:
  export DATABASE_URL=postgres://app@db/shop BACKUP_STORE_URL=s3://acme-backups/prod BACKUP_ENCRYPTION_KEY_FILE=/etc/backup.key
  lastgood backup --tag nightly
  lastgood list
  lastgood drill latest
  lastgood restore latest --target postgres://app@db/shop_restored";

const RESTORE_EXAMPLES: &str = "\
Examples:
  lastgood restore latest --target postgres://app@db/shop_restored
  lastgood restore latest --target postgres://app@db/shop --table public.orders --map-schema public=rescue
  lastgood restore latest --target postgres://app@db/shop --table public.orders --clean
  lastgood restore /old/backup-20240101-020000.dump.gz.enc --key-file backup.key --target postgres://app@db/shop_restored";

/// Database backups that have been restored.
#[derive(Debug, Parser)]
#[command(name = "lastgood", version, after_help = EXAMPLES, propagate_version = true, subcommand_required = true)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Command,

    /// Database to back up: postgres://…, mysql://…, mongodb://…, sqlite:path [env: DATABASE_URL]
    #[arg(long, global = true, value_name = "URL", hide_env_values = true)]
    pub(super) database: Option<String>,

    /// Where backups lie: s3://…, az://…, gs://…, file:///… or a path [env: BACKUP_STORE_URL]
    #[arg(long, global = true, value_name = "URL")]
    pub(super) store: Option<String>,

    /// Name of the database in the store [env: BACKUP_NAME]
    #[arg(long, global = true)]
    pub(super) name: Option<String>,

    /// File with the passphrase, or with `raw:` and 32 bytes in hex or base64 [env: BACKUP_ENCRYPTION_KEY_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) key_file: Option<PathBuf>,

    /// File with age or SSH identities [env: BACKUP_IDENTITY_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) identity_file: Option<PathBuf>,

    /// Make or use a store without encryption
    #[arg(long, global = true)]
    pub(super) unencrypted: bool,

    /// Connections and workers used at the same time
    #[arg(long, short, global = true, value_name = "N")]
    pub(super) jobs: Option<usize>,

    /// Answer in JSON, with exact values
    #[arg(long, global = true)]
    pub(super) json: bool,

    /// Show no progress
    #[arg(long, short, global = true)]
    pub(super) quiet: bool,

    /// Log what is being done
    #[arg(long, short, global = true, action = ArgAction::SetTrue)]
    pub(super) verbose: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make one backup
    #[command(
        after_help = "Example:\n  lastgood backup --database sqlite:shop.db --store /var/backups --key-file backup.key --tag nightly"
    )]
    Backup {
        /// Label to keep with the backup; may be repeated
        #[arg(long)]
        tag: Vec<String>,
        /// Back up what belongs to the server as well: roles, users, tablespaces
        #[arg(long)]
        globals: bool,
        #[command(flatten)]
        select: SelectArgs,
        /// Take a passphrase although it is weak
        #[arg(long)]
        allow_weak: bool,
        #[command(flatten)]
        settings: SettingArgs,
    },
    /// List backups, newest first; needs no key
    #[command(after_help = "Example:\n  lastgood list --limit 10")]
    List {
        /// At most so many
        #[arg(long, short = 'n')]
        limit: Option<usize>,
    },
    /// List the dumps of old scripts that lie in the store; needs no key
    #[command(after_help = "Example:\n  lastgood artifacts --store s3://acme-backups/old")]
    Artifacts,
    /// Turn the dump of an old script into a backup, through a scratch database
    #[command(after_help = "Example:\n  lastgood import backup-20240101-020000.dump.gz.enc")]
    Import {
        /// Its name in the store, a path, or a URL
        artifact: String,
        #[command(flatten)]
        from: ArtifactArgs,
        /// Label to keep with the backup; may be repeated
        #[arg(long)]
        tag: Vec<String>,
        /// Leave everything to the importing user
        #[arg(long)]
        no_owner: bool,
        /// Leave out grants
        #[arg(long)]
        no_privileges: bool,
        /// Database of a dump that holds several
        #[arg(long, value_name = "NAME")]
        from_database: Option<String>,
    },
    /// Show one backup in full
    #[command(after_help = "Example:\n  lastgood show latest --json")]
    Show {
        /// Id, beginning of one, or `latest`
        #[arg(default_value = "latest")]
        backup: String,
    },
    /// Open and check every stored byte of one backup
    #[command(
        after_help = "Examples:\n  lastgood verify backup-20251121\n  lastgood verify /old/backup-20240101-020000.dump.gz"
    )]
    Verify {
        /// Id, beginning of one, or `latest`; or the name, path or URL of an old script's dump
        #[arg(default_value = "latest")]
        backup: String,
        #[command(flatten)]
        from: ArtifactArgs,
    },
    /// Restore one backup into a scratch database, compare, and drop it
    #[command(after_help = "Example:\n  lastgood drill latest --query 'SELECT count(*) > 1000 FROM orders'")]
    Drill {
        /// Id, beginning of one, or `latest`
        #[arg(default_value = "latest")]
        backup: String,
        /// Empty database to use instead of one of our own making
        #[arg(long, value_name = "URL")]
        target: Option<String>,
        /// Query that must succeed there, and not answer false or 0; may be repeated
        #[arg(long, value_name = "SQL")]
        query: Vec<String>,
    },
    /// Restore one backup, or a part of it
    #[command(after_help = RESTORE_EXAMPLES)]
    Restore {
        /// Id, beginning of one, or `latest`; or the name, path or URL of an old script's dump
        backup: String,
        #[command(flatten)]
        from: ArtifactArgs,
        /// Database of a dump that holds several
        #[arg(long, value_name = "NAME")]
        from_database: Option<String>,
        /// Database to restore into: empty or not there yet, unless a part is selected
        #[arg(long, value_name = "URL")]
        target: String,
        #[command(flatten)]
        select: SelectArgs,
        /// Restore rows alone, into tables that are there and empty
        #[arg(long, conflicts_with_all = ["schema_only", "clean"])]
        data_only: bool,
        /// Drop what the backup brings before it is created, after everything was checked
        #[arg(long)]
        clean: bool,
        /// Restore what is in one schema into another
        #[arg(long, value_name = "OLD=NEW", value_parser = pair)]
        map_schema: Vec<(String, String)>,
        /// Give one role what belongs or is granted to another
        #[arg(long, value_name = "OLD=NEW", value_parser = pair)]
        map_owner: Vec<(String, String)>,
        /// Restore what is in one tablespace into another
        #[arg(long, value_name = "OLD=NEW", value_parser = pair)]
        map_tablespace: Vec<(String, String)>,
        /// Leave out what only a superuser may create, with a warning
        #[arg(long)]
        no_superuser: bool,
        /// Restore even though the target holds something
        #[arg(long)]
        overwrite: bool,
        /// Leave everything to the restoring user
        #[arg(long)]
        no_owner: bool,
        /// Leave out grants
        #[arg(long)]
        no_privileges: bool,
        /// Create the roles, users and tablespaces that the backup needs and the server lacks
        #[arg(long)]
        globals: bool,
        /// The target is a live database: restore beside it, compare, swap the two by name, and keep the old one
        #[arg(long, conflicts_with = "overwrite")]
        promote: bool,
        /// Query that must succeed before the swap, and not answer false or 0; may be repeated
        #[arg(long, value_name = "SQL", requires = "promote")]
        query: Vec<String>,
    },
    /// Write one backup into a folder that stock tools load
    #[command(after_help = "Example:\n  lastgood export latest dump && pg_restore -j2 --create -d postgres dump")]
    Export {
        /// Id, beginning of one, or `latest`
        backup: String,
        /// New or empty folder; for classic artifacts any folder
        folder: PathBuf,
        /// What to write: the dump directory, or backup-….dump.gz[.enc] and .sha256 as old scripts do
        #[arg(long, value_enum, default_value = "directory")]
        format: FormatArg,
        #[command(flatten)]
        to: ArtifactArgs,
        /// Do not encrypt a classic artifact
        #[arg(long)]
        plain: bool,
        /// Leave files compressed as they are stored
        #[arg(long)]
        keep_compression: bool,
    },
    /// Tell whether database, store, backups and drills are as they should be; fails when something is down
    #[command(after_help = "Example:\n  lastgood health --max-age-hours 26 --json")]
    Health {
        /// Hours that the newest backup may be old
        #[arg(long, value_name = "HOURS", default_value_t = 26)]
        max_age_hours: u64,
        /// Answer as application/health+json
        #[arg(long)]
        health_json: bool,
    },
    /// Give everything that is known as Prometheus text, for a textfile collector for example
    #[command(after_help = "Example:\n  lastgood metrics > /var/lib/node_exporter/lastgood.prom")]
    Metrics,
    /// Ask the database how it is doing: connections, sizes, slow queries, locks, replication
    DatabaseStats,
    /// Delete the backups that no rule keeps, and what dead runs left behind
    #[command(after_help = "Example:\n  lastgood prune --keep '7d 4w 12m' --dry-run")]
    Prune {
        /// What is kept: `7d 4w 12m`, `within=30d`, `5`, `tag=release` [env: BACKUP_RETENTION]
        #[arg(long, value_name = "RULES")]
        keep: Option<Keep>,
        /// Tell what would be done, and do nothing
        #[arg(long)]
        dry_run: bool,
        /// Seconds from the mark to the deletion; 0 deletes at once
        #[arg(long, value_name = "SECONDS")]
        grace: Option<u64>,
    },
    /// Keep one backup from being deleted
    #[command(
        after_help = "Example:\n  lastgood hold backup-20261121 --until 2027-12-31T00:00:00Z --reason 'audit 2026'"
    )]
    Hold {
        /// Id, beginning of one, or `latest`
        backup: String,
        /// The hold ends then by itself
        #[arg(long, value_name = "TIME")]
        until: Option<jiff::Timestamp>,
        /// Why
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Take back every hold on one backup
    #[command(after_help = "Example:\n  lastgood release backup-20261121")]
    Release {
        /// Id, beginning of one, or `latest`
        backup: String,
    },
    /// Run backups, verifications, drills and prunes by a plan, until stopped
    #[command(
        after_help = "Example:\n  lastgood schedule --cron '0 2 * * *' --time-zone Europe/Berlin --keep '7d 4w 12m'"
    )]
    Schedule {
        #[command(flatten)]
        plan: PlanArgs,
    },
    /// Do what the plan says is due, and end: for cron and timers
    #[command(after_help = "Example:\n  */5 * * * * lastgood run-due --cron '0 2 * * *'")]
    RunDue {
        #[command(flatten)]
        plan: PlanArgs,
        /// Be done within so many seconds
        #[arg(long, value_name = "SECONDS")]
        within: Option<u64>,
    },
    /// Does one task on a SQLite file for another process of this library
    #[cfg(feature = "sqlite")]
    #[command(hide = true)]
    SqliteTask,
    /// Check everything that backups depend on; changes nothing
    #[command(
        after_help = "Examples:\n  lastgood doctor --json\n  lastgood doctor --strict --table orders --index orders_by_day"
    )]
    Doctor {
        /// Table or collection that must be there; may be repeated
        #[arg(long, value_name = "NAME")]
        table: Vec<String>,
        /// Index that must be there, and usable; may be repeated
        #[arg(long, value_name = "NAME")]
        index: Vec<String>,
        /// Fail for warnings as well
        #[arg(long)]
        strict: bool,
    },
    /// Show what opens what: key slots, epochs, and the backups under each; without a key, the slots alone
    #[command(after_help = "Example:\n  lastgood keys --json")]
    Keys,
    /// Make another key open the store, beside those that do
    #[command(after_help = "Example:\n  lastgood add-key --to-recipient age1… --slot safe")]
    AddKey {
        /// File with the other passphrase, or with `raw:` and 32 bytes in hex or base64
        #[arg(long, value_name = "FILE")]
        new_key_file: Option<PathBuf>,
        /// Recipient (age1…, ssh-ed25519 …) to seal to instead; may be repeated
        #[arg(long, value_name = "RECIPIENT", conflicts_with = "new_key_file")]
        to_recipient: Vec<String>,
        /// What the slot is called: of a-z, 0-9 and -
        #[arg(long, value_name = "NAME")]
        slot: Option<String>,
        /// Take a passphrase although it is weak
        #[arg(long)]
        allow_weak: bool,
    },
    /// Make a key open the store no more; never the last one
    #[command(after_help = "Example:\n  lastgood remove-key 1-safe")]
    RemoveKey {
        /// The slot, as `keys` shows it
        slot: String,
    },
    /// Wrap the data keys of all backups to the newest epoch alone
    #[command(
        after_help = "Example:\n  lastgood rotate-key --new-epoch --new-key-file new.key && lastgood rewrap --key-file new.key"
    )]
    Rewrap {
        /// Also what looks as it should: after one recipient took the place of another
        #[arg(long)]
        all: bool,
    },
    /// Seal all backups of earlier epochs anew, with new data keys: after somebody saw a key
    #[command(
        after_help = "Example:\n  lastgood rotate-key --new-epoch --new-key-file new.key && lastgood reencrypt --key-file new.key"
    )]
    Reencrypt,
    /// Make a new key open the store in place of the one that does, whatever the number of backups
    #[command(after_help = "Example:\n  lastgood rotate-key --key-file old.key --new-key-file new.key")]
    RotateKey {
        /// File with the new passphrase, or with `raw:` and 32 bytes [env: BACKUP_ENCRYPTION_KEY_NEW, or …_NEW_FILE]
        #[arg(long, value_name = "FILE")]
        new_key_file: Option<PathBuf>,
        /// Recipient (age1…, ssh-ed25519 …) to seal to instead; may be repeated
        #[arg(long, value_name = "RECIPIENT", conflicts_with = "new_key_file")]
        to_recipient: Vec<String>,
        /// Make a new identity for the backups to come: after somebody saw the old one
        #[arg(long)]
        new_epoch: bool,
        /// Take a passphrase although it is weak
        #[arg(long)]
        allow_weak: bool,
    },
}

/// `old=new`
fn pair(text: &str) -> Result<(String, String), String> {
    let (old, new) = text.split_once('=').ok_or("write it as OLD=NEW")?;
    Ok((old.to_owned(), new.to_owned()))
}

/// What of a database a verb is about.
#[derive(Debug, ClapArgs)]
pub(super) struct SelectArgs {
    /// Only this schema (`sales`, `app_*`); may be repeated
    #[arg(long, value_name = "PATTERN")]
    schema: Vec<String>,
    /// Only this table with what belongs to it (`public.orders`, `log_*`); may be repeated
    #[arg(long, value_name = "PATTERN")]
    table: Vec<String>,
    /// Not this schema; may be repeated
    #[arg(long, value_name = "PATTERN")]
    exclude_schema: Vec<String>,
    /// Not this table; may be repeated
    #[arg(long, value_name = "PATTERN")]
    exclude_table: Vec<String>,
    /// Of this table the definition without rows; may be repeated
    #[arg(long, value_name = "PATTERN")]
    exclude_data: Vec<String>,
    /// Definitions without rows
    #[arg(long)]
    schema_only: bool,
}

impl SelectArgs {
    pub(super) fn selection(self) -> Selection {
        Selection {
            schemas: self.schema,
            tables: self.table,
            exclude_schemas: self.exclude_schema,
            exclude_tables: self.exclude_table,
            exclude_data: self.exclude_data,
            schema_only: self.schema_only,
            data_only: false,
        }
    }
}

#[derive(Debug, ClapArgs)]
pub(super) struct SettingArgs {
    /// Compression of the dump's files
    #[arg(long, value_enum)]
    codec: Option<CodecArg>,
    /// Level of the codec (zstd 1 to 19, gzip 1 to 9)
    #[arg(long)]
    level: Option<i32>,
    /// Raw bytes of one part, about
    #[arg(long, value_name = "BYTES")]
    part_bytes: Option<u64>,
    /// A volume is closed once it has this size
    #[arg(long, value_name = "BYTES")]
    volume_bytes: Option<u64>,
    /// Folder for temporary copies
    #[arg(long, value_name = "FOLDER")]
    work_dir: Option<PathBuf>,
    /// Read whole volumes back before the commit
    #[arg(long)]
    read_back: bool,
    /// Fail when the database holds something that cannot be backed up
    #[arg(long)]
    strict: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct ArtifactArgs {
    /// File with the passphrase of openssl for an old script's dump, if it is not the store's
    #[arg(long, value_name = "FILE")]
    pub(super) artifact_key_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum FormatArg {
    Directory,
    Classic,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum CodecArg {
    Zstd,
    Gzip,
    None,
}

impl SettingArgs {
    pub(super) fn apply(&self, mut settings: Settings) -> Settings {
        if let Some(codec) = self.codec {
            settings.codec = match codec {
                CodecArg::Zstd => Codec::Zstd,
                CodecArg::Gzip => Codec::Gzip,
                CodecArg::None => Codec::None,
            };
        }
        settings.level = self.level;
        settings.part_bytes = self.part_bytes.unwrap_or(settings.part_bytes);
        settings.volume_bytes = self.volume_bytes.unwrap_or(settings.volume_bytes);
        settings.work_dir.clone_from(&self.work_dir);
        if self.read_back {
            settings.read_back = ReadBack::Content;
        }
        settings.strict = self.strict;
        settings
    }
}
