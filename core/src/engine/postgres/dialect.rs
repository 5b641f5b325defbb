//! What a server of another version does not know: said in its words, left out where no data goes with it, or refused.

use std::collections::{HashMap, HashSet};

use crate::error::{Code, Error, Result};
use crate::report::Warning;

use super::archive::{Archive, Entry};
use super::belong::{Name, inherits, named};
use super::lex::{Token, replaced, tokens};
use super::quote::{ident, qualified};
use super::statements::describe;

mod item;

use item::{Item, generation, items};

/// Storage parameters, and options of publications and subscriptions, with the version that brought them.
const OPTIONS: &[(&str, u32)] = &[
    ("password_required", 16),
    ("run_as_owner", 16),
    ("origin", 16),
    ("failover", 17),
    ("publish_generated_columns", 18),
    ("autovacuum_vacuum_max_threshold", 18),
    ("vacuum_max_eager_freeze_failure_rate", 18),
];

/// An archive that is being adapted.
struct Dialect<'a> {
    /// The target's major version.
    target: u32,
    warnings: Vec<Warning>,
    /// What cannot be said in the target's words, and why.
    refused: Vec<String>,
    left_out: HashSet<i32>,
    /// NOT NULL constraints that have no name in the target, by their table or domain.
    nameless: HashSet<(Name, String)>,
    /// Generated columns with their expressions.
    generated: HashMap<Name, HashMap<String, String>>,
    /// From partitions to their parents.
    parents: &'a HashMap<Name, Name>,
}

/// Adapts the statements of an archive to a server of this major version.
///
/// # Errors
/// `UnsupportedDatabase` names what the server has no words for and what data may depend on.
pub(super) fn adapt(archive: &mut Archive, target: u32) -> Result<Vec<Warning>> {
    let attached = archive.entries.iter().filter(|e| e.desc == "TABLE ATTACH");
    let parents = attached.filter_map(|e| Some((own_name(e), named(e)?))).collect();
    let mut dialect = Dialect {
        target,
        warnings: Vec::new(),
        refused: Vec::new(),
        left_out: HashSet::new(),
        nameless: HashSet::new(),
        generated: HashMap::new(),
        parents: &parents,
    };
    for entry in &mut archive.entries {
        dialect.entry(entry);
    }
    if !dialect.refused.is_empty() {
        let message = format!("a server of version {target} cannot have: {}", dialect.refused.join("; "));
        return Err(Error::new(Code::UnsupportedDatabase, message)
            .next("restore into a newer server, or exclude these (--exclude-table, --exclude-schema)"));
    }
    let left_out = dialect.left_out;
    let follows = |e: &Entry| {
        let remark = matches!(e.desc.as_str(), "COMMENT" | "SECURITY LABEL" | "ACL");
        remark && e.dependencies.first().is_some_and(|id| left_out.contains(id))
    };
    archive.entries.retain(|e| !left_out.contains(&e.dump_id) && !follows(e));
    Ok(dialect.warnings)
}

fn own_name(entry: &Entry) -> Name {
    (entry.namespace.clone().unwrap_or_default(), entry.tag.clone())
}

