//! Casts, transforms and encoding conversions.

use crate::engine::postgres::order::Kind;
use crate::engine::postgres::quote::{ident, literal};
use crate::error::Result;

use super::draft::{Draft, Named};
use super::reader::{FIRST_USER_OID, Reader, class};

pub(super) async fn read(reader: &mut Reader<'_>) -> Result<()> {
    read_casts(reader).await?;
    read_transforms(reader).await?;
    read_conversions(reader).await
}

async fn read_casts(reader: &mut Reader<'_>) -> Result<()> {
    // Casts from ranges to their multiranges come with the types.
    let sql = format!(
        "SELECT c.oid, format_type(c.castsource, NULL) AS source, format_type(c.casttarget, NULL) AS target, \
         c.castcontext, c.castmethod, c.castfunc::regprocedure, s.typname || ' ' || t.typname AS name \
         FROM pg_catalog.pg_cast c JOIN pg_catalog.pg_type s ON s.oid = c.castsource \
         JOIN pg_catalog.pg_type t ON t.oid = c.casttarget WHERE c.oid >= {FIRST_USER_OID} \
         AND NOT EXISTS (SELECT FROM pg_catalog.pg_range r \
             WHERE r.rngtypid = c.castsource AND r.rngmultitypid = c.casttarget) ORDER BY c.oid"
    );
    for row in reader.query(&sql).await? {
        let oid = row.oid("oid")?;
        if reader.is_member(class::CAST, oid) {
            continue;
        }
        let types = format!("({} AS {})", row.text("source")?, row.text("target")?);
        let named = Named { kind: "CAST", schema: None, name: &types, owner: "" };
        let method = match row.char("castmethod")? {
            'f' => format!("WITH FUNCTION {}", row.text("castfunc")?),
            'i' => "WITH INOUT".to_owned(),
            _ => "WITHOUT FUNCTION".to_owned(),
        };
        let context = match row.char("castcontext")? {
            'a' => " AS ASSIGNMENT",
            'i' => " AS IMPLICIT",
            _ => "",
        };
        let draft = Draft::new("CAST", None, format!("CAST {types}"), "")
            .sql(format!("CREATE CAST {types} {method}{context};\n"), format!("DROP CAST {types};\n"))
            .with(reader.remarks(class::CAST, oid, named));
        let node = reader.add_whole(class::CAST, oid, Kind::Cast, &row.text("name")?, draft);
        reader.nodes[node].detail = types;
    }
    Ok(())
}

async fn read_transforms(reader: &mut Reader<'_>) -> Result<()> {
    let sql = format!(
        "SELECT t.oid, format_type(t.trftype, NULL) AS type, l.lanname, \
         NULLIF(t.trffromsql, 0)::regprocedure AS fromsql, NULLIF(t.trftosql, 0)::regprocedure AS tosql \
         FROM pg_catalog.pg_transform t JOIN pg_catalog.pg_language l ON l.oid = t.trflang \
         WHERE t.oid >= {FIRST_USER_OID} ORDER BY t.oid"
    );
    for row in reader.query(&sql).await? {
        let oid = row.oid("oid")?;
        if reader.is_member(class::TRANSFORM, oid) {
            continue;
        }
        let name = format!("FOR {} LANGUAGE {}", row.text("type")?, ident(&row.text("lanname")?));
        let named = Named { kind: "TRANSFORM", schema: None, name: &name, owner: "" };
        let from = row.opt("fromsql")?.map(|f| format!("FROM SQL WITH FUNCTION {f}"));
        let to = row.opt("tosql")?.map(|f| format!("TO SQL WITH FUNCTION {f}"));
        let parts: Vec<String> = from.into_iter().chain(to).collect();
        let draft = Draft::new("TRANSFORM", None, format!("TRANSFORM {name}"), "")
            .sql(format!("CREATE TRANSFORM {name} ({});\n", parts.join(", ")), format!("DROP TRANSFORM {name};\n"))
            .with(reader.remarks(class::TRANSFORM, oid, named));
        reader.add_whole(class::TRANSFORM, oid, Kind::Transform, &name, draft);
    }
    Ok(())
}

async fn read_conversions(reader: &mut Reader<'_>) -> Result<()> {
    let sql = format!(
        "SELECT oid, conname, connamespace, conowner, condefault, conproc::regproc, \
         pg_encoding_to_char(conforencoding) AS source, pg_encoding_to_char(contoencoding) AS target \
         FROM pg_catalog.pg_conversion WHERE {} ORDER BY oid",
        reader.in_dumped_schemas("connamespace")
    );
    for row in reader.query(&sql).await? {
        let (oid, name) = (row.oid("oid")?, row.text("conname")?);
        if reader.is_member(class::CONVERSION, oid) {
            continue;
        }
        let (schema, owner) = (reader.schema(row.oid("connamespace")?), reader.owner(&row, "conowner")?);
        let quoted = ident(&name);
        let named = Named { kind: "CONVERSION", schema: Some(&schema), name: &quoted, owner: &owner };
        let path = named.path();
        let defn = format!(
            "CREATE {}CONVERSION {path} FOR {} TO {} FROM {};\n",
            if row.flag("condefault")? { "DEFAULT " } else { "" },
            literal(&row.text("source")?),
            literal(&row.text("target")?),
            row.text("conproc")?
        );
        let draft = Draft::new("CONVERSION", Some(&schema), &name, &owner)
            .sql(defn, format!("DROP CONVERSION {path};\n"))
            .with(reader.remarks(class::CONVERSION, oid, named));
        reader.add_whole(class::CONVERSION, oid, Kind::Conversion, &name, draft);
    }
    Ok(())
}
