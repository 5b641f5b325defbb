//! What the role may not read of what a dump needs, found out before anything is read.

use sqlx::postgres::PgConnection;

use crate::engine::some_of;
use crate::error::{Code, Error, Result};

use super::connect::{query, query_one};
use super::quote::{ident, qualified};

/// Names that one message gives; of more, the number is told.
const NAMED: usize = 100;

/// What is closed to the role, by name, and the tables whose rows a policy may hide from it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Closed {
    role: String,
    schemas: Vec<String>,
    tables: Vec<String>,
    sequences: Vec<String>,
    large_objects: Vec<String>,
    hidden: Vec<String>,
}

impl Closed {
    /// Asks for everything at once; takes no lock.
    pub(super) async fn read(conn: &mut PgConnection) -> Result<Self> {
        let doing = "asking for the role's privileges";
        let version = conn.server_version_num().unwrap_or(0);
        let large_object = if version >= 18_00_00 {
            "pg_catalog.has_largeobject_privilege(l.oid, 'SELECT')"
        } else {
            // There is no function for it: owners, grantees, and everybody where access is not checked at all.
            "pg_catalog.pg_has_role(l.lomowner, 'USAGE') \
             OR pg_catalog.current_setting('lo_compat_privileges')::pg_catalog.bool \
             OR EXISTS (SELECT FROM pg_catalog.aclexplode(l.lomacl) a WHERE a.privilege_type = 'SELECT' \
                 AND (a.grantee = 0 OR pg_catalog.pg_has_role(a.grantee, 'USAGE')))"
        };
        let sql = format!(
            "WITH rel AS (SELECT c.oid, c.relkind, n.nspname, c.relname, n.oid AS schema FROM pg_catalog.pg_class c \
               JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
               WHERE c.relkind IN ('r', 'p', 'S') AND c.relpersistence <> 't' \
               AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' \
               AND (NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = c.tableoid AND d.objid = c.oid \
                      AND d.deptype = 'e') \
                    OR EXISTS (SELECT FROM pg_catalog.pg_extension e WHERE c.oid = ANY (e.extconfig)))) \
             SELECT 'n', nspname, NULL FROM pg_catalog.pg_namespace n WHERE n.oid IN (SELECT schema FROM rel) \
               AND NOT pg_catalog.has_schema_privilege(n.oid, 'USAGE') \
             UNION ALL SELECT 't', nspname, relname FROM rel \
               WHERE relkind IN ('r', 'p') AND NOT pg_catalog.has_table_privilege(oid, 'SELECT') \
             UNION ALL SELECT 's', nspname, relname FROM rel \
               WHERE relkind = 'S' AND NOT pg_catalog.has_table_privilege(oid, 'SELECT') \
             UNION ALL SELECT 'l', l.oid::pg_catalog.text, NULL FROM pg_catalog.pg_largeobject_metadata l \
               WHERE NOT ({large_object}) \
             UNION ALL SELECT 'h', nspname, relname FROM rel \
               WHERE relkind = 'r' AND pg_catalog.row_security_active(oid) ORDER BY 1, 2, 3"
        );
        let mut closed =
            Self { role: query_one(conn, "SELECT current_user", doing).await?.unwrap_or_default(), ..Self::default() };
        for row in query(conn, &sql, doing).await? {
            let text = |i: usize| row.get(i).and_then(Option::as_deref);
            let name = match (text(1), text(2)) {
                (Some(schema), Some(name)) => qualified(schema, name),
                (Some(name), None) => name.to_owned(),
                _ => continue,
            };
            match text(0) {
                Some("n") => closed.schemas.push(name),
                Some("t") => closed.tables.push(name),
                Some("s") => closed.sequences.push(name),
                Some("l") => closed.large_objects.push(name),
                _ => closed.hidden.push(name),
            }
        }
        Ok(closed)
    }

    /// Leaves out what does not concern these tables, which are named quoted and with their schemas.
    pub(super) fn only(&mut self, tables: &[String]) {
        for names in [&mut self.tables, &mut self.hidden] {
            names.retain(|name| tables.contains(name));
        }
        self.schemas.retain(|schema| tables.iter().any(|t| t.starts_with(&format!("{}.", ident(schema)))));
        // Which of these are wanted is known when the catalog was read, and that is soon.
        self.sequences.clear();
        self.large_objects.clear();
    }

    /// Fails with everything that is closed to the role, if there is any.
    ///
    /// # Errors
    /// `DatabaseDenied`; `RowSecurity`.
    pub(super) fn check(&self) -> Result<()> {
        self.denied().or_else(|| self.hidden()).map_or(Ok(()), Err)
    }

    /// What the role has no privilege to read.
    pub(super) fn denied(&self) -> Option<Error> {
        let kinds = [
            ("schema", &self.schemas),
            ("table", &self.tables),
            ("sequence", &self.sequences),
            ("large object", &self.large_objects),
        ];
        let parts: Vec<String> =
            kinds.iter().filter(|(_, names)| !names.is_empty()).map(|(kind, names)| listed(kind, names)).collect();
        if parts.is_empty() {
            return None;
        }
        let role = &self.role;
        let only_objects = self.schemas.is_empty() && self.tables.is_empty() && self.sequences.is_empty();
        let next = match (only_objects, self.large_objects.is_empty()) {
            (false, true) => format!("GRANT pg_read_all_data TO {role}, or connect as the owner"),
            (true, _) => format!("GRANT SELECT ON LARGE OBJECT … TO {role}, or connect as their owner or a superuser"),
            (false, false) => format!(
                "GRANT pg_read_all_data TO {role}; large objects are granted one by one (GRANT SELECT ON LARGE OBJECT …), or connect as their owner or a superuser"
            ),
        };
        Some(Error::new(Code::DatabaseDenied, format!("role {role} may not read {}", parts.join("; "))).next(next))
    }

    /// The tables whose rows row-level security may hide.
    pub(super) fn hidden(&self) -> Option<Error> {
        if self.hidden.is_empty() {
            return None;
        }
        let role = &self.role;
        let message = format!("row-level security may hide rows of {} from role {role}", listed("table", &self.hidden));
        Some(Error::new(Code::RowSecurity, message).next(format!(
            "ALTER ROLE {role} BYPASSRLS, or connect as the tables' owner (where row-level security is not forced on him); a policy that shows all rows is not enough, since nobody can check that it does"
        )))
    }
}

/// `2 tables (a, b)`.
fn listed(kind: &str, names: &[String]) -> String {
    let shown = some_of(names, NAMED);
    match names.len() {
        1 => format!("{kind} {shown}"),
        n => format!("{n} {kind}s ({shown})"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn all_that_is_closed_is_named_with_its_remedy() {
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let mut closed = Closed { role: "backup".into(), tables: names(&["public.a", "s.b"]), ..Closed::default() };
        closed.schemas = names(&["s"]);
        closed.large_objects = names(&["7"]);
        let e = closed.denied().unwrap();
        assert_eq!(e.message(), "role backup may not read schema s; 2 tables (public.a, s.b); large object 7");
        assert!(e.next_step().unwrap().starts_with("GRANT pg_read_all_data TO backup; large objects"), "{e}");
        assert!(closed.hidden().is_none());
        closed.hidden = (0..120).map(|i| format!("t{i}")).collect();
        let e = closed.hidden().unwrap();
        assert_eq!(e.code(), Code::RowSecurity);
        assert!(e.message().contains("120 tables (t0, ") && e.message().contains("and 20 more"), "{e}");
    }
}
