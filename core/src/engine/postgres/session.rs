//! The settings of a session on which the text of definitions and rows depends.

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Reads the catalog, or the server as a whole.
    Catalog,
    /// Reads rows.
    Reader,
    /// Creates objects and writes rows.
    Writer,
}

/// The statements that fix a session's settings. `SET` takes no snapshot, so they may precede one.
pub(super) fn settings(version: u32, role: Role) -> String {
    let mut settings = vec![
        // The time-outs first: those of the role or the database may be short.
        ("statement_timeout", "0"),
        ("lock_timeout", "0"),
        ("idle_in_transaction_session_timeout", "0"),
        ("idle_session_timeout", "0"),
    ];
    if version >= 17_00_00 {
        settings.push(("transaction_timeout", "0"));
    }
    settings.extend([
        // A standby refuses every statement of a serializable transaction.
        ("default_transaction_isolation", "'read committed'"),
        ("default_transaction_deferrable", "off"),
        ("default_transaction_read_only", "off"),
        ("search_path", "''"),
        ("client_encoding", "'UTF8'"),
        ("datestyle", "'ISO'"),
        ("intervalstyle", "'postgres'"),
        ("timezone", "'UTC'"),
        ("extra_float_digits", "3"),
        ("bytea_output", "'hex'"),
        ("standard_conforming_strings", "on"),
        ("quote_all_identifiers", "off"),
        ("xmloption", "'content'"),
        ("array_nulls", "on"),
        // `x = NULL` in a view's text would come back as `x IS NULL`.
        ("transform_null_equals", "off"),
        ("client_min_messages", "'warning'"),
        // An error is better than the rows that a policy lets through.
        ("row_security", "off"),
        // A scan that starts where another one is would give the rows in another order each night.
        ("synchronize_seqscans", "off"),
    ]);
    match role {
        Role::Catalog => {}
        Role::Reader => settings.extend([
            // Ranges of blocks are read by TID range scans, whatever the statistics say.
            ("enable_tidscan", "on"),
            ("enable_seqscan", "off"),
            ("max_parallel_workers_per_gather", "0"),
            ("jit", "off"),
        ]),
        Role::Writer => settings.extend([
            ("check_function_bodies", "off"),
            // A restore that crashes is started again; its end is made durable in one step.
            ("synchronous_commit", "off"),
        ]),
    }
    settings.iter().map(|(name, value)| format!("SET {name} = {value};")).collect()
}
