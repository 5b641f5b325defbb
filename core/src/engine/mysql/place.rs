//! Where a restore goes: into a database of its own whose tables are moved at the end, or into the one that is there.

use crate::engine::{RestoreOptions, shortened};
use crate::error::{Code, Error, Result};
use crate::id::random_hex;

use super::connect::{Role, Server, Session};
use super::quote::{ident, literal};

/// The longest name the servers keep, in characters.
pub(super) const NAME_LENGTH: usize = 64;

/// Where a restore goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Into a new database, whose tables are moved into the target when all is done. Nobody sees half of it.
    Staging {
        name: String,
        /// Whether the target is there already, and empty unless it is to give way.
        exists: bool,
    },
    /// Into the target itself.
    Direct,
}

impl Place {
    /// Looks at the target and decides; changes nothing.
    ///
    /// # Errors
    /// `TargetNotEmpty` unless it may be overwritten.
    pub(super) async fn find(server: &Server, options: &RestoreOptions) -> Result<Self> {
        let mut session = server.connect_outside(Role::Catalog).await?;
        let sql = format!(
            "SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {}",
            literal(server.database())
        );
        let exists = session.query_one(&sql, "looking for the database").await?.as_deref() != Some("0");
        let contents = if exists { contents(&mut session, server.database()).await? } else { None };
        session.close().await;
        match contents {
            Some(_) if options.promote => Self::staging(server, exists),
            // What was named may come beside what is there: collisions are looked for.
            Some(_)
                if options.overwrite || options.clean || options.select.names_some() || options.select.data_only =>
            {
                Ok(Self::Direct)
            }
            Some(contents) => {
                Err(Error::new(Code::TargetNotEmpty, format!("{server} is not empty: it holds {contents}"))
                    .next("restore into a new database, or say that what is there may be overwritten"))
            }
            None if options.select.data_only => {
                let message = format!("{server} has no tables that rows alone could be restored into");
                Err(Error::new(Code::DatabaseNotFound, message).next("restore definitions as well"))
            }
            None => Self::staging(server, exists),
        }
    }

    fn staging(server: &Server, exists: bool) -> Result<Self> {
        let suffix = format!("_restoring_{}", random_hex::<4>()?);
        Ok(Self::Staging { name: shortened(server.database(), &suffix, NAME_LENGTH), exists })
    }
}

/// What a database holds, if anything.
pub(super) async fn contents(session: &mut Session, database: &str) -> Result<Option<String>> {
    let schema = literal(database);
    let sql = format!(
        "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = {schema} \
         UNION ALL SELECT ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = {schema} \
         UNION ALL SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = {schema}"
    );
    let names: Vec<String> =
        session.query(&sql, "looking for objects").await?.into_iter().flatten().flatten().collect();
    Ok(match names.as_slice() {
        [] => None,
        [only] => Some(only.clone()),
        [first, ..] => Some(format!("{} objects, {first} among them", names.len())),
    })
}

/// Drops a database that is ours, if it is there.
pub(super) async fn drop_database(session: &mut Session, name: &str) -> Result<()> {
    let sql = format!("DROP DATABASE IF EXISTS {}", ident(name));
    session.execute(&sql, &format!("dropping database {name}")).await
}
