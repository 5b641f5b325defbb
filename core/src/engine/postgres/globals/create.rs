//! Creates roles, memberships and tablespaces; and takes them away again when the restore fails.

use sqlx::postgres::PgConnection;

use crate::engine::postgres::connect::{execute, query};
use crate::engine::postgres::quote::{ident, idents, literal};
use crate::error::{Code, Error, Result};
use crate::report::Warning;

use super::Coming;
use super::plan::Plan;
use super::text::{Membership, RoleText};

/// What was created, to be told, or to be taken back.
#[derive(Debug, Default)]
pub(in crate::engine::postgres) struct Created {
    roles: Vec<String>,
    pub(in crate::engine::postgres) tablespaces: Vec<String>,
}

/// What the connected role may do.
struct Powers {
    name: String,
    superuser: bool,
    /// Attributes that it may give to others.
    gives: Vec<&'static str>,
}

impl Powers {
    async fn of(conn: &mut PgConnection) -> Result<Self> {
        let sql = "SELECT rolname, rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls \
             FROM pg_catalog.pg_roles WHERE rolname = current_user";
        let row = query(conn, sql, "reading the role's privileges").await?.into_iter().next().unwrap_or_default();
        let is = |i: usize| row.get(i).and_then(Option::as_deref) == Some("t");
        // Since 16 nobody gives what he does not have; before, CREATEROLE was enough for what did not need a superuser.
        let since_16 = conn.server_version_num() >= Some(16_00_00);
        let creator = is(2);
        let gives = [
            ("CREATEROLE", creator),
            ("CREATEDB", creator && (is(3) || !since_16)),
            ("REPLICATION", creator && is(4) && since_16),
            ("BYPASSRLS", creator && is(5) && since_16),
        ];
        let gives = gives.into_iter().filter(|(_, may)| *may).map(|(word, _)| word).collect();
        Ok(Self { name: row.first().cloned().flatten().unwrap_or_default(), superuser: is(1), gives })
    }

    /// The attributes that it may give, and those that have to be left out. A new role has none of them.
    fn split(&self, attributes: &[String]) -> (Vec<String>, Vec<String>) {
        if self.superuser {
            return (attributes.to_vec(), Vec::new());
        }
        let mut split = (Vec::new(), Vec::new());
        for attribute in attributes {
            match attribute.as_str() {
                "SUPERUSER" | "REPLICATION" | "BYPASSRLS" | "CREATEROLE" | "CREATEDB" => {
                    let may = self.gives.contains(&attribute.as_str());
                    if may { split.0.push(attribute.clone()) } else { split.1.push(attribute.clone()) }
                }
                "NOSUPERUSER" | "NOREPLICATION" | "NOBYPASSRLS" | "NOCREATEROLE" | "NOCREATEDB" => {}
                _ => split.0.push(attribute.clone()),
            }
        }
        split
    }
}

/// Whether the connected role may create what is planned.
pub(super) async fn check(conn: &mut PgConnection, plan: &Plan) -> Result<()> {
    let powers = Powers::of(conn).await?;
    if plan.roles.is_empty() || powers.superuser || powers.gives.contains(&"CREATEROLE") {
        return Ok(());
    }
    let names: Vec<String> = plan.roles.keys().map(|name| format!("`{name}`")).collect();
    let message = format!("role {} may not create roles, and {} are missing", powers.name, names.join(", "));
    Err(Error::new(Code::DatabaseDenied, message)
        .next("connect as a role with CREATEROLE, or restore without globals, owners and privileges"))
}

impl Coming {
    /// Creates it: the roles with all that is about them in one transaction, then the tablespaces. What the server
    /// refuses of it is told, but for the roles themselves.
    pub(in crate::engine::postgres) async fn create(
        mut self,
        conn: &mut PgConnection,
        created: &mut Created,
    ) -> Result<Vec<Warning>> {
        let mut warnings = std::mem::take(&mut self.plan.warnings);
        let powers = Powers::of(conn).await?;
        if !self.plan.roles.is_empty() {
            execute(conn, "BEGIN", "creating roles").await?;
            self.create_roles(conn, &powers, &mut warnings).await?;
            // Before the end of the transaction: its answer may never arrive.
            created.roles = self.plan.roles.keys().cloned().collect();
            execute(conn, "COMMIT", "creating roles").await?;
        }
        for (name, tablespace) in &self.plan.tablespaces {
            if let Err(e) = execute(conn, &tablespace.create, &format!("creating tablespace {name}")).await {
                let next = "make its folder on the server, which the server's user owns, and restore again";
                warnings.push(left_out(&e.next(next)));
                continue;
            }
            created.tablespaces.push(name.clone());
            for sql in &tablespace.remarks {
                if let Err(e) = execute(conn, sql, &format!("setting up tablespace {name}")).await {
                    warnings.push(left_out(&e));
                }
            }
        }
        Ok(warnings)
    }

