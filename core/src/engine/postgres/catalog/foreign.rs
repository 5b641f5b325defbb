//! Foreign-data wrappers, servers and user mappings. Foreign tables are with the tables.

use crate::engine::postgres::order::Kind;
use crate::engine::postgres::quote::{ident, literal};
use crate::error::Result;
use crate::report::Warning;

use super::acl::Class;
use super::draft::{Draft, Named};
use super::reader::{FIRST_USER_OID, Reader, class};

/// A list of options in the form that OPTIONS takes.
fn options(column: &str) -> String {
    format!(
        "ARRAY(SELECT quote_ident(option_name) || ' ' || quote_literal(option_value) \
         FROM pg_options_to_table({column}) ORDER BY option_name)"
    )
}

/// ` OPTIONS (…)`, if there are any.
fn clause(options: &[String]) -> String {
    if options.is_empty() { String::new() } else { format!(" OPTIONS (\n    {}\n)", options.join(",\n    ")) }
}

pub(super) async fn read(reader: &mut Reader<'_>) -> Result<()> {
    read_wrappers(reader).await?;
    read_servers(reader).await?;
    read_mappings(reader).await
}

async fn read_wrappers(reader: &mut Reader<'_>) -> Result<()> {
    let sql = format!(
        "SELECT oid, fdwname, fdwowner, fdwhandler::regproc, fdwvalidator::regproc, {} AS options, fdwacl AS acl, \
         acldefault('F', fdwowner) AS acldefault FROM pg_catalog.pg_foreign_data_wrapper \
         WHERE oid >= {FIRST_USER_OID} ORDER BY oid",
        options("fdwoptions")
    );
    for row in reader.query(&sql).await? {
        let (oid, name) = (row.oid("oid")?, row.text("fdwname")?);
        if reader.is_member(class::FOREIGN_DATA_WRAPPER, oid) {
            continue;
        }
        let owner = reader.owner(&row, "fdwowner")?;
        let quoted = ident(&name);
        let named = Named { kind: "FOREIGN DATA WRAPPER", schema: None, name: &quoted, owner: &owner };
        let mut defn = format!("CREATE FOREIGN DATA WRAPPER {quoted}");
        for (word, column) in [("HANDLER", "fdwhandler"), ("VALIDATOR", "fdwvalidator")] {
            let function = row.text(column)?;
            if function != "-" {
                defn.push_str(&format!(" {word} {function}"));
            }
        }
        defn.push_str(&clause(&row.list("options")?));
        let mut extras = reader.remarks(class::FOREIGN_DATA_WRAPPER, oid, named);
        extras.extend(reader.privileges(&row, class::FOREIGN_DATA_WRAPPER, oid, Class::Usage, named)?);
        let draft = Draft::new("FOREIGN DATA WRAPPER", None, &name, &owner)
            .sql(defn + ";\n", format!("DROP FOREIGN DATA WRAPPER {quoted};\n"))
            .with(extras);
        reader.add_whole(class::FOREIGN_DATA_WRAPPER, oid, Kind::ForeignDataWrapper, &name, draft);
    }
    Ok(())
}

async fn read_servers(reader: &mut Reader<'_>) -> Result<()> {
    let sql = format!(
        "SELECT s.oid, s.srvname, s.srvowner, s.srvtype, s.srvversion, w.fdwname, {} AS options, s.srvacl AS acl, \
         acldefault('S', s.srvowner) AS acldefault FROM pg_catalog.pg_foreign_server s \
         JOIN pg_catalog.pg_foreign_data_wrapper w ON w.oid = s.srvfdw ORDER BY s.oid",
        options("s.srvoptions")
    );
    for row in reader.query(&sql).await? {
        let (oid, name) = (row.oid("oid")?, row.text("srvname")?);
        if reader.is_member(class::FOREIGN_SERVER, oid) {
            continue;
        }
        let owner = reader.owner(&row, "srvowner")?;
        let quoted = ident(&name);
        let named = Named { kind: "SERVER", schema: None, name: &quoted, owner: &owner };
        let mut defn = format!("CREATE SERVER {quoted}");
        for (word, column) in [("TYPE", "srvtype"), ("VERSION", "srvversion")] {
            if let Some(value) = row.opt(column)?.filter(|v| !v.is_empty()) {
                defn.push_str(&format!(" {word} {}", literal(value)));
            }
        }
        defn.push_str(&format!(" FOREIGN DATA WRAPPER {}", ident(&row.text("fdwname")?)));
        defn.push_str(&clause(&row.list("options")?));
        let mut extras = reader.remarks(class::FOREIGN_SERVER, oid, named);
        let as_granted = Named { kind: "FOREIGN SERVER", ..named };
        extras.extend(reader.privileges(&row, class::FOREIGN_SERVER, oid, Class::Usage, as_granted)?);
        let draft = Draft::new("SERVER", None, &name, &owner)
            .sql(defn + ";\n", format!("DROP SERVER {quoted};\n"))
            .with(extras);
        reader.add_whole(class::FOREIGN_SERVER, oid, Kind::ForeignServer, &name, draft);
    }
    Ok(())
}

async fn read_mappings(reader: &mut Reader<'_>) -> Result<()> {
    // The view, because the catalog is closed to all but superusers; it hides options that are not one's own.
    let sql = format!(
        "SELECT m.umid, m.srvid, m.srvname, m.umuser, m.usename, s.srvowner, {} AS options, \
         m.umoptions IS NULL AND NOT r.rolsuper AS hidden FROM pg_catalog.pg_user_mappings m \
         JOIN pg_catalog.pg_foreign_server s ON s.oid = m.srvid \
         JOIN pg_catalog.pg_roles r ON r.rolname = current_user ORDER BY m.umid",
        options("m.umoptions")
    );
    for row in reader.query(&sql).await? {
        let (oid, user, server) = (row.oid("umid")?, row.text("usename")?, row.text("srvname")?);
        if reader.is_member(class::USER_MAPPING, oid) {
            continue;
        }
        let owner = reader.owner(&row, "srvowner")?;
        let role = if row.oid("umuser")? == 0 { "PUBLIC".to_owned() } else { ident(&user) };
        let mapping = format!("USER MAPPING FOR {role} SERVER {}", ident(&server));
        if row.flag("hidden")? {
            let message = format!("{mapping}: its options, if it has any, are not to be seen by this role");
            reader.warnings.push(Warning::new("hidden_options", message));
        }
        let draft = Draft::new("USER MAPPING", None, format!("USER MAPPING {user} SERVER {server}"), &owner)
            .sql(format!("CREATE {mapping}{};\n", clause(&row.list("options")?)), format!("DROP {mapping};\n"));
        let node = reader.add_whole(class::USER_MAPPING, oid, Kind::UserMapping, &server, draft);
        reader.nodes[node].detail = user;
        reader.need_object(node, class::FOREIGN_SERVER, row.oid("srvid")?);
    }
    Ok(())
}
