//! Keys and foreign keys that are built when the rows are there: sorted once is faster than kept sorted.

use super::catalog::Object;
use super::quote::ident;

/// A table's definition in three steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Steps {
    /// Creates the table with what its rows need.
    pub(super) create: String,
    /// Builds its other keys; none if there are none.
    pub(super) keys: Option<String>,
    /// Adds its foreign keys; none if there are none.
    pub(super) foreign: Option<String>,
}

/// Cuts the statement that the server shows of a table. A server writes each key on a line of its own, and no line break
/// into a text.
pub(super) fn steps(table: &Object) -> Steps {
    let whole = || Steps { create: table.sql.clone(), keys: None, foreign: None };
    let Some((head, rest)) = table.sql.split_once(" (\n") else { return whole() };
    let Some((body, tail)) = rest.split_once("\n)") else { return whole() };
    let lines: Vec<&str> = body.split(",\n").collect();
    // The history that a server keeps would have to be altered with it; a name may hold a line break.
    let odd = lines.iter().any(|line| !line.starts_with("  "));
    if table.history || odd || !tail.contains("ENGINE=InnoDB") || !has_own_order(&lines) {
        return whole();
    }
    let mut kept = Vec::new();
    let (mut keys, mut foreign) = (Vec::new(), Vec::new());
    for line in lines {
        let is_key =
            ["  KEY `", "  UNIQUE KEY `", "  FULLTEXT KEY `", "  SPATIAL KEY `"].iter().any(|k| line.starts_with(k));
        if is_key {
            keys.push(format!("ADD {}", line.trim_start()));
        } else if line.starts_with("  CONSTRAINT `") && line.contains(" FOREIGN KEY (") {
            foreign.push(format!("ADD {}", line.trim_start()));
        } else {
            kept.push(line);
        }
    }
    let alter = |what: Vec<String>| {
        (!what.is_empty()).then(|| format!("ALTER TABLE {} {}", ident(&table.name), what.join(", ")))
    };
    Steps { create: format!("{head} (\n{}\n){tail}", kept.join(",\n")), keys: alter(keys), foreign: alter(foreign) }
}

/// Whether a table has a column that counts by itself.
pub(super) fn counts(table: &Object) -> bool {
    columns(&table.sql).into_iter().any(is_counting)
}

fn is_counting(line: &str) -> bool {
    line.contains(" AUTO_INCREMENT") && line.starts_with("  `")
}

/// The lines of a table's definition that are its columns.
pub(super) fn columns(sql: &str) -> Vec<&str> {
    let body = sql.split_once(" (\n").and_then(|(_, rest)| rest.split_once("\n)"));
    body.map_or_else(Vec::new, |(body, _)| body.split(",\n").filter(|line| line.starts_with("  `")).collect())
}

/// Whether there is a primary key, and the column that counts by itself comes first in it.
fn has_own_order(lines: &[&str]) -> bool {
    let Some(primary) = lines.iter().find_map(|line| line.strip_prefix("  PRIMARY KEY (")) else { return false };
    let counting = lines.iter().find(|line| is_counting(line));
    let name = |line: &str| line.trim_start()[1..].split('`').next().map(|name| format!("`{name}`"));
    counting.and_then(|line| name(line)).is_none_or(|name| primary.starts_with(&name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::mysql::catalog::Kind;

    fn table(sql: &str) -> Object {
        Object::new(Kind::Table, "t".into(), sql.into())
    }

    #[test]
    fn keys_and_foreign_keys_wait() {
        let sql = "CREATE TABLE `t` (\n  `id` int(11) NOT NULL AUTO_INCREMENT,\n  `a` int(11) DEFAULT NULL COMMENT 'KEY `x`, (\\n',\n  \
            PRIMARY KEY (`id`),\n  UNIQUE KEY `u` (`a`,`id`),\n  KEY `k` (`a`) COMMENT 'it''s',\n  CONSTRAINT `f` FOREIGN KEY (`a`) REFERENCES `t` (`id`),\n  \
            CONSTRAINT `c` CHECK (`a` > 0)\n) ENGINE=InnoDB AUTO_INCREMENT=5\n PARTITION BY HASH (`id`)";
        let steps = steps(&table(sql));
        assert_eq!(
            steps.create,
            "CREATE TABLE `t` (\n  `id` int(11) NOT NULL AUTO_INCREMENT,\n  `a` int(11) DEFAULT NULL COMMENT 'KEY `x`, (\\n',\n  \
             PRIMARY KEY (`id`),\n  CONSTRAINT `c` CHECK (`a` > 0)\n) ENGINE=InnoDB AUTO_INCREMENT=5\n PARTITION BY HASH (`id`)"
        );
        assert_eq!(
            steps.keys.as_deref(),
            Some("ALTER TABLE `t` ADD UNIQUE KEY `u` (`a`,`id`), ADD KEY `k` (`a`) COMMENT 'it''s'")
        );
        assert_eq!(
            steps.foreign.as_deref(),
            Some("ALTER TABLE `t` ADD CONSTRAINT `f` FOREIGN KEY (`a`) REFERENCES `t` (`id`)")
        );
    }

    #[test]
    fn a_table_that_needs_its_keys_keeps_them() {
        for sql in [
            "CREATE TABLE `t` (\n  `a` int(11) NOT NULL,\n  UNIQUE KEY `u` (`a`)\n) ENGINE=InnoDB",
            "CREATE TABLE `t` (\n  `a` int(11) NOT NULL,\n  PRIMARY KEY (`a`),\n  KEY `u` (`a`)\n) ENGINE=MyISAM",
            "CREATE TABLE `t` (\n  `a` int(11) NOT NULL,\n  `n` int(11) NOT NULL AUTO_INCREMENT,\n  PRIMARY KEY (`a`,`n`),\n  KEY `n` (`n`)\n) ENGINE=InnoDB",
        ] {
            assert_eq!(steps(&table(sql)), Steps { create: sql.to_owned(), keys: None, foreign: None });
        }
    }
}