    async fn create_roles(&self, conn: &mut PgConnection, powers: &Powers, warnings: &mut Vec<Warning>) -> Result<()> {
        let mut without_password = Vec::new();
        for (name, role) in &self.plan.roles {
            execute(conn, &format!("CREATE ROLE {}", ident(name)), &format!("creating role {name}")).await?;
            let has_password = alter(conn, powers, name, role, warnings).await?;
            let had_password = role.password.is_some() || !self.plan.passwords;
            if had_password && !has_password && role.attributes.iter().any(|a| a == "LOGIN") {
                without_password.push(name.as_str());
            }
        }
        if !without_password.is_empty() {
            let message = format!("created without a password: role {}", without_password.join(", "));
            warnings.push(Warning::new("no_password", message));
        }
        for membership in &self.plan.memberships {
            grant(conn, powers, membership, warnings).await?;
        }
        // After the memberships: a setting or a comment may need one.
        for (name, role) in &self.plan.roles {
            for sql in role.remarks.iter().chain(&role.parameters) {
                if let Some(e) = attempt(conn, sql, &format!("setting up role {name}")).await? {
                    warnings.push(left_out(&e));
                }
            }
        }
        if !powers.superuser {
            self.join(conn, powers, warnings).await?;
        }
        Ok(())
    }

    /// Only a member of a role can give it what is to be its own.
    async fn join(&self, conn: &mut PgConnection, powers: &Powers, warnings: &mut Vec<Warning>) -> Result<()> {
        let new: Vec<&String> = self.needed.iter().filter(|name| self.plan.roles.contains_key(*name)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let (list, me) = (idents(&new), ident(&powers.name));
        match attempt(conn, &format!("GRANT {list} TO {me}"), "joining the new roles").await? {
            None => {
                let message = format!(
                    "role {} was made a member of {list}, to give them what is theirs; REVOKE {list} FROM {me} undoes that",
                    powers.name
                );
                warnings.push(Warning::new("joined_roles", message));
                Ok(())
            }
            Some(e) => Err(e.next("connect as a superuser, or restore without owners")),
        }
    }
}

/// Sets attributes and password. Returns whether it has a password now.
async fn alter(
    conn: &mut PgConnection,
    powers: &Powers,
    name: &str,
    role: &RoleText,
    warnings: &mut Vec<Warning>,
) -> Result<bool> {
    let (attributes, left) = powers.split(&role.attributes);
    if !left.is_empty() {
        let message =
            format!("role {name} was created without {}, which role {} may not give", left.join(", "), powers.name);
        warnings.push(Warning::new("global_left_out", message));
    }
    let doing = format!("setting up role {name}");
    let sql = format!("ALTER ROLE {} WITH {}", ident(name), attributes.join(" "));
    if let Some(password) = &role.password {
        match attempt(conn, &format!("{sql} PASSWORD {password}"), &doing).await? {
            None => return Ok(true),
            Some(e) => tracing::debug!(role = name, error = %e, "setting it up without its password"),
        }
    }
    if !attributes.is_empty() {
        execute(conn, &sql, &doing).await?;
    }
    Ok(false)
}

/// Makes a role a member of another, by the same grantor where that is possible.
async fn grant(
    conn: &mut PgConnection,
    powers: &Powers,
    membership: &Membership,
    warnings: &mut Vec<Warning>,
) -> Result<()> {
    let Membership { role, member, sql, by, .. } = membership;
    let doing = format!("making role {member} a member of {role}");
    if powers.superuser && attempt(conn, &format!("{sql}{by}"), &doing).await?.is_none() {
        return Ok(());
    }
    match attempt(conn, sql, &doing).await? {
        Some(e) => warnings.push(left_out(&e)),
        None if powers.superuser => {
            let message = format!("role {member} is a member of {role} by another grantor than it was");
            warnings.push(Warning::new("global_differs", message));
        }
        None => {}
    }
    Ok(())
}

/// Runs a statement that may fail and spoil nothing; gives the server's refusal.
async fn attempt(conn: &mut PgConnection, sql: &str, doing: &str) -> Result<Option<Error>> {
    execute(conn, "SAVEPOINT attempt", doing).await?;
    match execute(conn, sql, doing).await {
        Ok(()) => execute(conn, "RELEASE attempt", doing).await.map(|()| None),
        Err(e) if e.code() == Code::DatabaseUnavailable => Err(e),
        Err(e) => execute(conn, "ROLLBACK TO attempt; RELEASE attempt", doing).await.map(|()| Some(e)),
    }
}

fn left_out(e: &Error) -> Warning {
    Warning::new("global_left_out", e.to_string())
}

impl Created {
    /// Everything, for the report.
    pub(in crate::engine::postgres) fn listed(&self) -> Vec<String> {
        let roles = self.roles.iter().map(|name| format!("role {name}"));
        roles.chain(self.tablespaces.iter().map(|name| format!("tablespace {name}"))).collect()
    }

    /// Takes it away again, after everything that belonged to it is gone.
    pub(in crate::engine::postgres) async fn undo(&mut self, conn: &mut PgConnection) -> Result<()> {
        for name in std::mem::take(&mut self.tablespaces) {
            let sql = format!("DROP TABLESPACE IF EXISTS {}", ident(&name));
            execute(conn, &sql, &format!("dropping tablespace {name}")).await?;
        }
        let names: Vec<String> = std::mem::take(&mut self.roles).iter().map(|name| literal(name)).collect();
        if names.is_empty() {
            return Ok(());
        }
        let sql = format!("SELECT rolname FROM pg_catalog.pg_roles WHERE rolname IN ({})", names.join(", "));
        let there = query(conn, &sql, "dropping roles").await?.into_iter().flatten().flatten();
        let there = idents(there);
        if there.is_empty() {
            return Ok(());
        }
        // Their privileges on parameters; who may not do that could not grant them either.
        if let Err(e) = execute(conn, &format!("DROP OWNED BY {there}"), "dropping roles").await {
            tracing::debug!(error = %e, "the roles' privileges were left to them");
        }
        execute(conn, &format!("DROP ROLE {there}"), "dropping roles").await
    }
}
