//! Which part of a script goes into the target.

use crate::engine::script::{Databases, refused};
use crate::error::Result;

use super::command::Command;

/// Databases that every cluster has.
const COMMON: [&str; 3] = ["postgres", "template0", "template1"];

/// Follows a script through its databases: a script of pg_dump has one, one of pg_dumpall has all of a cluster.
#[derive(Debug)]
pub(super) struct Sections {
    databases: Databases,
    cluster: bool,
    active: bool,
    restricted: Option<String>,
}

impl Sections {
    pub(super) fn new(wanted: Option<String>) -> Self {
        Self { databases: Databases::new(wanted), cluster: false, active: true, restricted: None }
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
            (Command::Connect(name), None) => {
                let everywhere = self.cluster && COMMON.contains(&name.as_str());
                self.active = self.databases.enter(name, line, everywhere)?;
                Ok(())
            }
            (Command::Encoding, None) => Ok(()),
            (_, _) => Err(refused(line, "a command for psql stands where \\restrict forbids it")),
        }
    }

    /// Checks that there was something to run.
    ///
    /// # Errors
    /// `DatabaseNotFound`.
    pub(super) fn finish(&self) -> Result<()> {
        self.databases.finish(self.cluster)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::error::Code;

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
