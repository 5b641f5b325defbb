//! A dump directory as the one script that old runbooks know.

use bytes::Bytes;

use crate::engine::stock::{OneFile, Piece};
use crate::error::{Code, Error, Result};

use super::catalog::{self, Catalog, Kind, Object};
use super::files::{HEAD, definition, placeholder};
use super::program::{RESET, settings};
use super::quote::ident;

/// The script: tables with their rows, then routines, views, triggers and events. It names no database.
///
/// # Errors
/// `Damaged` when the catalog is.
pub(super) fn one_file(schema: &[(String, Bytes)]) -> Result<OneFile> {
    let file = schema.iter().find(|(name, _)| name == catalog::FILE);
    let (_, bytes) = file.ok_or_else(|| {
        Error::new(Code::Damaged, format!("{} is missing in the dump", catalog::FILE)).next("use another backup")
    })?;
    let catalog = Catalog::decode(bytes)?;
    // Between remarks as those of the stock tools, by which a reader knows that it is whole.
    let head = format!("-- MySQL dump of {}, {}\n{HEAD}", one_line(&catalog.database), one_line(&catalog.server));
    let mut pieces = Vec::new();
    for object in catalog.of(Kind::Sequence).chain(catalog.of(Kind::Table)) {
        pieces.push(Piece::Bytes(definition(object).into_bytes()));
        pieces.extend(object.files.iter().cloned().map(Piece::File));
    }
    let mut rest = String::new();
    // Views refer to each other in any order: first each is there with its columns.
    catalog.of(Kind::View).for_each(|view| rest += &placeholder(view));
    for kind in [Kind::Function, Kind::Procedure, Kind::Package, Kind::PackageBody] {
        catalog.of(kind).for_each(|object| rest += &program(object));
    }
    for view in catalog.of(Kind::View) {
        rest += &format!("DROP TABLE IF EXISTS {};\n{}", ident(&view.name), program(view));
    }
    for kind in [Kind::Trigger, Kind::Event] {
        catalog.of(kind).for_each(|object| rest += &program(object));
    }
    rest += "-- Dump completed\n";
    pieces.push(Piece::Bytes(rest.into_bytes()));
    Ok(OneFile { head: head.into_bytes(), pieces, chunk: |_| Ok(Vec::new()) })
}

/// An object's statements for the stock clients, which end a statement where they were told to.
fn program(object: &Object) -> String {
    // A body that holds the delimiter would be cut at it.
    let delimiter = (0..).map(|n| format!("{};;", "~".repeat(n))).find(|d| !object.sql.contains(d.as_str()));
    let delimiter = delimiter.unwrap_or_default();
    let set = settings(object).iter().map(|statement| format!("{statement};\n")).collect::<String>();
    let reset = RESET.map(|statement| format!("{statement};\n")).concat();
    format!("{set}DELIMITER {delimiter}\n{}{delimiter}\nDELIMITER ;\n{reset}", object.sql)
}

fn one_line(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}
