//! A dump directory as the one script that old runbooks know.

use bytes::Bytes;

use crate::engine::stock::{OneFile, Piece};
use crate::error::Result;

use super::catalog::{Catalog, Dump, Kind, Object};
use super::files::{HEAD, create_database, definition, placeholder};
use super::program::{RESET, settings};
use super::quote::ident;

/// The script: tables with their rows, then routines, views, triggers and events. It names the databases if they are
/// several.
///
/// # Errors
/// `Damaged` when the catalog is.
pub(super) fn one_file(schema: &[(String, Bytes)]) -> Result<OneFile> {
    let databases = Dump::of_files(schema)?.databases;
    let several = databases.len() != 1;
    let enter =
        |catalog: &Catalog| if several { format!("USE {};\n", ident(&catalog.database)) } else { String::new() };
    let names: Vec<&str> = databases.iter().map(|c| c.database.as_str()).collect();
    let server = databases.first().map_or("", |c| c.server.as_str());
    // Between remarks as those of the stock tools, by which a reader knows that it is whole.
    let head = format!("-- MySQL dump of {}, {}\n{HEAD}", one_line(&names.join(", ")), one_line(server));
    let mut pieces = Vec::new();
    let bytes = |text: String| Piece::Bytes(text.into_bytes());
    for catalog in databases.iter().filter(|_| several) {
        pieces.push(bytes(create_database(catalog, &catalog.database)));
    }
    for kind in [Kind::Sequence, Kind::Table] {
        for catalog in &databases {
            pieces.push(bytes(enter(catalog)));
            for object in catalog.of(kind) {
                // Rows change the settings.
                pieces.push(bytes(format!("{HEAD}{}", definition(object, &catalog.database))));
                pieces.extend(object.files.iter().cloned().map(Piece::File));
            }
        }
    }
    let mut rest = String::new();
    // Views refer to each other in any order: first each is there with its columns.
    for catalog in &databases {
        rest += &enter(catalog);
        catalog.of(Kind::View).for_each(|view| rest += &placeholder(view));
    }
    for kinds in [
        &[Kind::Function, Kind::Procedure, Kind::Package, Kind::PackageBody][..],
        &[Kind::View],
        &[Kind::Trigger],
        &[Kind::Event],
    ] {
        for catalog in &databases {
            rest += &enter(catalog);
            for object in kinds.iter().flat_map(|kind| catalog.of(*kind)) {
                if object.kind == Kind::View {
                    rest += &format!("DROP TABLE IF EXISTS {};\n", ident(&object.name));
                }
                rest += &program(object);
            }
        }
    }
    rest += "-- Dump completed\n";
    pieces.push(bytes(rest));
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
