//! Names of databases within the text of statements, and other names in their place.
//!
//! A server writes the definitions of tables and views in one way, so it is known which names in them are a database's.
//! The bodies of routines, triggers and events are as somebody wrote them: in them `shop.id` may be anything, so they stay
//! as they are, and what they name is told.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::engine::some_of;
use crate::report::Warning;

use super::catalog::{Catalog, Kind, Object};
use super::databases::OWN;
use super::quote::ident;

/// What the databases of a dump are called, by what they were called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Names(BTreeMap<String, String>);

impl<'a> FromIterator<(&'a str, &'a str)> for Names {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(from, to)| (from.to_owned(), to.to_owned())).collect())
    }
}

impl Names {
    /// A table's or view's definition with these names in it.
    pub(super) fn in_definition(&self, sql: &str) -> String {
        let places = chains(sql).into_iter().filter(Chain::begins_with_a_database);
        self.replaced(sql, places.filter_map(|chain| Some((chain.at, self.0.get(&chain.name)?))))
    }

    /// A query of somebody's with these names in it, and the names in it that may be of another database.
    pub(super) fn in_query(&self, sql: &str) -> (String, Vec<String>) {
        let (known, others): (Vec<_>, Vec<_>) = chains(sql).into_iter().partition(|c| self.0.contains_key(&c.name));
        let text = self.replaced(sql, known.into_iter().filter_map(|chain| Some((chain.at, self.0.get(&chain.name)?))));
        (text, others.into_iter().map(|chain| chain.name).collect())
    }

    fn replaced<'n>(&self, sql: &str, places: impl Iterator<Item = (Range<usize>, &'n String)>) -> String {
        let mut text = String::with_capacity(sql.len());
        let mut done = 0;
        for (at, name) in places {
            text.push_str(&sql[done..at.start]);
            text.push_str(&ident(name));
            done = at.end;
        }
        text + &sql[done..]
    }

    /// The definition of a table's columns whose defaults name a database: moving a table leaves them as they are.
    pub(super) fn defaults(&self, table: &Object) -> Option<String> {
        let columns = super::keys::columns(&table.sql).into_iter().filter(|line| line.contains("nextval("));
        let columns: Vec<String> =
            columns.map(|line| format!("MODIFY COLUMN {}", self.in_definition(line.trim_start()))).collect();
        (!columns.is_empty()).then(|| format!("ALTER TABLE {} {}", ident(&table.name), columns.join(", ")))
    }

    /// Whether a database is called otherwise than it was.
    fn any_changed(&self) -> bool {
        self.0.iter().any(|(from, to)| from != to)
    }

    /// Tells which objects name databases that they will not find under these names, or find where they should not.
    pub(super) fn warnings<'c>(&self, catalogs: impl IntoIterator<Item = &'c Catalog>) -> Vec<Warning> {
        if !self.any_changed() {
            return Vec::new();
        }
        let mut named: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for catalog in catalogs {
            for object in &catalog.objects {
                for name in self.left_in(object) {
                    let who = format!("{} of {}", object.describe(), catalog.database);
                    named.entry(name).or_default().push(who);
                }
            }
        }
        let told = named.into_iter().map(|(name, who)| {
            let who = some_of(who, 10);
            let message = match self.0.get(&name) {
                Some(to) => format!("database {name} is restored as {to}, and is still {name} in the text of {who}"),
                None => format!("database {name} is not restored with them, and is used by {who}"),
            };
            Warning::new("other_database", message)
        });
        told.collect()
    }

    /// The databases that an object names and that are not replaced.
    fn left_in(&self, object: &Object) -> Vec<String> {
        let text_is_the_servers = matches!(object.kind, Kind::Table | Kind::View | Kind::Sequence);
        let mut left: Vec<String> = chains(&object.sql)
            .into_iter()
            .filter(|chain| match text_is_the_servers {
                true => {
                    let own = OWN.iter().any(|own| own.eq_ignore_ascii_case(&chain.name));
                    chain.begins_with_a_database() && !self.0.contains_key(&chain.name) && !own
                }
                false => self.0.get(&chain.name).is_some_and(|to| *to != chain.name),
            })
            .map(|chain| chain.name)
            .collect();
        left.sort();
        left.dedup();
        left
    }

    /// A table's definition without foreign keys into databases that do not come with it: a copy that is looked at and
    /// dropped must not hold fast the rows of others.
    pub(super) fn without_foreign(&self, sql: &str) -> Option<String> {
        let foreign = |line: &str| {
            let refers = line.trim_start().starts_with("CONSTRAINT `") && line.contains(" FOREIGN KEY (");
            refers && chains(line).iter().any(|c| c.begins_with_a_database() && !self.0.contains_key(&c.name))
        };
        let (head, rest) = sql.split_once(" (\n")?;
        let (body, tail) = rest.split_once("\n)")?;
        let lines: Vec<&str> = body.split(",\n").collect();
        let kept: Vec<&str> = lines.iter().copied().filter(|line| !foreign(line)).collect();
        (kept.len() < lines.len()).then(|| format!("{head} (\n{}\n){tail}", kept.join(",\n")))
    }
}

