//! The database itself: how it was created, its settings, comment and privileges.

use crate::engine::postgres::quote::{ident, literal};
use crate::error::Result;

use super::acl::Class;
use super::draft::{Draft, Named};
use super::reader::{Reader, class};

/// Reads the entries that `pg_restore --create` begins with. A restore into a database that exists does without them.
pub(super) async fn read(reader: &mut Reader<'_>) -> Result<Vec<Draft>> {
    let (locale, rules) = match reader.major {
        ..=15 => ("daticulocale", "NULL"),
        16 => ("daticulocale", "daticurules"),
        _ => ("datlocale", "daticurules"),
    };
    let sql = format!(
        "SELECT d.oid, d.datname, d.datdba, pg_encoding_to_char(d.encoding) AS encoding, d.datlocprovider, \
         d.datcollate, d.datctype, d.{locale} AS locale, {rules} AS rules, d.datistemplate, d.datconnlimit, \
         t.spcname, shobj_description(d.oid, 'pg_database') AS comment, \
         d.datacl AS acl, acldefault('d', d.datdba) AS acldefault FROM pg_catalog.pg_database d \
         JOIN pg_catalog.pg_tablespace t ON t.oid = d.dattablespace WHERE d.datname = current_database()"
    );
    let labels = "SELECT provider, label FROM pg_catalog.pg_shseclabel l JOIN pg_catalog.pg_database d \
         ON l.classoid = d.tableoid AND l.objoid = d.oid WHERE d.datname = current_database() ORDER BY provider";
    let labels = reader.query(labels).await?;
    let mut drafts = Vec::new();
    for row in reader.query(&sql).await? {
        let (oid, name, owner) = (row.oid("oid")?, row.text("datname")?, reader.owner(&row, "datdba")?);
        let quoted = ident(&name);
        let named = Named { kind: "DATABASE", schema: None, name: &quoted, owner: &owner };
        let (provider, locale_word) = match row.char("datlocprovider")? {
            'i' => ("icu", "ICU_LOCALE"),
            'b' => ("builtin", "BUILTIN_LOCALE"),
            _ => ("libc", ""),
        };
        let mut defn = format!(
            "CREATE DATABASE {quoted} WITH TEMPLATE = template0 ENCODING = {} LOCALE_PROVIDER = {provider}",
            literal(&row.text("encoding")?)
        );
        let (collate, ctype) = (literal(&row.text("datcollate")?), literal(&row.text("datctype")?));
        if collate == ctype {
            defn.push_str(&format!(" LOCALE = {collate}"));
        } else {
            defn.push_str(&format!(" LC_COLLATE = {collate} LC_CTYPE = {ctype}"));
        }
        if let Some(locale) = row.opt("locale")? {
            defn.push_str(&format!(" {locale_word} = {}", literal(locale)));
        }
        if let Some(rules) = row.opt("rules")? {
            defn.push_str(&format!(" ICU_RULES = {}", literal(rules)));
        }
        let tablespace = row.text("spcname")?;
        if tablespace != "pg_default" {
            defn.push_str(&format!(" TABLESPACE = {}", ident(&tablespace)));
        }
        let mut extras: Vec<_> = row.opt("comment")?.map(|text| named.comment(text)).into_iter().collect();
        for label in &labels {
            extras.push(named.label(&label.text("provider")?, &label.text("label")?));
        }
        extras.extend(reader.privileges(&row, class::DATABASE, oid, Class::Database, named)?);
        let draft = Draft::new("DATABASE", None, &name, &owner)
            .sql(defn + ";\n", format!("DROP DATABASE {quoted};\n"))
            .found_in(class::DATABASE, oid);
        drafts.push(draft.with(extras));
        let mut properties = String::new();
        let limit: i32 = row.number("datconnlimit")?;
        if limit != -1 {
            properties.push_str(&format!("ALTER DATABASE {quoted} CONNECTION LIMIT = {limit};\n"));
        }
        if row.flag("datistemplate")? {
            properties.push_str(&format!("ALTER DATABASE {quoted} IS_TEMPLATE = true;\n"));
        }
        properties.push_str(&settings(reader, oid, &quoted).await?);
        if !properties.is_empty() {
            drafts.push(Draft::new("DATABASE PROPERTIES", None, &name, &owner).sql(properties, ""));
        }
    }
    Ok(drafts)
}

/// `ALTER DATABASE … SET` and `ALTER ROLE … IN DATABASE … SET`.
async fn settings(reader: &mut Reader<'_>, database: u32, quoted: &str) -> Result<String> {
    let sql = format!(
        "SELECT setrole, setconfig FROM pg_catalog.pg_db_role_setting WHERE setdatabase = {database} ORDER BY setrole"
    );
    let mut statements = String::new();
    for row in reader.query(&sql).await? {
        let whose = match row.oid("setrole")? {
            0 => format!("DATABASE {quoted}"),
            _ => format!("ROLE {} IN DATABASE {quoted}", ident(&reader.owner(&row, "setrole")?)),
        };
        for setting in row.list("setconfig")? {
            if let Some((name, value)) = setting.split_once('=') {
                statements.push_str(&format!("ALTER {whose} SET {} TO {};\n", ident(name), value_of(name, value)));
            }
        }
    }
    Ok(statements)
}

/// A setting's value as SET takes it: lists of names are kept quoted, and have to be given name by name.
pub(super) fn value_of(name: &str, value: &str) -> String {
    const LISTS: &[&str] = &[
        "local_preload_libraries",
        "search_path",
        "session_preload_libraries",
        "shared_preload_libraries",
        "temp_tablespaces",
        "unix_socket_directories",
    ];
    if !LISTS.contains(&name.to_ascii_lowercase().as_str()) {
        return literal(value);
    }
    let mut names = vec![String::new()];
    let mut quoted = false;
    let mut chars = value.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, names.last_mut()) {
            ('"', Some(name)) if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                name.push('"');
            }
            ('"', _) => quoted = !quoted,
            (',', _) if !quoted => names.push(String::new()),
            (' ', _) if !quoted => {}
            (c, Some(name)) => name.push(c),
            (_, None) => {}
        }
    }
    names.iter().map(|n| literal(n)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::value_of;

    #[test]
    fn lists_of_names_are_given_name_by_name() {
        assert_eq!(value_of("search_path", r#""$user", public, "A, ""b""", """#), r#"'$user', 'public', 'A, "b"', ''"#);
        assert_eq!(value_of("Search_Path", "a"), "'a'");
        assert_eq!(value_of("work_mem", "it's, 1MB"), "'it''s, 1MB'");
    }
}
