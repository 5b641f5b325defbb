//! What belongs to the server and not to one database: roles, memberships, privileges on parameters, tablespaces.
//!
//! Written as `pg_dumpall --globals-only` writes it, so that `psql -f` loads it. The superuser that initdb made is left
//! out: every server has one, and its password there is not ours to change.

use sqlx::postgres::PgConnection;

use crate::engine::postgres::quote::{ident, literal};
use crate::error::Result;
use crate::report::Warning;

use super::acl::{Acl, Class};
use super::database::value_of;
use super::row::{self, Row};

/// The superuser that initdb made.
const BOOTSTRAP: u32 = 10;

/// Reads everything as one SQL text. It holds the verifiers of passwords, if `passwords` asks for them and the role may
/// read them.
///
/// # Errors
/// `DatabaseUnavailable`, `DatabaseError`.
pub(crate) async fn read_globals(conn: &mut PgConnection, passwords: bool) -> Result<(String, Vec<Warning>)> {
    let mut warnings = Vec::new();
    let may = "SELECT pg_catalog.has_table_privilege('pg_catalog.pg_authid', 'SELECT') AS may";
    let may = row::query(conn, may).await?.first().map_or(Ok(false), |row| row.flag("may"))?;
    if !passwords {
        let message = "the store is not encrypted, so roles are backed up without their passwords";
        warnings.push(Warning::new("passwords_left_out", message));
    } else if !may {
        let message = "only a superuser can read the passwords of roles: they are backed up without";
        warnings.push(Warning::new("passwords_left_out", message));
    }
    let major = conn.server_version_num().unwrap_or(0) / 10_000;
    let mut sql = String::from(
        "--\n-- Roles, memberships and tablespaces of the server. Load them with psql before a database.\n--\n\n\
         SET default_transaction_read_only = off;\nSET client_encoding = 'UTF8';\nSET standard_conforming_strings = on;\n",
    );
    for (title, text) in [
        ("Roles", roles(conn, may && passwords).await?),
        ("Settings of roles", settings(conn).await?),
        ("Role memberships", memberships(conn, major).await?),
        ("Privileges on configuration parameters", parameters(conn, major).await?),
        ("Tablespaces", tablespaces(conn).await?),
    ] {
        if !text.is_empty() {
            sql += &format!("\n--\n-- {title}\n--\n\n{text}");
        }
    }
    Ok((sql, warnings))
}

async fn roles(conn: &mut PgConnection, passwords: bool) -> Result<String> {
    let (catalog, password) = if passwords { ("pg_authid", "rolpassword") } else { ("pg_roles", "NULL") };
    let query = format!(
        "SELECT rolname, {ATTRIBUTES}, {password} AS password, \
         pg_catalog.shobj_description(oid, 'pg_authid') AS comment \
         FROM pg_catalog.{catalog} WHERE rolname !~ '^pg_' AND oid <> {BOOTSTRAP} ORDER BY rolname"
    );
    let labels = labels(conn, "pg_authid", "pg_roles", "rolname").await?;
    let mut sql = String::new();
    for row in row::query(conn, &query).await? {
        let name = row.text("rolname")?;
        let quoted = ident(&name);
        sql += &format!("CREATE ROLE {quoted};\nALTER ROLE {quoted} WITH {}", attributes(&row)?.join(" "));
        if let Some(password) = row.opt("password")? {
            sql += &format!(" PASSWORD {}", literal(password));
        }
        sql += ";\n";
        if let Some(comment) = row.opt("comment")? {
            sql += &format!("COMMENT ON ROLE {quoted} IS {};\n", literal(comment));
        }
        sql += &remarks(&labels, &name, "ROLE")?;
    }
    Ok(sql)
}

/// All roles of a server, each with its attributes as they would be backed up.
///
/// # Errors
/// `DatabaseUnavailable`, `DatabaseError`.
pub(crate) async fn read_roles(conn: &mut PgConnection) -> Result<Vec<(String, Vec<String>)>> {
    let sql = format!("SELECT rolname, {ATTRIBUTES} FROM pg_catalog.pg_roles");
    row::query(conn, &sql).await?.iter().map(|row| Ok((row.text("rolname")?, attributes(row)?))).collect()
}

/// The columns that [`attributes`] reads.
const ATTRIBUTES: &str = "rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, \
     rolbypassrls, rolconnlimit, rolvaliduntil";