/// A table's definition that does not name the database that it is of.
pub(super) fn without(database: &str, sql: &str) -> String {
    let mut text = String::with_capacity(sql.len());
    let mut done = 0;
    for chain in chains(sql).into_iter().filter(|c| c.name == database && c.begins_with_a_database()) {
        text.push_str(&sql[done..chain.at.start]);
        done = after_point(sql, chain.at.end).unwrap_or(chain.at.end);
    }
    text + &sql[done..]
}

/// Names with points between them: `` `shop`.`orders`.`id` ``.
#[derive(Debug)]
struct Chain {
    /// Where the first of them stands.
    at: Range<usize>,
    /// The first of them.
    name: String,
    /// How many they are.
    parts: usize,
    /// The word before them, in lower case, whatever parentheses lie between.
    before: String,
    /// Whether a parenthesis follows.
    call: bool,
}

impl Chain {
    /// Whether the first of them is a database's, in a definition as servers write it.
    fn begins_with_a_database(&self) -> bool {
        const BEFORE: [&str; 7] = ["from", "join", "straight_join", "references", "nextval", "lastval", "setval"];
        self.parts > 2 || self.call || BEFORE.contains(&self.before.as_str())
    }
}

/// Finds all chains of two names and more, but those in texts and remarks.
fn chains(sql: &str) -> Vec<Chain> {
    let mut chains = Vec::new();
    let mut before = String::new();
    let mut at = 0;
    while let Some(c) = sql[at..].chars().next() {
        let Some(end) = name_end(sql, at) else {
            at = match other_end(sql, at) {
                Some(end) => end,
                None => {
                    if !c.is_whitespace() && c != '(' {
                        before = c.to_string();
                    }
                    at + c.len_utf8()
                }
            };
            continue;
        };
        let (first, mut last, mut parts) = (at..end, end, 1);
        while let Some(next) = after_point(sql, last) {
            (last, parts) = (name_end(sql, next).unwrap_or(next + 1), parts + 1);
        }
        let (name, quoted) = unquoted(&sql[first.clone()]);
        let is_number = name.bytes().all(|b| b.is_ascii_digit());
        if parts > 1 && (quoted || !is_number) && before != "@" {
            let call = sql[last..].trim_start().starts_with('(');
            chains.push(Chain { at: first, name, parts, before: std::mem::take(&mut before), call });
        } else {
            let word = if quoted || parts > 1 { String::new() } else { name.to_lowercase() };
            before = if word == "from" && is_of_a_function(&before) { String::new() } else { word };
        }
        at = last;
    }
    chains
}

/// Whether the `from` behind this word is not a query's: `extract(day_hour from …)`, `trim(both ' ' from …)`.
fn is_of_a_function(word: &str) -> bool {
    const WORDS: [&str; 12] = [
        "year",
        "quarter",
        "month",
        "week",
        "day",
        "hour",
        "minute",
        "second",
        "microsecond",
        "both",
        "leading",
        "trailing",
    ];
    WORDS.contains(&word) || WORDS.iter().any(|unit| word.starts_with(&format!("{unit}_")))
}

/// Where the name that begins here ends; none if none does. What stands between double quotes is a name if it is a part
/// of a chain, and else a text.
fn name_end(sql: &str, at: usize) -> Option<usize> {
    let first = sql[at..].chars().next()?;
    match first {
        '`' => Some(quoted_end(sql, at, false)),
        '"' => {
            let end = quoted_end(sql, at, true);
            let in_chain = after_point(sql, end).is_some() || sql[..at].ends_with('.');
            in_chain.then_some(end)
        }
        c if is_letter(c) => Some(sql[at..].find(|c| !is_letter(c)).map_or(sql.len(), |length| at + length)),
        _ => None,
    }
}

/// Where a text or a remark ends that begins here.
fn other_end(sql: &str, at: usize) -> Option<usize> {
    let rest = &sql[at..];
    let end_of = |end: &str| rest.find(end).map_or(sql.len(), |length| at + length + end.len());
    match () {
        () if rest.starts_with(['\'', '"']) => Some(quoted_end(sql, at, true)),
        () if rest.starts_with('#') || rest.starts_with("-- ") || rest.starts_with("--\n") => Some(end_of("\n")),
        // What they hold is run.
        () if rest.starts_with("/*!") || rest.starts_with("/*M!") => None,
        () if rest.starts_with("/*") => Some(end_of("*/")),
        () => None,
    }
}

/// Where ends what begins here with a quote.
fn quoted_end(sql: &str, at: usize, escapes: bool) -> usize {
    let bytes = sql.as_bytes();
    let quote = bytes[at];
    let mut end = at + 1;
    while end < bytes.len() {
        match bytes[end] {
            b'\\' if escapes => end += 1,
            b if b == quote && bytes.get(end + 1) == Some(&quote) => end += 1,
            b if b == quote => return end + 1,
            _ => {}
        }
        end += 1;
    }
    bytes.len()
}

