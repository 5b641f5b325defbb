//! What a clone must not contain, and what it must.

use std::path::Path;

/// The longest a source file may grow: one idea a file.
const MOST_LINES: usize = 500;

/// Every text file below a folder, by its name relative to it; what builds and installs leave behind left out.
pub(crate) fn files(root: &Path) -> Vec<(String, String)> {
    fn walk(root: &Path, folder: &Path, found: &mut Vec<(String, String)>) {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let (path, name) = (entry.path(), entry.file_name());
            if [".git", "target", "node_modules", ".venv", "__pycache__"].iter().any(|skip| name == *skip) {
                continue;
            }
            if entry.file_type().unwrap().is_dir() {
                walk(root, &path, found);
            } else if let Ok(text) = std::fs::read_to_string(&path) {
                found.push((path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), text));
            }
        }
    }
    let mut found = Vec::new();
    walk(root, root, &mut found);
    found.sort();
    found
}

fn repository() -> Vec<(String, String)> {
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
}

#[test]
fn no_file_names_a_place_of_somebodys_machine() {
    // Put together here, so that this file does not name them either.
    let places = ["/work", "/root", "/home"].map(|folder| format!("{folder}/"));
    let mut offenders = Vec::new();
    for (name, text) in repository() {
        for (number, line) in (1..).zip(text.lines()) {
            if places.iter().any(|place| line.contains(place.as_str())) {
                offenders.push(format!("{name}:{number}: {line}"));
            }
        }
    }
    assert!(offenders.is_empty(), "{}", offenders.join("\n"));
}

#[test]
fn nothing_is_left_to_do() {
    let marks = ["TO", "FIX", "XX"].into_iter().zip(["DO", "ME", "X"]).map(|(a, b)| format!("{a}{b}"));
    let marks: Vec<String> = marks.chain([format!("todo{}(", '!'), format!("unimplemented{}(", '!')]).collect();
    let sources = repository().into_iter().filter(|(name, _)| name.ends_with(".rs") || name.ends_with(".md"));
    let marked = sources.filter(|(_, text)| marks.iter().any(|mark| text.contains(mark.as_str())));
    let offenders: Vec<String> = marked.map(|(name, _)| name).collect();
    assert!(offenders.is_empty(), "{offenders:?}");
}

#[test]
fn source_files_stay_one_idea_long() {
    let sources = repository().into_iter().filter(|(name, _)| name.ends_with(".rs") && name.contains("/src/"));
    let long: Vec<String> = sources
        .map(|(name, text)| (name, text.lines().count()))
        .filter(|(_, lines)| *lines > MOST_LINES)
        .map(|(name, lines)| format!("{name}: {lines} lines"))
        .collect();
    assert!(long.is_empty(), "split these: {}", long.join(", "));
}
