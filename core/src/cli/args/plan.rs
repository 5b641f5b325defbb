//! What can be said of a schedule on the command line.

use clap::Args as ClapArgs;

use super::SelectArgs;
use crate::retention::Keep;
use crate::schedule::Plan;
use crate::secret::Secret;

#[derive(Debug, ClapArgs)]
pub(in crate::cli) struct PlanArgs {
    /// When backups run [default: BACKUP_SCHEDULE, or `0 2 * * *`]
    #[arg(long, value_name = "CRON")]
    cron: Option<String>,
    /// When the newest backup is verified, or `off` [default: `0 4 * * 1`]
    #[arg(long, value_name = "CRON")]
    verify: Option<String>,
    /// When the newest backup is drilled, or `off` [default: `0 5 1 * *`]
    #[arg(long, value_name = "CRON")]
    drill: Option<String>,
    /// When old backups are deleted, or `off` [default: `0 6 * * *`]
    #[arg(long, value_name = "CRON")]
    prune: Option<String>,
    /// Time zone of these expressions
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// What is kept: `7d 4w 12m`, `within=30d`, `5`, `tag=release` [env: BACKUP_RETENTION]
    #[arg(long, value_name = "RULES")]
    keep: Option<Keep>,
    /// Label of the backups; may be repeated
    #[arg(long)]
    tag: Vec<String>,
    /// Back up the server's roles and tablespaces as well (PostgreSQL)
    #[arg(long)]
    globals: bool,
    #[command(flatten)]
    select: SelectArgs,
    /// Empty database to use for drills
    #[arg(long, value_name = "URL")]
    drill_target: Option<String>,
    /// Query that must succeed in a drill; may be repeated
    #[arg(long, value_name = "SQL")]
    drill_query: Vec<String>,
    /// Wait up to so many seconds, by chance, before each job
    #[arg(long, value_name = "SECONDS")]
    jitter: Option<u64>,
    /// Leave out what was missed by more than an hour
    #[arg(long)]
    skip_missed: bool,
    /// Cancel a job after so many seconds
    #[arg(long, value_name = "SECONDS")]
    deadline: Option<u64>,
    /// Give another host up that was silent for so many seconds
    #[arg(long, value_name = "SECONDS")]
    lease: Option<u64>,
}

impl PlanArgs {
    pub(in crate::cli) fn plan(self) -> Plan {
        Plan {
            backup: self.cron,
            verify: self.verify,
            drill: self.drill,
            prune: self.prune,
            time_zone: self.time_zone,
            keep: self.keep,
            tags: self.tag,
            globals: self.globals,
            select: self.select.selection(),
            drill_target: self.drill_target.map(Secret::from),
            drill_queries: self.drill_query,
            jitter_seconds: self.jitter,
            skip_missed: self.skip_missed,
            deadline_seconds: self.deadline,
            lease_seconds: self.lease,
            ..Plan::default()
        }
    }
}
