//! Which part of a script goes into the target.

use crate::error::{Code, Error, Result};

/// Databases that every server has.
const COMMON: [&str; 4] = ["information_schema", "mysql", "performance_schema", "sys"];

/// Follows a script through its databases. Before the first `USE`, all is of the target.
#[derive(Debug)]
pub(super) struct Sections {
    /// The database that was asked for.
    wanted: Option<String>,
    /// Whether a database was named.
    named: bool,
    /// The database whose content was run.
    chosen: Option<String>,
    active: bool,
}

impl Sections {
    pub(super) fn new(wanted: Option<String>) -> Self {
        Self { wanted, named: false, chosen: None, active: true }
    }

    /// Whether statements are to be run here.
    pub(super) fn active(&self) -> bool {
        self.active
    }

    /// Follows `USE name`.
    ///
    /// # Errors
    /// `InvalidOption` when it is not clear which database is meant.
    pub(super) fn enter(&mut self, name: String, line: u64) -> Result<()> {
        self.named = true;
        self.active = match &self.wanted {
            Some(wanted) => *wanted == name,
            None => !COMMON.contains(&name.to_ascii_lowercase().as_str()),
        };
        if !self.active {
            return Ok(());
        }
        if let Some(first) = self.chosen.as_ref().filter(|first| **first != name) {
            let message = format!("line {line}: the script holds the databases {first} and {name}, and maybe more");
            return Err(
                Error::new(Code::InvalidOption, message).next("say which one is to be restored (from_database)")
            );
        }
        self.chosen = Some(name);
        Ok(())
    }

    /// Checks that there was something to run.
    ///
    /// # Errors
    /// `DatabaseNotFound`.
    pub(super) fn finish(&self) -> Result<()> {
        if !self.named || self.chosen.is_some() {
            return Ok(());
        }
        let what = match &self.wanted {
            Some(name) => format!("the script holds no database {name}"),
            None => "the script holds no database but those that every server has".to_owned(),
        };
        Err(Error::new(Code::DatabaseNotFound, what).next("say which one is to be restored (from_database)"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn enter(sections: &mut Sections, name: &str) -> Result<bool> {
        sections.enter(name.to_owned(), 1).map(|()| sections.active())
    }

    #[test]
    fn one_database_is_found_by_itself_and_several_must_be_chosen_from() {
        let mut sections = Sections::new(None);
        assert!(sections.active());
        assert!(!enter(&mut sections, "mysql").unwrap());
        assert_eq!(sections.finish().unwrap_err().code(), Code::DatabaseNotFound);
        assert!(enter(&mut sections, "shop").unwrap());
        assert!(enter(&mut sections, "shop").unwrap());
        assert_eq!(enter(&mut sections, "crm").unwrap_err().code(), Code::InvalidOption);

        let mut sections = Sections::new(Some("crm".into()));
        assert!(!enter(&mut sections, "shop").unwrap());
        assert_eq!(sections.finish().unwrap_err().code(), Code::DatabaseNotFound);
        assert!(enter(&mut sections, "crm").unwrap());
        sections.finish().unwrap();
    }
}
