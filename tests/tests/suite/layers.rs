//! A file imports only from its own row of ARCHITECTURE.md or below.

use std::path::Path;

use crate::hygiene::files;

/// The rows, lowest first: the vocabulary, pure code, the three siblings, the verbs, their schedule, the facade, the
/// command line and the description of the interface.
const ROWS: [&[&str]; 7] = [
    &["error", "id", "clock", "secret", "progress", "selection", "settings", "report"],
    &["format", "crypto", "retention"],
    &["engine", "storage", "volume"],
    &["ops"],
    &["schedule", "observe"],
    &["vault"],
    &["cli", "schema"],
];
/// Modules of one row that never import each other.
const SIBLINGS: [&str; 3] = ["engine", "storage", "volume"];
/// The engines, which never import each other either.
const ENGINES: [&str; 4] = ["postgres", "mysql", "mongodb", "sqlite"];
/// Words that code of these modules does not use.
const FORBIDDEN: [(&str, &[&str]); 5] = [
    ("format", &["tokio", "async", "sqlx", "object_store"]),
    ("crypto", &["tokio", "async", "sqlx", "object_store"]),
    ("retention", &["tokio", "async", "sqlx", "object_store"]),
    ("storage", &["sqlx"]),
    ("engine", &["object_store"]),
];

#[test]
fn no_import_points_upward() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/src");
    let sources = files(&source).into_iter().filter(|(name, _)| name.ends_with(".rs"));
    let offenders: Vec<String> = sources.flat_map(|(name, text)| offenders(&name, &text)).collect();
    assert!(offenders.is_empty(), "arrows that ARCHITECTURE.md does not allow:\n{}", offenders.join("\n"));
}

#[test]
fn the_check_sees_what_it_should() {
    let bad = [
        ("error.rs", "use crate::id::BackupId;\nuse crate::format::Manifest;", 1),
        ("format/codec.rs", "use crate::engine::Engine;", 1),
        ("format/codec.rs", "async fn f() {}", 1),
        ("crypto/keyring.rs", "use tokio::sync::Mutex;", 1),
        ("ops/backup.rs", "let v = crate::vault::Vault::open();", 1),
        ("storage/url.rs", "use crate::{error::Error, volume::{Writer, Reader}};", 1),
        ("volume/writer.rs", "use crate::{\n    engine::Engine,\n    storage::Repository,\n};", 2),
        ("engine/sqlite/dump.rs", "use crate::engine::postgres::connect;", 1),
        ("engine/sqlite/dump.rs", "use super::super::postgres::connect;", 1),
        ("engine/sqlite/mod.rs", "use super::postgres::connect;", 1),
        ("engine/mod.rs", "use crate::crypto::Sealer;", 1),
        ("vault.rs", "use super::cli;", 1),
        ("misc.rs", "", 1),
    ];
    for (name, text, expected) in bad {
        assert_eq!(offenders(name, text).len(), expected, "{name}: {text}");
    }
    let good = [
        ("lib.rs", "pub use crate::vault::Vault;"),
        ("bin/lastgood.rs", "use lastgood::cli;"),
        ("vault.rs", "use crate::{ops, schedule};\nuse crate::error::{Error, Result};"),
        ("engine/mod.rs", "use crate::settings::Codec; pub(crate) mod postgres;"),
        ("engine/sqlite/dump.rs", "use super::connect; use crate::engine::Engine; // not crate::ops"),
        (
            "format/manifest.rs",
            "mod tests { use super::*; use super::Manifest; }\n/// See crate::ops.\nlet x = \"async\";",
        ),
        ("error.rs", "macro_rules! m { () => { $crate::vault::x() } }"),
    ];
    for (name, text) in good {
        assert_eq!(offenders(name, text), Vec::<String>::new(), "{name}: {text}");
    }
}

