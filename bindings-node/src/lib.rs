//! The native half of the npm package `lastgood`: a vault that is opened, called by the names of its verbs, and closed.
//!
//! Everything crosses as JSON, as `core/api.json` describes it. What makes it TypeScript (methods, types, dates, errors,
//! signals) is in `ts/`; nothing is decided on either side.

#![expect(unreachable_pub, reason = "what Node is given must be pub, and nothing in Rust reaches it")]

mod cli;
mod log;
mod run;
mod schedule;
mod vault;
