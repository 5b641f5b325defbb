//! Procedural languages and access methods: what functions in C add to the server.

use crate::engine::postgres::order::Kind;
use crate::engine::postgres::quote::ident;
use crate::error::Result;

use super::acl::Class;
use super::draft::{Draft, Named};
use super::reader::{FIRST_USER_OID, Reader, class};

pub(super) async fn read(reader: &mut Reader<'_>) -> Result<()> {
    read_languages(reader).await?;
    read_access_methods(reader).await
}

async fn read_languages(reader: &mut Reader<'_>) -> Result<()> {
    let sql = format!(
        "SELECT oid, lanname, lanowner, lanpltrusted, lanplcallfoid AS handler, laninline AS inline, \
         lanvalidator AS validator, lanplcallfoid::regproc AS handlername, laninline::regproc AS inlinename, \
         lanvalidator::regproc AS validatorname, lanacl AS acl, acldefault('l', lanowner) AS acldefault \
         FROM pg_catalog.pg_language WHERE lanispl AND oid >= {FIRST_USER_OID} ORDER BY oid"
    );
    for row in reader.query(&sql).await? {
        let (oid, name) = (row.oid("oid")?, row.text("lanname")?);
        if reader.is_member(class::LANGUAGE, oid) {
            continue;
        }
        let owner = reader.owner(&row, "lanowner")?;
        let quoted = ident(&name);
        let named = Named { kind: "LANGUAGE", schema: None, name: &quoted, owner: &owner };
        let trusted = row.flag("lanpltrusted")?;
        let mut defn = format!("CREATE {}PROCEDURAL LANGUAGE {quoted}", if trusted { "TRUSTED " } else { "" });
        let mut complete = true;
        for word in ["handler", "inline", "validator"] {
            let function = row.oid(word)?;
            if function != 0 {
                complete &= reader.find(class::PROC, function).is_some();
                let function = row.text(&format!("{word}name"))?;
                defn.push_str(&format!(" {} {function}", word.to_uppercase()));
            }
        }
        if !complete {
            // Its functions are the server's own: the server knows how to create the language.
            defn = format!("CREATE OR REPLACE PROCEDURAL LANGUAGE {quoted}");
        }
        let mut extras = reader.remarks(class::LANGUAGE, oid, named);
        if trusted {
            extras.extend(reader.privileges(&row, class::LANGUAGE, oid, Class::Usage, named)?);
        }
        let draft = Draft::new("PROCEDURAL LANGUAGE", None, &name, &owner)
            .sql(defn + ";\n", format!("DROP PROCEDURAL LANGUAGE {quoted};\n"))
            .with(extras);
        reader.add_whole(class::LANGUAGE, oid, Kind::Language, &name, draft);
    }
    Ok(())
}

async fn read_access_methods(reader: &mut Reader<'_>) -> Result<()> {
    let sql = format!(
        "SELECT oid, amname, amtype, amhandler::regproc FROM pg_catalog.pg_am WHERE oid >= {FIRST_USER_OID} ORDER BY oid"
    );
    for row in reader.query(&sql).await? {
        let (oid, name) = (row.oid("oid")?, row.text("amname")?);
        if reader.is_member(class::ACCESS_METHOD, oid) {
            continue;
        }
        let quoted = ident(&name);
        let named = Named { kind: "ACCESS METHOD", schema: None, name: &quoted, owner: "" };
        let of = if row.char("amtype")? == 't' { "TABLE" } else { "INDEX" };
        let defn = format!("CREATE ACCESS METHOD {quoted} TYPE {of} HANDLER {};\n", row.text("amhandler")?);
        let draft = Draft::new("ACCESS METHOD", None, &name, "")
            .sql(defn, format!("DROP ACCESS METHOD {quoted};\n"))
            .with(reader.remarks(class::ACCESS_METHOD, oid, named));
        reader.add_whole(class::ACCESS_METHOD, oid, Kind::AccessMethod, &name, draft);
    }
    Ok(())
}
