//! Archive entries before they have numbers.

use crate::engine::postgres::archive::Section;
use crate::engine::postgres::order::Node;
use crate::engine::postgres::quote::{ident, literal};

use super::domain::Domain;
use super::table::Table;

/// What a node of the graph writes into the archive.
#[derive(Debug)]
pub(super) enum Body {
    /// Nothing: it only passes dependencies on.
    Silent,
    /// Nothing of its own, but its number is referred to, and it may have comments and privileges.
    Present(Vec<Extra>),
    /// This entry.
    Whole(Box<Draft>),
    /// This entry if it became separate; otherwise it is part of another, which takes over its extras.
    Part(Box<Draft>),
    /// The view, or if it became a placeholder only its columns.
    View { whole: Box<Draft>, placeholder: String },
    /// A table with those of its defaults and checks that did not become separate.
    Table(Box<Table>),
    /// A domain with those of its checks that did not become separate.
    Domain(Box<Domain>),
}

impl Body {
    /// The entry that this node writes as things stand after ordering.
    pub(super) fn settle(self, node: &Node, nodes: &[Node]) -> Settled {
        match self {
            Self::Silent => Settled::Silent,
            Self::Present(extras) => Settled::Present(extras),
            Self::Part(draft) if !node.separate => match node.part_of {
                Some(whole) => Settled::Inside(whole, draft.extras),
                None => Settled::Silent,
            },
            Self::Part(draft) => Settled::Entry(draft),
            Self::Whole(mut draft) => {
                if node.postponed {
                    draft.section = Section::PostData;
                }
                Settled::Entry(draft)
            }
            Self::View { mut whole, placeholder } => {
                if node.placeholder {
                    whole.defn = placeholder;
                }
                Settled::Entry(whole)
            }
            Self::Table(table) => Settled::Entry(Box::new(table.settle(nodes))),
            Self::Domain(domain) => Settled::Entry(Box::new(domain.settle(nodes))),
        }
    }
}

/// A body after ordering.
pub(super) enum Settled {
    Silent,
    Present(Vec<Extra>),
    /// Part of that node, which gets these extras.
    Inside(usize, Vec<Extra>),
    Entry(Box<Draft>),
}

/// An archive entry without its number and dependencies, and the small entries that follow it.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) desc: &'static str,
    pub(super) tag: String,
    pub(super) section: Section,
    pub(super) schema: Option<String>,
    pub(super) owner: String,
    pub(super) defn: String,
    pub(super) drop: String,
    pub(super) copy: Option<String>,
    pub(super) tablespace: Option<String>,
    pub(super) table_am: Option<String>,
    pub(super) catalog: u32,
    pub(super) oid: u32,
    pub(super) extras: Vec<Extra>,
}

impl Draft {
    /// An entry of this kind, restored before the data.
    pub(super) fn new(desc: &'static str, schema: Option<&str>, tag: impl Into<String>, owner: &str) -> Self {
        Self {
            desc,
            tag: tag.into(),
            section: Section::PreData,
            schema: schema.map(str::to_owned),
            owner: owner.to_owned(),
            defn: String::new(),
            drop: String::new(),
            copy: None,
            tablespace: None,
            table_am: None,
            catalog: 0,
            oid: 0,
            extras: Vec::new(),
        }
    }

    /// Restored after the data.
    pub(super) fn post_data(mut self) -> Self {
        self.section = Section::PostData;
        self
    }

    /// The statements that create and drop it.
    pub(super) fn sql(mut self, defn: impl Into<String>, drop: impl Into<String>) -> Self {
        self.defn = defn.into();
        self.drop = drop.into();
        self
    }

    /// Where it is in the source's catalogs.
    pub(super) fn found_in(mut self, catalog: u32, oid: u32) -> Self {
        self.catalog = catalog;
        self.oid = oid;
        self
    }

    /// Adds a small entry that follows this one.
    pub(super) fn with(mut self, extras: impl IntoIterator<Item = Extra>) -> Self {
        self.extras.extend(extras);
        self
    }
}

/// A small entry that belongs to another: a comment, a label, privileges, a sequence's owning column.
#[derive(Debug, Clone)]
pub(super) struct Extra {
    pub(super) desc: &'static str,
    pub(super) tag: String,
    pub(super) section: Section,
    pub(super) schema: Option<String>,
    pub(super) owner: String,
    pub(super) defn: String,
    /// Privileges of a column: they come after those of its table.
    pub(super) after_acl: bool,
}

/// An object as COMMENT, SECURITY LABEL and GRANT name it: kind, schema and quoted name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named<'a> {
    /// `TABLE`; for what lies in a table, the text up to the table: `TRIGGER t ON`.
    pub(super) kind: &'a str,
    pub(super) schema: Option<&'a str>,
    /// Quoted, with arguments where the kind has some.
    pub(super) name: &'a str,
    pub(super) owner: &'a str,
}

impl Named<'_> {
    /// `schema.name`, or the name alone.
    pub(super) fn path(&self) -> String {
        match self.schema {
            Some(schema) => format!("{}.{}", ident(schema), self.name),
            None => self.name.to_owned(),
        }
    }

    pub(super) fn extra(&self, desc: &'static str, tag: String, defn: String) -> Extra {
        Extra {
            desc,
            tag,
            section: Section::None,
            schema: self.schema.map(str::to_owned),
            owner: self.owner.to_owned(),
            defn,
            after_acl: false,
        }
    }

    /// Its comment.
    pub(super) fn comment(&self, text: &str) -> Extra {
        let text = if text.is_empty() { "NULL".to_owned() } else { literal(text) };
        let defn = format!("COMMENT ON {} {} IS {text};\n", self.kind, self.path());
        self.extra("COMMENT", format!("{} {}", self.kind, self.name), defn)
    }

    /// One of its security labels.
    pub(super) fn label(&self, provider: &str, label: &str) -> Extra {
        let (kind, path) = (self.kind, self.path());
        let defn = format!("SECURITY LABEL FOR {} ON {kind} {path} IS {};\n", ident(provider), literal(label));
        self.extra("SECURITY LABEL", format!("{kind} {}", self.name), defn)
    }

    /// Its privileges, if `commands` are any.
    pub(super) fn acl(&self, commands: String) -> Option<Extra> {
        (!commands.is_empty()).then(|| self.extra("ACL", format!("{} {}", self.kind, self.name), commands))
    }

    /// The same place for a column of this table or view.
    pub(super) fn column_comment(&self, column: &str, text: &str) -> Extra {
        let column = ident(column);
        let defn = format!("COMMENT ON COLUMN {}.{column} IS {};\n", self.path(), literal(text));
        self.extra("COMMENT", format!("COLUMN {}.{column}", self.name), defn)
    }
}