/// A role's attributes as ALTER ROLE takes them, without its password.
fn attributes(row: &Row) -> Result<Vec<String>> {
    let mut list = Vec::new();
    for (column, word) in [
        ("rolsuper", "SUPERUSER"),
        ("rolinherit", "INHERIT"),
        ("rolcreaterole", "CREATEROLE"),
        ("rolcreatedb", "CREATEDB"),
        ("rolcanlogin", "LOGIN"),
        ("rolreplication", "REPLICATION"),
        ("rolbypassrls", "BYPASSRLS"),
    ] {
        list.push(if row.flag(column)? { word.to_owned() } else { format!("NO{word}") });
    }
    let limit: i32 = row.number("rolconnlimit")?;
    if limit != -1 {
        list.push(format!("CONNECTION LIMIT {limit}"));
    }
    if let Some(until) = row.opt("rolvaliduntil")? {
        list.push(format!("VALID UNTIL {}", literal(until)));
    }
    Ok(list)
}

async fn settings(conn: &mut PgConnection) -> Result<String> {
    let query = format!(
        "SELECT s.setrole, r.rolname, s.setconfig FROM pg_catalog.pg_db_role_setting s \
         LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole \
         WHERE s.setdatabase = 0 AND s.setrole <> {BOOTSTRAP} ORDER BY r.rolname NULLS FIRST"
    );
    let mut sql = String::new();
    for row in row::query(conn, &query).await? {
        let role = match row.oid("setrole")? {
            0 => "ALL".to_owned(),
            _ => ident(&row.text("rolname")?),
        };
        for setting in row.list("setconfig")? {
            if let Some((name, value)) = setting.split_once('=') {
                sql += &format!("ALTER ROLE {role} SET {} TO {};\n", ident(name), value_of(name, value));
            }
        }
    }
    Ok(sql)
}

/// One GRANT of a role to another.
struct Grant {
    role: String,
    grantor: Option<String>,
    member: String,
    admin: bool,
    /// Its grantor needs no ADMIN OPTION.
    by_bootstrap: bool,
    sql: String,
}

async fn memberships(conn: &mut PgConnection, major: u32) -> Result<String> {
    let options =
        if major >= 16 { "a.inherit_option, a.set_option" } else { "NULL AS inherit_option, NULL AS set_option" };
    let query = format!(
        "SELECT r.rolname AS role, m.rolname AS member, g.rolname AS grantor, a.grantor AS grantor_oid, \
         a.admin_option, {options} FROM pg_catalog.pg_auth_members a \
         JOIN pg_catalog.pg_roles r ON r.oid = a.roleid JOIN pg_catalog.pg_roles m ON m.oid = a.member \
         LEFT JOIN pg_catalog.pg_roles g ON g.oid = a.grantor \
         WHERE NOT (r.rolname ~ '^pg_' AND m.rolname ~ '^pg_') ORDER BY 1, 2, 3"
    );
    let mut grants = Vec::new();
    for row in row::query(conn, &query).await? {
        let (role, member) = (row.text("role")?, row.text("member")?);
        let (grantor, admin) = (row.opt_text("grantor")?, row.flag("admin_option")?);
        let mut options = Vec::new();
        if admin {
            options.push("ADMIN OPTION");
        }
        if major >= 16 {
            options.push(if row.flag("inherit_option")? { "INHERIT TRUE" } else { "INHERIT FALSE" });
            options.extend((!row.flag("set_option")?).then_some("SET FALSE"));
        }
        let mut sql = format!("GRANT {} TO {}", ident(&role), ident(&member));
        if !options.is_empty() {
            sql += &format!(" WITH {}", options.join(", "));
        }
        if let Some(grantor) = &grantor {
            sql += &format!(" GRANTED BY {}", ident(grantor));
        }
        let by_bootstrap = row.oid("grantor_oid")? == BOOTSTRAP;
        grants.push(Grant { role, grantor, member, admin, by_bootstrap, sql: sql + ";\n" });
    }
    Ok(in_order(grants))
}

/// Since 16, whoever is named as a grantor must have the ADMIN OPTION already.
fn in_order(mut grants: Vec<Grant>) -> String {
    let mut sql = String::new();
    let mut admins: Vec<(String, String)> = Vec::new();
    while !grants.is_empty() {
        let may = |g: &Grant| {
            let Some(grantor) = g.grantor.as_ref().filter(|_| !g.by_bootstrap) else { return true };
            admins.iter().any(|(role, admin)| *role == g.role && admin == grantor)
        };
        // Before 16 anybody could be named: then the order does not matter.
        let next = grants.iter().position(may).unwrap_or(0);
        let grant = grants.remove(next);
        sql += &grant.sql;
        if grant.admin {
            admins.push((grant.role, grant.member));
        }
    }
    sql
}