impl Dialect<'_> {
    fn entry(&mut self, entry: &mut Entry) {
        match entry.desc.as_str() {
            "TABLE" | "FOREIGN TABLE" => self.table(entry),
            "CONSTRAINT" | "CHECK CONSTRAINT" | "FK CONSTRAINT" => self.constraint(entry),
            "DOMAIN" => self.domain(entry),
            "COMMENT" => self.comment(entry),
            "ACL" | "DEFAULT ACL" => self.privileges(entry),
            "COLLATION" => self.collation(entry),
            "PUBLICATION TABLE" => self.published(entry),
            "STATISTICS DATA" if self.target < 18 => drop(self.left_out.insert(entry.dump_id)),
            _ => {}
        }
        if matches!(entry.desc.as_str(), "TABLE" | "INDEX" | "MATERIALIZED VIEW" | "PUBLICATION" | "SUBSCRIPTION") {
            self.options(entry);
        }
    }

    fn adapted(&mut self, entry: &Entry, how: &str) {
        self.warnings.push(Warning::new("adapted", format!("{}: {how}", describe(entry))));
    }

    fn leave_out(&mut self, entry: &Entry, why: &str) {
        self.left_out.insert(entry.dump_id);
        self.warnings.push(Warning::new("left_out", format!("{} is left out: {why}", describe(entry))));
    }

    fn table(&mut self, entry: &mut Entry) {
        let partitioned = entry.defn.contains("\nPARTITION BY ");
        if self.target >= 18 && partitioned {
            // It never had a meaning there.
            entry.defn = entry.defn.replacen("CREATE UNLOGGED TABLE ", "CREATE TABLE ", 1);
        }
        if self.target < 17 && partitioned {
            let path = qualified(entry.namespace.as_deref().unwrap_or_default(), &entry.tag);
            let set = format!("\nALTER TABLE {path} SET ACCESS METHOD ");
            if let Some(at) = entry.defn.find(&set) {
                let end = entry.defn[at + 1..].find('\n').map_or(entry.defn.len(), |end| at + 1 + end);
                entry.defn.replace_range(at..end, "");
            }
        }
        if self.target >= 18 {
            return;
        }
        let Some((range, items)) = items(&entry.defn) else { return };
        let path = qualified(entry.namespace.as_deref().unwrap_or_default(), &entry.tag);
        let (mut kept, mut after, mut told) = (Vec::new(), String::new(), Vec::new());
        let mut generated = HashMap::new();
        for item in &items {
            let tokens = tokens(item);
            match Item::of(item, &tokens) {
                Item::NotEnforced(name) => told.push(format!("constraint {name} is left out: it was not enforced")),
                Item::NotNull { name, column, no_inherit: true } => {
                    kept.push(format!("{name}CHECK ({column} IS NOT NULL) NO INHERIT"));
                }
                Item::NotNull { name, column, .. } => {
                    self.forget(own_name(entry), &name);
                    after += &format!("\nALTER TABLE ONLY {path} ALTER COLUMN {column} SET NOT NULL;\n");
                }
                Item::Column { head, constraint, column } if item.ends_with(" NOT NULL NO INHERIT") => {
                    kept.push(head.to_owned());
                    kept.push(format!("{constraint}CHECK ({column} IS NOT NULL) NO INHERIT"));
                }
                Item::Column { constraint, column, .. } => {
                    self.forget(own_name(entry), &constraint);
                    let mut item = (*item).to_owned();
                    if let Some((expression, end, stored)) = generation(&tokens, &item) {
                        if !stored {
                            item.insert_str(end, " STORED");
                            told.push(format!("column {column} is stored, it was virtual"));
                        }
                        let name = tokens.first().and_then(Token::name).map(|n| n.into_owned());
                        generated.insert(name.unwrap_or_default(), expression);
                    }
                    kept.push(item);
                }
                Item::Other => kept.push((*item).to_owned()),
            }
        }
        self.check_generated(entry, generated);
        let list = if kept.is_empty() { "(\n)".to_owned() } else { format!("(\n    {}\n)", kept.join(",\n    ")) };
        if kept.iter().map(String::as_str).ne(items.iter().copied()) {
            entry.defn.replace_range(range, &list);
            entry.defn += &after;
        }
        for how in told {
            self.adapted(entry, &how);
        }
    }

    /// Until 16 all children have the expression of their parent.
    fn check_generated(&mut self, entry: &Entry, mut generated: HashMap<String, String>) {
        let name = own_name(entry);
        let inherited: HashMap<String, String> = inherits(entry)
            .iter()
            .filter_map(|parent| self.generated.get(parent))
            .flat_map(|columns| columns.clone())
            .collect();
        if self.target < 16 {
            let parent = self.parents.get(&name).and_then(|parent| self.generated.get(parent));
            let other = |column: &str, expression: &str| match parent {
                Some(parent) => parent.get(column).is_some_and(|own| own != expression),
                None => inherited.contains_key(column),
            };
            if let Some((column, _)) = generated.iter().find(|(column, expression)| other(column, expression)) {
                self.refused.push(format!(
                    "{}, whose column {column} has another expression than its parent's",
                    describe(entry)
                ));
            }
        }
        for (column, expression) in inherited {
            generated.entry(column).or_insert(expression);
        }
        self.generated.insert(name, generated);
    }

    fn forget(&mut self, of: Name, constraint: &str) {
        let name = tokens(constraint).get(1).and_then(|t| t.name().map(|n| n.into_owned()));
        self.nameless.extend(name.map(|name| (of, name)));
    }

    fn domain(&mut self, entry: &Entry) {
        let tokens = tokens(&entry.defn);
        let at = tokens.windows(4).find(|w| w[0].is("CONSTRAINT") && w[2].is("NOT") && w[3].is("NULL"));
        if let Some(name) = at.and_then(|w| w[1].name()).filter(|_| self.target < 17) {
            self.nameless.insert((own_name(entry), name.into_owned()));
        }
    }

    fn comment(&mut self, entry: &Entry) {
        let tokens = tokens(&entry.defn);
        let ["COMMENT", "ON", "CONSTRAINT"] = [0, 1, 2].map(|i| tokens.get(i).map_or("", |t| t.text)) else { return };
        let rest = tokens.get(5..).unwrap_or_default();
        let rest = if rest.first().is_some_and(|t| t.is("DOMAIN")) { &rest[1..] } else { rest };
        let name = |at: usize, of: &[Token<'_>]| of.get(at).and_then(|t| t.name().map(|n| n.into_owned()));
        let (Some(constraint), Some(schema), Some(table)) = (name(3, &tokens), name(0, rest), name(2, rest)) else {
            return;
        };
        if self.nameless.contains(&((schema, table), constraint)) {
            self.leave_out(entry, "the server has no such constraint for NOT NULL");
        }
    }

    fn constraint(&mut self, entry: &mut Entry) {
        if self.target >= 18 {
            return;
        }
        let tokens = tokens(&entry.defn);
        let has = |words: &[&str]| tokens.windows(words.len()).any(|w| w.iter().zip(words).all(|(t, word)| t.is(word)));
        if has(&["NOT", "ENFORCED"]) {
            return self.leave_out(&entry.clone(), "it was not enforced, and the server enforces all");
        }
        if entry.desc == "FK CONSTRAINT" && has(&["PERIOD"]) {
            return self.leave_out(&entry.clone(), "the server knows no foreign keys for periods");
        }
        let Some(at) = tokens.iter().position(|t| t.is("CONSTRAINT")) else { return };
        let rest = tokens.get(at + 2..).unwrap_or_default();
        if let [not, null, column, ..] = rest
            && not.is("NOT")
            && null.is("NULL")
        {
            let check = format!("CHECK ({} IS NOT NULL)", column.text);
            entry.defn = replaced(&entry.defn, &[(not.start..column.end(), check)]);
        } else if has(&["WITHOUT", "OVERLAPS"]) {
            let Some(open) = rest.iter().position(|t| t.is_symbol("(")) else { return };
            let Some(close) = rest.iter().position(|t| t.is_symbol(")")) else { return };
            let columns = rest[open + 1..close].split(|t| t.is_symbol(","));
            let with = columns.filter_map(|c| Some((c.first()?.text, if c.len() > 1 { "&&" } else { "=" })));
            let list: Vec<String> = with.map(|(column, operator)| format!("{column} WITH {operator}")).collect();
            let exclude = format!("EXCLUDE USING gist ({})", list.join(", "));
            entry.defn = replaced(&entry.defn, &[(rest[0].start..rest[close].end(), exclude)]);
            let entry = entry.clone();
            self.adapted(&entry, "an exclusion constraint stands for a key without overlaps");
        }
    }

    fn privileges(&mut self, entry: &mut Entry) {
        if self.target < 18 && entry.desc == "DEFAULT ACL" && entry.defn.contains(" ON LARGE OBJECTS ") {
            return self.leave_out(&entry.clone(), "the server has no default privileges for large objects");
        }
        if self.target >= 17 {
            return;
        }
        let tokens = tokens(&entry.defn);
        let mut changes = Vec::new();
        for statement in tokens.split_inclusive(|t| t.is_symbol(";")) {
            let Some(verb) = statement.iter().position(|t| t.is("GRANT") || t.is("REVOKE")) else { continue };
            let list: Vec<_> = statement[verb + 1..].iter().take_while(|t| !t.is("ON")).collect();
            let Some(at) = list.iter().position(|t| t.is("MAINTAIN")) else { continue };
            let words = list.iter().filter(|t| !t.is_symbol(",") && !["OPTION", "FOR"].contains(&t.text)).count();
            let range = match (words, statement.first(), statement.last()) {
                (2.., _, _) if at > 0 && list[at - 1].is_symbol(",") => list[at - 1].start..list[at].end(),
                (2.., _, _) => list[at].start..list.get(at + 1).map_or(list[at].end(), |comma| comma.end()),
                (_, Some(first), Some(last)) => first.start..last.end(),
                _ => continue,
            };
            changes.push((range, String::new()));
        }
        if !changes.is_empty() {
            entry.defn = replaced(&entry.defn, &changes);
            let entry = entry.clone();
            self.adapted(&entry, "the privilege MAINTAIN is left out, which the server does not have");
        }
    }

    fn collation(&mut self, entry: &mut Entry) {
        if self.target < 17 && entry.defn.contains("(provider = builtin,") {
            if entry.defn.contains(" locale = 'C')") {
                entry.defn = entry.defn.replacen("provider = builtin", "provider = libc", 1);
            } else {
                self.refused.push(format!("{} of the builtin provider", describe(entry)));
            }
        }
        if self.target < 16 && entry.defn.contains(", rules = '") {
            self.refused.push(format!("{} with rules of its own", describe(entry)));
        }
    }

    /// Before 18 generated columns cannot be named in a publication.
    fn published(&mut self, entry: &Entry) {
        let Some(generated) = named(entry).and_then(|name| self.generated.get(&name)) else { return };
        let tokens = tokens(&entry.defn);
        let listed =
            tokens.iter().skip_while(|t| !t.is_symbol("(")).take_while(|t| !t.is_symbol(")") && !t.is("WHERE"));
        let names: Vec<String> = listed.filter_map(|t| t.name().map(|n| n.into_owned())).collect();
        if let Some(column) = names.iter().find(|name| generated.contains_key(*name)) {
            let column = ident(column);
            self.leave_out(entry, &format!("the server cannot publish the generated column {column}"));
        }
    }

    /// Takes options out that the server does not know.
    fn options(&mut self, entry: &mut Entry) {
        let unknown: Vec<&str> =
            OPTIONS.iter().filter(|(_, since)| self.target < *since).map(|(name, _)| *name).collect();
        if !unknown.iter().any(|name| entry.defn.contains(name)) && !entry.defn.contains("streaming = parallel") {
            return;
        }
        let tokens = tokens(&entry.defn);
        let mut changes = Vec::new();
        let mut gone = Vec::new();
        for (i, pair) in tokens.windows(3).enumerate() {
            let [name, equals, value] = pair else { continue };
            if equals.text != "=" {
                continue;
            }
            if self.target < 16 && name.text == "streaming" && value.text == "parallel" {
                changes.push((value.start..value.end(), "on".to_owned()));
            }
            if unknown.contains(&name.text) {
                gone.push(name.text);
                let before = i.checked_sub(1).map(|i| &tokens[i]);
                let range = match (before, tokens.get(i + 3)) {
                    (Some(comma), _) if comma.is_symbol(",") => comma.start..value.end(),
                    (_, Some(comma)) if comma.is_symbol(",") => name.start..comma.end(),
                    // The only one: the list goes with it.
                    (Some(_), Some(close)) if i >= 2 => tokens[i - 2].start..close.end(),
                    _ => continue,
                };
                changes.push((range, String::new()));
            }
        }
        if !changes.is_empty() {
            let (any, how) = (!gone.is_empty(), format!("without {}, which the server does not know", gone.join(", ")));
            entry.defn = replaced(&entry.defn, &changes);
            let entry = entry.clone();
            if any {
                self.adapted(&entry, &how);
            }
        }
    }
}

#[cfg(test)]
mod tests;
