//! Where a restore goes: into a database of its own that is renamed at the end, or into the one that is there.

use sqlx::postgres::PgConnection;

use crate::engine::{RestoreOptions, shortened};
use crate::error::{Code, Error, Result};
use crate::id::random_hex;

use super::connect::{Role, Server, query, query_one};
use super::database::{NAME_BYTES, Options, maintenance};
use super::promote;

/// Where a restore goes.
#[derive(Debug)]
pub(super) enum Place {
    /// Into a new database, which takes the target's name when all is done. Nobody sees half of it.
    Staging { name: String, replaces: Option<Replaced> },
    /// Into the target itself.
    Direct,
}

/// An empty database that gives way to the restored one, and how it was created.
pub(super) struct Replaced(pub(super) Options);

impl std::fmt::Debug for Replaced {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Replaced")
    }
}

impl Place {
    /// Looks at the target and decides; changes nothing.
    ///
    /// # Errors
    /// `TargetNotEmpty` unless it may be overwritten; `DatabaseDenied` if the target does not exist and cannot be
    /// created; `TargetInUse` if it is to give way and cannot.
    pub(super) async fn find(server: &Server, options: &RestoreOptions) -> Result<Self> {
        if options.promote {
            promote::check(server).await?;
            return Self::staging(server, None);
        }
        let mut conn = match server.connect(Role::Catalog).await {
            Ok(conn) => conn,
            Err(e) if e.code() == Code::DatabaseNotFound => {
                let mut conn = maintenance(server).await?;
                if !may_create(&mut conn).await? {
                    let message = format!("{server} does not exist, and role {} may not create it", server.username());
                    return Err(Error::new(Code::DatabaseDenied, message)
                        .next("create the database, or grant the role CREATEDB"));
                }
                return Self::staging(server, None);
            }
            Err(e) => return Err(e),
        };
        if let Some(contents) = contents(&mut conn).await? {
            if options.overwrite {
                return Ok(Self::Direct);
            }
            return Err(Error::new(Code::TargetNotEmpty, format!("{server} is not empty: it holds {contents}"))
                .next("restore into a new database, or say that what is there may be overwritten"));
        }
        // The empty database can give way only if nothing that was set up for it is lost with it.
        let replaceable = !matches!(server.database(), "postgres" | "template1")
            && may_create(&mut conn).await?
            && is_plain(&mut conn).await?
            && maintenance(server).await.is_ok();
        if replaceable {
            let options = Options::read(&mut conn).await?;
            return Self::staging(server, Some(Replaced(options)));
        }
        Ok(Self::Direct)
    }

    fn staging(server: &Server, replaces: Option<Replaced>) -> Result<Self> {
        let suffix = format!("_restoring_{}", random_hex::<4>()?);
        Ok(Self::Staging { name: shortened(server.database(), &suffix, NAME_BYTES), replaces })
    }
}

pub(super) async fn may_create(conn: &mut PgConnection) -> Result<bool> {
    let sql = "SELECT rolsuper OR rolcreatedb FROM pg_catalog.pg_roles WHERE rolname = current_user";
    Ok(query_one(conn, sql, "reading the role's privileges").await?.as_deref() == Some("t"))
}

/// What the database holds, if anything: objects that neither the server nor an extension brought.
pub(super) async fn contents(conn: &mut PgConnection) -> Result<Option<String>> {
    let sql = "WITH schemas AS ( \
           SELECT oid, nspname FROM pg_catalog.pg_namespace \
           WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'), \
         objects AS ( \
           SELECT 1259::pg_catalog.oid AS class, c.oid, n.nspname || '.' || c.relname AS name \
           FROM pg_catalog.pg_class c JOIN schemas n ON n.oid = c.relnamespace \
           WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'c') \
           UNION ALL SELECT 1255, p.oid, n.nspname || '.' || p.proname || '()' \
           FROM pg_catalog.pg_proc p JOIN schemas n ON n.oid = p.pronamespace \
           UNION ALL SELECT 1247, t.oid, n.nspname || '.' || t.typname \
           FROM pg_catalog.pg_type t JOIN schemas n ON n.oid = t.typnamespace WHERE t.typtype IN ('d', 'e', 'r') \
           UNION ALL SELECT 2615, n.oid, 'schema ' || n.nspname FROM schemas n WHERE n.nspname <> 'public' \
           UNION ALL SELECT 2613, l.oid, 'large object ' || l.oid FROM pg_catalog.pg_largeobject_metadata l) \
         SELECT pg_catalog.count(*), (pg_catalog.array_agg(o.name ORDER BY o.class, o.name))[1] FROM objects o \
         WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_depend d \
           WHERE d.classid = o.class AND d.objid = o.oid AND d.deptype = 'e')";
    let row = query(conn, sql, "looking for objects").await?.into_iter().next().unwrap_or_default();
    let [count, first] = row.as_slice() else { return Ok(None) };
    Ok(match count.as_deref() {
        None | Some("0") => None,
        Some("1") => first.clone(),
        Some(count) => Some(format!("{count} objects, {} among them", first.as_deref().unwrap_or_default())),
    })
}

/// Whether the database is as CREATE DATABASE leaves it, ours to drop, and used by nobody else.
async fn is_plain(conn: &mut PgConnection) -> Result<bool> {
    let sql = "SELECT pg_catalog.pg_has_role(d.datdba, 'USAGE') AND d.datacl IS NULL AND d.datconnlimit = -1 \
         AND d.dattablespace = t.dattablespace \
         AND pg_catalog.shobj_description(d.oid, 'pg_database') IS NULL \
         AND NOT EXISTS (SELECT FROM pg_catalog.pg_db_role_setting s WHERE s.setdatabase = d.oid) \
         AND NOT EXISTS (SELECT FROM pg_catalog.pg_extension WHERE oid >= 16384) \
         AND NOT EXISTS (SELECT FROM pg_catalog.pg_default_acl) \
         AND NOT EXISTS (SELECT FROM pg_catalog.pg_subscription s WHERE s.subdbid = d.oid) \
         AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity a \
             WHERE a.datid = d.oid AND a.pid <> pg_catalog.pg_backend_pid() AND a.backend_type = 'client backend') \
         AND EXISTS (SELECT FROM pg_catalog.pg_namespace n LEFT JOIN pg_catalog.pg_init_privs i \
             ON i.objoid = n.oid AND i.classoid = 2615 AND i.objsubid = 0 WHERE n.nspname = 'public' \
             AND n.nspacl::pg_catalog.text IS NOT DISTINCT FROM i.initprivs::pg_catalog.text) \
         FROM pg_catalog.pg_database d, pg_catalog.pg_database t \
         WHERE d.datname = pg_catalog.current_database() AND t.datname = 'template0'";
    Ok(query_one(conn, sql, "reading the database's settings").await?.as_deref() == Some("t"))
}
