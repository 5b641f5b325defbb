//! PostgreSQL.

mod archive;