async fn parameters(conn: &mut PgConnection, major: u32) -> Result<String> {
    if major < 15 {
        return Ok(String::new());
    }
    let query = format!(
        "SELECT parname, paracl AS acl, pg_catalog.acldefault('p', {BOOTSTRAP}) AS acldefault, \
         pg_catalog.pg_get_userbyid({BOOTSTRAP}) AS owner FROM pg_catalog.pg_parameter_acl ORDER BY 1"
    );
    let mut sql = String::new();
    for row in row::query(conn, &query).await? {
        let on = format!("PARAMETER {}", ident(&row.text("parname")?));
        sql += &Acl::from_row(&row)?.commands(Class::Parameter, &on, None, &row.text("owner")?);
    }
    Ok(sql)
}

async fn tablespaces(conn: &mut PgConnection) -> Result<String> {
    let query = "SELECT spcname, pg_catalog.pg_get_userbyid(spcowner) AS owner, \
         pg_catalog.pg_tablespace_location(oid) AS location, pg_catalog.array_to_string(spcoptions, ', ') AS options, \
         spcacl AS acl, pg_catalog.acldefault('t', spcowner) AS acldefault, \
         pg_catalog.shobj_description(oid, 'pg_tablespace') AS comment \
         FROM pg_catalog.pg_tablespace WHERE spcname !~ '^pg_' ORDER BY 1";
    let labels = labels(conn, "pg_tablespace", "pg_tablespace", "spcname").await?;
    let mut sql = String::new();
    for row in row::query(conn, query).await? {
        let (name, owner, location) = (row.text("spcname")?, row.text("owner")?, row.text("location")?);
        let quoted = ident(&name);
        // One that lies within the server's own folder.
        let location = if location.starts_with('/') { location.as_str() } else { "" };
        sql += &format!("CREATE TABLESPACE {quoted} OWNER {} LOCATION {};\n", ident(&owner), literal(location));
        if let Some(options) = row.opt("options")? {
            sql += &format!("ALTER TABLESPACE {quoted} SET ({options});\n");
        }
        sql += &Acl::from_row(&row)?.commands(Class::Tablespace, &format!("TABLESPACE {quoted}"), None, &owner);
        if let Some(comment) = row.opt("comment")? {
            sql += &format!("COMMENT ON TABLESPACE {quoted} IS {};\n", literal(comment));
        }
        sql += &remarks(&labels, &name, "TABLESPACE")?;
    }
    Ok(sql)
}

/// The security labels of one kind of shared object.
async fn labels(conn: &mut PgConnection, class: &str, catalog: &str, name: &str) -> Result<Vec<Row>> {
    let query = format!(
        "SELECT o.{name} AS name, l.provider, l.label FROM pg_catalog.pg_shseclabel l \
         JOIN pg_catalog.{catalog} o ON o.oid = l.objoid \
         WHERE l.classoid = 'pg_catalog.{class}'::pg_catalog.regclass ORDER BY 1, 2"
    );
    row::query(conn, &query).await
}

fn remarks(labels: &[Row], name: &str, kind: &str) -> Result<String> {
    let mut sql = String::new();
    for row in labels {
        if row.opt("name")? == Some(name) {
            let (provider, label) = (ident(&row.text("provider")?), literal(&row.text("label")?));
            sql += &format!("SECURITY LABEL FOR {provider} ON {kind} {} IS {label};\n", ident(name));
        }
    }
    Ok(sql)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(role: &str, member: &str, grantor: &str, admin: bool) -> Grant {
        let by_bootstrap = grantor == "postgres";
        let sql = format!("{role}>{member} ");
        Grant { role: role.into(), grantor: Some(grantor.into()), member: member.into(), admin, by_bootstrap, sql }
    }

    #[test]
    fn a_grantor_has_the_admin_option_first() {
        let grants = vec![
            grant("a", "x", "y", false),
            grant("a", "y", "z", true),
            grant("a", "z", "postgres", true),
            grant("b", "x", "gone", false),
        ];
        assert_eq!(in_order(grants), "a>z a>y a>x b>x ");
    }
}
