//! What can be seen of a vault: health, metrics, statistics.

pub(crate) mod alert;
pub(crate) mod counters;
mod facts;
pub(crate) mod health;
pub(crate) mod metrics;
mod records;
pub(crate) mod watch;

pub use alert::{AlertEvent, Alerts, Severity};
pub use metrics::METRICS_CONTENT_TYPE;

pub(crate) use facts::{Facts, Patience};
