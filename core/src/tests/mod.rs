//! The verbs end to end, over an engine and a store in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::cast_possible_truncation)]

mod fake;
mod hold;
mod keys;
mod life;
mod observe;
mod prune;
mod schedule;
mod sim;
mod simulation;
