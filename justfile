# Everything CI runs.
test:
    bash tests/run

# One suite: `just suite postgres_life`.
suite name:
    cargo test -p lastgood-tests --test suite {{ name }}

# Formatting and lints, as CI wants them.
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

# Licences, duplicates and advisories of the dependencies.
deny:
    cargo deny check

# The long runs of what CI runs a share of: hours, on 2 cores.
soak:
    LASTGOOD_DDL_ROUNDS=500 cargo test -p lastgood-tests --test suite postgres_ddl:: -- --nocapture
    LASTGOOD_ROUND_TRIPS=10000 cargo test -p lastgood-tests --test suite postgres_round_trips:: -- --nocapture
