//! Which part of a script goes into the target.

use crate::error::{Code, Error, Result};

use super::command::Command;
use super::split::refused;

/// Databases that every cluster has.
const COMMON: [&str; 3] = ["postgres", "template0", "template1"];

/// Follows a script through its databases: a script of pg_dump has one, one of pg_dumpall has all of a cluster.
#[derive(Debug)]
pub(super) struct Sections {
    /// The database that was asked for.
    wanted: Option<String>,
    cluster: bool,
    /// The database whose content was run.
    chosen: Option<String>,
    active: bool,
    restricted: Option<String>,
}

impl Sections {
    pub(super) fn new(wanted: Option<String>) -> Self {
        Self { wanted, cluster: false, chosen: None, active: true, restricted: None }
    }

    /// Whether statements are to be run here.
    pub(super) fn active(&self) -> bool {
        self.active
    }

    /// A dump of a cluster begins: with what belongs to the server.
    pub(super) fn enter_cluster(&mut self) {
        (self.cluster, self.active) = (true, false);
    }

    /// Follows a command.
    ///
    /// # Errors
    /// `UnsupportedScript`.
    pub(super) fn follow(&mut self, command: Command, line: u64) -> Result<()> {
        match (command, self.restricted.take()) {
            (Command::Unrestrict(word), Some(own)) if word == own => Ok(()),
            (Command::Restrict(word), None) => {
                self.restricted = Some(word);
                Ok(())
            }
            (Command::Connect(name), None) => self.connect(name, line),
            (Command::Encoding, None) => Ok(()),
            (_, _) => Err(refused(line, "a command for psql stands where \\restrict forbids it")),
        }
    }

    fn connect(&mut self, name: String, line: u64) -> Result<()> {
        let wanted = match &self.wanted {
            Some(wanted) if self.cluster => *wanted == name,
            None if self.cluster => !COMMON.contains(&name.as_str()),
            _ => true,
        };
        self.active = wanted;
        if !wanted {
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
        if !self.cluster || self.chosen.is_some() {
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

    fn connect(sections: &mut Sections, name: &str) -> Result<bool> {
        sections.follow(Command::Connect(name.to_owned()), 1).map(|()| sections.active())
    }

    #[test]
    fn one_database_of_a_cluster_is_found_by_itself_and_several_must_be_chosen_from() {
        let mut sections = Sections::new(None);
        sections.enter_cluster();
        assert!(!sections.active());
        assert!(!connect(&mut sections, "template1").unwrap());
        assert!(connect(&mut sections, "shop").unwrap());
        assert_eq!(connect(&mut sections, "crm").unwrap_err().code(), Code::InvalidOption);

        let mut sections = Sections::new(Some("crm".into()));
        sections.enter_cluster();
        assert!(!connect(&mut sections, "shop").unwrap());
        assert_eq!(sections.finish().unwrap_err().code(), Code::DatabaseNotFound);
        assert!(connect(&mut sections, "crm").unwrap());
        sections.finish().unwrap();
    }

    #[test]
    fn restricted_scripts_keep_to_it() {
        let mut sections = Sections::new(None);
        sections.follow(Command::Restrict("a".into()), 1).unwrap();
        assert_eq!(connect(&mut sections, "shop").unwrap_err().code(), Code::UnsupportedScript);
        let mut sections = Sections::new(None);
        sections.follow(Command::Restrict("a".into()), 1).unwrap();
        assert!(sections.follow(Command::Unrestrict("b".into()), 2).is_err());
    }
}
