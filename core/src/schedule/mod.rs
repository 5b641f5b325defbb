//! When the verbs run by themselves: a plan of cron expressions, what of it is due, and a loop that does it.

mod cron;
mod examine;
mod handle;
mod plan;
mod record;
mod runner;

pub(crate) use examine::examine;
pub use handle::{ScheduleHandle, ScheduleStatus};
pub(crate) use plan::Agenda;
pub use plan::{Job, Plan};
pub(crate) use record::read_all;
pub use record::{JobError, JobNext, JobRecord, RunDueReport};
pub(crate) use runner::{Host, run_due};