/// Where the name begins that a point joins to what ends here.
fn after_point(sql: &str, end: usize) -> Option<usize> {
    let rest = sql[end..].trim_start().strip_prefix('.')?.trim_start();
    let joined = rest.starts_with(|c: char| is_letter(c) || matches!(c, '`' | '"' | '*'));
    joined.then(|| sql.len() - rest.len())
}

fn is_letter(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

/// A name without its quotes, and whether it had some.
fn unquoted(name: &str) -> (String, bool) {
    let inner = |quote: char| name.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    match (inner('`'), inner('"')) {
        (Some(inner), _) => (inner.replace("``", "`"), true),
        (_, Some(inner)) => (inner.replace("\"\"", "\""), true),
        _ => (name.to_owned(), false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        [("shop", "shop_2"), ("blog", "b`2")].into_iter().collect()
    }

    #[test]
    fn definitions_of_tables_and_views_get_the_other_names() {
        for (sql, expected) in [
            (
                "VIEW `v` AS select `shop`.`id` AS `id`,`shop`.`g`(`shop`.`a`) AS `shop.g(a)` from `orders` `shop`",
                "VIEW `v` AS select `shop`.`id` AS `id`,`shop_2`.`g`(`shop`.`a`) AS `shop.g(a)` from `orders` `shop`",
            ),
            (
                "select `blog`.`a`.`id`,'`blog`.`a`.`x''\\'' from (`shop`.`o` left join `blog`.`a` on(`o`.`id` = 1.5))",
                "select `b``2`.`a`.`id`,'`blog`.`a`.`x''\\'' from (`shop_2`.`o` left join `b``2`.`a` on(`o`.`id` = 1.5))",
            ),
            (
                "nextval(`blog`.`tick`), (`blog`.`id`), `crm`.`a`.`b`",
                "nextval(`b``2`.`tick`), (`blog`.`id`), `crm`.`a`.`b`",
            ),
            ("REFERENCES `blog`.`author` (`id`)", "REFERENCES `b``2`.`author` (`id`)"),
            ("REFERENCES `author` (`blog`)", "REFERENCES `author` (`blog`)"),
            (
                "select extract(day from `blog`.`d`),trim(both ' ' from `blog`.`t`),'both' from `blog`.`a` `blog`",
                "select extract(day from `blog`.`d`),trim(both ' ' from `blog`.`t`),'both' from `b``2`.`a` `blog`",
            ),
        ] {
            assert_eq!(names().in_definition(sql), expected);
        }
    }

    #[test]
    fn a_table_may_be_made_in_any_database() {
        let sql = "`id` bigint DEFAULT nextval(`shop`.`s`),\n `n` bigint DEFAULT nextval(`blog`.`s`) COMMENT 'nextval(`shop`.`s`)'";
        let expected =
            "`id` bigint DEFAULT nextval(`s`),\n `n` bigint DEFAULT nextval(`blog`.`s`) COMMENT 'nextval(`shop`.`s`)'";
        assert_eq!(without("shop", sql), expected);
    }

    #[test]
    fn queries_name_databases_wherever_they_like() {
        let (text, others) =
            names().in_query("SELECT COUNT(*) FROM shop.orders o, `blog`.a WHERE o.id = 1.5 AND 'shop.x'");
        assert_eq!(text, "SELECT COUNT(*) FROM `shop_2`.orders o, `b``2`.a WHERE o.id = 1.5 AND 'shop.x'");
        assert_eq!(others, ["o"]);
    }

    #[test]
    fn what_is_not_replaced_is_told() {
        let object = |kind, sql: &str| Object::new(kind, "x".into(), sql.into());
        for (object, left) in [
            (object(Kind::Procedure, "INSERT INTO shop.orders SELECT 'blog.a' -- blog.a\n # blog.a"), vec!["shop"]),
            (object(Kind::Procedure, "/* shop.a */ SELECT \"blog\".a /*!50001 , shop . b */"), vec!["blog", "shop"]),
            (object(Kind::Trigger, "SET NEW.shop = @@shop.x"), vec![]),
            (object(Kind::View, "select `shop`.`a`.`b`,`c`.`d` from `crm`.`c` join `mysql`.`user`"), vec!["crm"]),
        ] {
            assert_eq!(names().left_in(&object), left, "{}", object.sql);
        }
        let same: Names = [("shop", "shop")].into_iter().collect();
        assert_eq!(
            same.warnings(&[Catalog { objects: vec![object(Kind::View, "from `a`.`b`")], ..Catalog::default() }]),
            []
        );
    }

    #[test]
    fn foreign_keys_into_other_databases_can_be_left_out() {
        let sql = "CREATE TABLE `t` (\n  `id` int(11),\n  CONSTRAINT `a` FOREIGN KEY (`id`) REFERENCES `crm`.`t` (`id`),\n  \
            CONSTRAINT `b` FOREIGN KEY (`id`) REFERENCES `blog`.`t` (`id`)\n) ENGINE=InnoDB";
        let left = names().without_foreign(sql);
        assert_eq!(left.map(|sql| sql.contains("`crm`") || !sql.contains("`blog`")), Some(false));
        assert_eq!(names().without_foreign("CREATE TABLE `t` (\n  `id` int(11)\n) ENGINE=InnoDB"), None);
    }
}
