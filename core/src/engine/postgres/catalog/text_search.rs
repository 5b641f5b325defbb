//! Text search: parsers, templates, dictionaries and configurations.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::engine::postgres::order::Kind;
use crate::engine::postgres::quote::ident;
use crate::error::Result;

use super::draft::{Draft, Named};
use super::reader::{Reader, class};
use super::row::Row;

pub(super) async fn read(reader: &mut Reader<'_>) -> Result<()> {
    let sql = format!(
        "SELECT oid, prsname AS name, prsnamespace AS namespace, prsstart::regproc, prstoken::regproc, \
         prsend::regproc, prsheadline::regproc, prslextype::regproc \
         FROM pg_catalog.pg_ts_parser WHERE {} ORDER BY oid",
        reader.in_dumped_schemas("prsnamespace")
    );
    for row in reader.query(&sql).await? {
        let functions = [
            ("START", "prsstart"),
            ("GETTOKEN", "prstoken"),
            ("END", "prsend"),
            ("HEADLINE", "prsheadline"),
            ("LEXTYPES", "prslextype"),
        ];
        let parts = functions_of(&row, &functions)?;
        let kind = ("TEXT SEARCH PARSER", Kind::TextSearchParser);
        add(reader, class::TS_PARSER, kind, &row, "", &parts, |_| String::new())?;
    }
    let sql = format!(
        "SELECT oid, tmplname AS name, tmplnamespace AS namespace, tmplinit::regproc, tmpllexize::regproc \
         FROM pg_catalog.pg_ts_template WHERE {} ORDER BY oid",
        reader.in_dumped_schemas("tmplnamespace")
    );
    for row in reader.query(&sql).await? {
        let parts = functions_of(&row, &[("INIT", "tmplinit"), ("LEXIZE", "tmpllexize")])?;
        let kind = ("TEXT SEARCH TEMPLATE", Kind::TextSearchTemplate);
        add(reader, class::TS_TEMPLATE, kind, &row, "", &parts, |_| String::new())?;
    }
    let sql = format!(
        "SELECT d.oid, d.dictname AS name, d.dictnamespace AS namespace, d.dictowner AS owner, d.dictinitoption, \
         quote_ident(n.nspname) || '.' || quote_ident(t.tmplname) AS template FROM pg_catalog.pg_ts_dict d \
         JOIN pg_catalog.pg_ts_template t ON t.oid = d.dicttemplate \
         JOIN pg_catalog.pg_namespace n ON n.oid = t.tmplnamespace WHERE {} ORDER BY d.oid",
        reader.in_dumped_schemas("d.dictnamespace")
    );
    for row in reader.query(&sql).await? {
        let owner = reader.owner(&row, "owner")?;
        let mut parts = vec![format!("TEMPLATE = {}", row.text("template")?)];
        // The server keeps the options as they were written.
        parts.extend(row.opt_text("dictinitoption")?);
        let kind = ("TEXT SEARCH DICTIONARY", Kind::TextSearchDictionary);
        add(reader, class::TS_DICT, kind, &row, &owner, &parts, |_| String::new())?;
    }
    read_configurations(reader).await
}

async fn read_configurations(reader: &mut Reader<'_>) -> Result<()> {
    let sql = format!(
        "SELECT m.mapcfg, t.alias, string_agg(m.mapdict::regdictionary::text, ', ' ORDER BY m.mapseqno) AS dictionaries \
         FROM pg_catalog.pg_ts_config_map m JOIN pg_catalog.pg_ts_config c ON c.oid = m.mapcfg, \
         LATERAL ts_token_type(c.cfgparser) t WHERE t.tokid = m.maptokentype AND {} \
         GROUP BY m.mapcfg, m.maptokentype, t.alias ORDER BY m.mapcfg, m.maptokentype",
        reader.in_dumped_schemas("c.cfgnamespace")
    );
    let mut mappings: HashMap<u32, Vec<(String, String)>> = HashMap::new();
    for row in reader.query(&sql).await? {
        let mapping = (row.text("alias")?, row.text("dictionaries")?);
        mappings.entry(row.oid("mapcfg")?).or_default().push(mapping);
    }
    let sql = format!(
        "SELECT c.oid, c.cfgname AS name, c.cfgnamespace AS namespace, c.cfgowner AS owner, \
         quote_ident(n.nspname) || '.' || quote_ident(p.prsname) AS parser FROM pg_catalog.pg_ts_config c \
         JOIN pg_catalog.pg_ts_parser p ON p.oid = c.cfgparser \
         JOIN pg_catalog.pg_namespace n ON n.oid = p.prsnamespace WHERE {} ORDER BY c.oid",
        reader.in_dumped_schemas("c.cfgnamespace")
    );
    for row in reader.query(&sql).await? {
        let owner = reader.owner(&row, "owner")?;
        let mappings = mappings.remove(&row.oid("oid")?).unwrap_or_default();
        let parts = [format!("PARSER = {}", row.text("parser")?)];
        let kind = ("TEXT SEARCH CONFIGURATION", Kind::TextSearchConfiguration);
        add(reader, class::TS_CONFIG, kind, &row, &owner, &parts, |path| {
            let mut sql = String::new();
            for (token, dictionaries) in mappings {
                let token = ident(&token);
                let _ = writeln!(
                    sql,
                    "\nALTER TEXT SEARCH CONFIGURATION {path}\n    ADD MAPPING FOR {token} WITH {dictionaries};"
                );
            }
            sql
        })?;
    }
    Ok(())
}

fn functions_of(row: &Row, functions: &[(&str, &str)]) -> Result<Vec<String>> {
    let mut parts = Vec::new();
    for (name, column) in functions {
        let function = row.text(column)?;
        if function != "-" {
            parts.push(format!("{name} = {function}"));
        }
    }
    Ok(parts)
}

/// Adds one of the four; `more` makes further statements from its name.
fn add(
    reader: &mut Reader<'_>,
    catalog: u32,
    (desc, kind): (&'static str, Kind),
    row: &Row,
    owner: &str,
    parts: &[String],
    more: impl FnOnce(&str) -> String,
) -> Result<()> {
    let (oid, name) = (row.oid("oid")?, row.text("name")?);
    if reader.is_member(catalog, oid) {
        return Ok(());
    }
    let schema = reader.schema(row.oid("namespace")?);
    let quoted = ident(&name);
    let named = Named { kind: desc, schema: Some(&schema), name: &quoted, owner };
    let path = named.path();
    let draft = Draft::new(desc, Some(&schema), &name, owner)
        .sql(
            format!("CREATE {desc} {path} (\n    {} );\n{}", parts.join(",\n    "), more(&path)),
            format!("DROP {desc} {path};\n"),
        )
        .with(reader.remarks(catalog, oid, named));
    reader.add_whole(catalog, oid, kind, &name, draft);
    Ok(())
}
