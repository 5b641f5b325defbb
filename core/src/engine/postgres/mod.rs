//! PostgreSQL.

mod archive;
mod catalog;
mod order;
mod quote;
