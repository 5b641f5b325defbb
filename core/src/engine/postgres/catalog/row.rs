//! Queries on the system catalogs, and their answers.
//!
//! Everything goes through the simple query protocol, whose answers are text: the catalogs' own types (`oid`,
//! `"char"`, `int2vector`, `aclitem[]`) then need no codec, and no statement is prepared, which poolers mind.

use std::str::FromStr;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row as _};

use crate::engine::postgres::failure::{failure, state};
use crate::error::{Code, Error, Result};

/// Runs one query that this crate wrote and returns all its rows.
pub(super) async fn query(conn: &mut PgConnection, sql: &str) -> Result<Vec<Row>> {
    // Nothing from outside is ever put into these texts but numbers and quoted names.
    let rows = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch_all(conn).await.map_err(|e| query_error(sql, e))?;
    Ok(rows.into_iter().map(Row).collect())
}

fn query_error(sql: &str, e: sqlx::Error) -> Error {
    let head: String = sql.split_whitespace().take(12).collect::<Vec<_>>().join(" ");
    let doing = format!("reading the catalog (`{head} …`)");
    match state(&e).as_deref() {
        // Objects that were dropped, moved or changed while they were read, or that a migration holds which waits for us.
        Some("XX000" | "3F000" | "40P01" | "42P01" | "42704" | "42809" | "55P03") => {
            Error::new(Code::DatabaseChanged, format!("{doing}: {e}"))
                .next("run the backup again; another session changed the schema meanwhile")
        }
        _ => failure(doing, e),
    }
}

/// One row of an answer. Columns are taken by name.
pub(super) struct Row(PgRow);

impl Row {
    /// A column that may be NULL.
    pub(super) fn opt(&self, column: &str) -> Result<Option<&str>> {
        self.0.try_get_unchecked::<Option<&str>, _>(column).map_err(|e| {
            Error::new(Code::Internal, format!("catalog column {column}: {e}")).next("please report this").because(e)
        })
    }

    /// A column as text; NULL is the empty string.
    pub(super) fn text(&self, column: &str) -> Result<String> {
        Ok(self.opt(column)?.unwrap_or_default().to_owned())
    }

    /// A column that may be NULL, as an owned text.
    pub(super) fn opt_text(&self, column: &str) -> Result<Option<String>> {
        Ok(self.opt(column)?.map(str::to_owned))
    }

    /// A boolean; NULL is false.
    pub(super) fn flag(&self, column: &str) -> Result<bool> {
        Ok(self.opt(column)? == Some("t"))
    }

    /// A `"char"`; NULL and the zero byte are `'\0'`.
    pub(super) fn char(&self, column: &str) -> Result<char> {
        Ok(self.opt(column)?.and_then(|t| t.chars().next()).unwrap_or('\0'))
    }

    /// A number; NULL is the type's default, 0.
    pub(super) fn number<T: FromStr + Default>(&self, column: &str) -> Result<T> {
        match self.opt(column)? {
            None => Ok(T::default()),
            Some(text) => text
                .parse()
                .map_err(|_| Error::new(Code::Internal, format!("catalog column {column} is `{text}`, not a number"))),
        }
    }

    /// An OID; NULL is 0.
    pub(super) fn oid(&self, column: &str) -> Result<u32> {
        self.number(column)
    }

    /// The elements of a one-dimensional array; NULL is an empty list, NULL elements are empty strings.
    pub(super) fn list(&self, column: &str) -> Result<Vec<String>> {
        Ok(self.opt(column)?.map(array).unwrap_or_default())
    }
}

/// The elements of an array as the server writes it: `{a,"b c",NULL}`.
pub(super) fn array(text: &str) -> Vec<String> {
    // Arrays whose lower bound is not 1 are written with their bounds in front: `[0:1]={a,b}`.
    let body = text.find('{').map_or("", |at| &text[at + 1..]);
    let body = body.strip_suffix('}').unwrap_or(body);
    let mut elements = Vec::new();
    let mut element = String::new();
    let (mut quoted, mut was_quoted) = (false, false);
    let mut chars = body.chars();
    if body.is_empty() {
        return elements;
    }
    let finish = |element: &mut String, was_quoted: &mut bool| {
        let text = std::mem::take(element);
        let null = !std::mem::take(was_quoted) && text == "NULL";
        if null { String::new() } else { text }
    };
    while let Some(c) = chars.next() {
        match c {
            '\\' => element.extend(chars.next()),
            '"' => {
                quoted = !quoted;
                was_quoted = true;
            }
            ',' if !quoted => elements.push(finish(&mut element, &mut was_quoted)),
            c => element.push(c),
        }
    }
    elements.push(finish(&mut element, &mut was_quoted));
    elements
}

#[cfg(test)]
mod tests {
    use super::array;

    #[test]
    fn arrays_are_taken_apart_as_the_server_writes_them() {
        assert_eq!(array("{}"), Vec::<String>::new());
        assert_eq!(array("{a,b}"), ["a", "b"]);
        assert_eq!(array(r#"{"a,b","say \"hi\"","back\\slash",""}"#), ["a,b", "say \"hi\"", "back\\slash", ""]);
        assert_eq!(array(r#"{NULL,"NULL"}"#), ["", "NULL"]);
        assert_eq!(array("[0:1]={x,y}"), ["x", "y"]);
        assert_eq!(array("{naïve,🐘}"), ["naïve", "🐘"]);
    }
}