/// What is wrong with one file, whose name is relative to core/src.
fn offenders(name: &str, text: &str) -> Vec<String> {
    let module = module_path(name);
    let top = module.first().map_or("", String::as_str);
    // lib.rs only re-exports; the program uses the library from outside.
    // The crate's own end-to-end tests use all of it.
    if top.is_empty() || top == "bin" || top == "tests" {
        return Vec::new();
    }
    let Some(own) = row(top) else { return vec![format!("{name}: `{top}` is in no row")] };
    let code = without_comments_and_strings(text);
    let mut found = Vec::new();
    for path in imports(&code, &module) {
        let Some(target) = path.first() else { continue };
        let imported = path.join("::");
        let Some(theirs) = row(target) else { continue };
        if theirs > own {
            found.push(format!("{name} (row {own}) imports {imported} (row {theirs})"));
        } else if target != top && SIBLINGS.contains(&top) && SIBLINGS.contains(&target.as_str()) {
            found.push(format!("{name} imports {imported}, its sibling"));
        } else if top == "engine" && target == "crypto" {
            found.push(format!("{name} imports {imported}: engines know nothing of encryption"));
        } else if let (Some(one), Some(other)) = (engine(&module), engine(&path))
            && one != other
        {
            found.push(format!("{name} imports {imported}: engines do not know each other"));
        }
    }
    let words = FORBIDDEN.iter().filter(|(module, _)| *module == top).flat_map(|(_, words)| *words);
    found.extend(words.filter(|word| has_word(&code, word)).map(|word| format!("{name} uses `{word}`")));
    found
}

fn row(module: &str) -> Option<usize> {
    ROWS.iter().position(|row| row.contains(&module))
}

fn engine(path: &[String]) -> Option<&str> {
    let name = path.get(1).filter(|_| path[0] == "engine")?;
    ENGINES.contains(&name.as_str()).then_some(name)
}

/// `engine/sqlite/mod.rs` is the module engine::sqlite.
fn module_path(name: &str) -> Vec<String> {
    let stem = name.trim_end_matches(".rs").trim_end_matches("/mod");
    if stem == "lib" { Vec::new() } else { stem.split('/').map(str::to_owned).collect() }
}

/// The paths below the crate's root that this code names, groups opened one level deep.
fn imports(code: &str, module: &[String]) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        if !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
            paths.extend(heads(&code[at + "crate::".len()..]));
        }
    }
    for (at, _) in code.match_indices("super::") {
        if code[..at].ends_with("super::") {
            continue;
        }
        let mut rest = &code[at..];
        let mut base = module;
        while let Some(after) = rest.strip_prefix("super::") {
            rest = after;
            base = base.split_last().map_or(&[][..], |(_, parents)| parents);
        }
        paths.extend(heads(rest).into_iter().map(|head| [base, &head].concat()));
    }
    paths
}

/// The first path, or the first paths of a group: `a::b` of `a::b::C`; `a` and `b::c` of `{a, b::c::D}`.
fn heads(text: &str) -> Vec<Vec<String>> {
    let head = |text: &str| -> Vec<String> {
        text.trim()
            .split("::")
            .map(|part| part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect())
            .take_while(|part: &String| !part.is_empty())
            .take(2)
            .collect()
    };
    let Some(group) = text.strip_prefix('{') else { return vec![head(text)] };
    let mut depth = 0;
    let mut items = vec![String::new()];
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => items.push(String::new()),
            _ => {}
        }
        if c != ',' || depth > 0 {
            items.last_mut().unwrap().push(c);
        }
    }
    items.iter().map(|item| head(item)).collect()
}

fn has_word(code: &str, word: &str) -> bool {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|w| w == word)
}

fn without_comments_and_strings(text: &str) -> String {
    let line = |line: &str| {
        let code = line.split("//").next().unwrap_or_default();
        // Every second piece between quotes is a string; one that spans lines is prose all the same.
        code.split('"').step_by(2).collect::<Vec<_>>().join(" ")
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}
