//! Saying which part of a database a verb is about: the same words for each verb that can do without the rest.

use super::Verb;
use crate::selection::Selection;

/// Options with a selection in them.
pub trait Selects {
    /// What of the database is meant.
    fn selection(&mut self) -> &mut Selection;
}

impl<O: Selects> Verb<O> {
    /// Only these schemas, beside others that are named: `sales`, `app_*`.
    pub fn schema(self, pattern: impl Into<String>) -> Self {
        self.with(|o| o.selection().schemas.push(pattern.into()))
    }

    /// Only these tables with what belongs to them, beside others that are named: `public.orders`, `log_*`.
    pub fn table(self, pattern: impl Into<String>) -> Self {
        self.with(|o| o.selection().tables.push(pattern.into()))
    }

    /// Leaves these schemas out.
    pub fn exclude_schema(self, pattern: impl Into<String>) -> Self {
        self.with(|o| o.selection().exclude_schemas.push(pattern.into()))
    }

    /// Leaves these tables out.
    pub fn exclude_table(self, pattern: impl Into<String>) -> Self {
        self.with(|o| o.selection().exclude_tables.push(pattern.into()))
    }

    /// Leaves the rows of these tables out.
    pub fn exclude_data(self, pattern: impl Into<String>) -> Self {
        self.with(|o| o.selection().exclude_data.push(pattern.into()))
    }

    /// Definitions without rows.
    pub fn schema_only(self) -> Self {
        self.with(|o| o.selection().schema_only = true)
    }
}
