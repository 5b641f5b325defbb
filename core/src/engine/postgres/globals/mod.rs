//! Roles and tablespaces as a part of a backup: written by `catalog`, taken apart by `text`, chosen by `plan`, created
//! by `create`. A restore creates what the database needs and the server lacks, and never changes what is there.

mod create;
mod plan;
mod text;

use std::collections::{BTreeSet, HashSet};

use bytes::Bytes;
use sqlx::postgres::PgConnection;

use crate::engine::RestoreOptions;
use crate::error::{Code, Error, Result};

use super::archive::Archive;
use super::catalog::read_roles;
use super::connect::query;
use super::roles;
use super::statements::is_statement;

pub(super) use create::Created;
use plan::{Needs, Plan, There};

/// The file in the dump directory. pg_restore passes it over; psql loads it.
pub(super) const FILE: &str = "globals.sql";

/// What a restore is going to create before anything else.
#[derive(Default)]
pub(super) struct Coming {
    plan: Plan,
    /// Roles that are given something.
    needed: BTreeSet<String>,
}

impl Coming {
    /// Compares the file with the server and chooses; changes nothing.
    ///
    /// # Errors
    /// `InvalidOption` when the backup has no such file; `DatabaseDenied` when roles are to be created and must not be.
    pub(super) async fn choose(
        conn: &mut PgConnection,
        file: Option<&Bytes>,
        archive: &Archive,
        options: &RestoreOptions,
    ) -> Result<Self> {
        let file = file.ok_or_else(|| {
            Error::new(Code::InvalidOption, "the backup holds no roles")
                .next("restore without globals and create the roles yourself, or make backups with globals")
        })?;
        let needs = needs(archive, options);
        let needed = needs.roles.clone();
        let plan = plan::plan(text::Globals::parse(file)?, needs, &there(conn).await?);
        create::check(conn, &plan).await?;
        Ok(Self { plan, needed })
    }

    /// The roles that will be there.
    pub(super) fn roles(&self) -> HashSet<String> {
        self.plan.roles.keys().cloned().collect()
    }
}

/// The roles and tablespaces that the archive refers to.
fn needs(archive: &Archive, options: &RestoreOptions) -> Needs {
    let mut needs = Needs::default();
    for entry in &archive.entries {
        let owned = is_statement(entry) || entry.desc == "DATABASE";
        if owned && !options.no_owner && !entry.owner.is_empty() {
            needs.roles.insert(entry.owner.clone());
        }
        if !options.no_privileges || entry.desc == "POLICY" {
            roles::mentioned(entry, &mut needs.roles);
        }
        needs.tablespaces.extend(entry.tablespace.clone().filter(|name| !name.is_empty()));
    }
    needs
}

async fn there(conn: &mut PgConnection) -> Result<There> {
    const DOING: &str = "reading the server's roles";
    let members = "SELECT r.rolname, m.rolname FROM pg_catalog.pg_auth_members a \
         JOIN pg_catalog.pg_roles r ON r.oid = a.roleid JOIN pg_catalog.pg_roles m ON m.oid = a.member";
    let members = query(conn, members, DOING).await?.into_iter();
    let tablespaces = query(conn, "SELECT spcname FROM pg_catalog.pg_tablespace", DOING).await?.into_iter();
    Ok(There {
        roles: read_roles(conn).await?.into_iter().collect(),
        memberships: members.filter_map(|row| <[Option<String>; 2]>::try_from(row).ok()).filter_map(both).collect(),
        tablespaces: tablespaces.flatten().flatten().collect(),
    })
}

fn both([a, b]: [Option<String>; 2]) -> Option<(String, String)> {
    a.zip(b)
}
