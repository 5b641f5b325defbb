//! Users and roles, in the files that mongodump writes: they belong to the server, and a database is of little use without.
//!
//! The server gives nobody the passwords, and takes users without them only by the command that it has for mongorestore.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::TryStreamExt as _;
use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};

use super::address::Place;
use super::connect::Server;
use super::failure::{failure, server_code};
use super::names;
use crate::error::{Code, Error, Result};
use crate::report::Warning;

/// The database that users and roles of all databases are kept in.
const ADMIN: &str = "admin";

/// The collection that says how they are kept, and its one document, since MongoDB 3.0.
const VERSION: &str = "system.version";

/// What a login and what it may do are kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Roles,
    Users,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Roles, Self::Users];

    fn collection(self) -> &'static str {
        match self {
            Self::Roles => "system.roles",
            Self::Users => "system.users",
        }
    }

    /// What one is named by beside its database, also in the commands that ask for it.
    fn key(self) -> &'static str {
        match self {
            Self::Roles => "role",
            Self::Users => "user",
        }
    }

    /// The command that tells of those that there are, and the list in its answer.
    fn info(self) -> (&'static str, &'static str) {
        match self {
            Self::Roles => ("rolesInfo", "roles"),
            Self::Users => ("usersInfo", "users"),
        }
    }

    /// Where the server takes them from: names for which the role `restore` has privileges.
    fn waiting(self) -> (&'static str, &'static str) {
        match self {
            Self::Roles => ("tempRolesCollection", "temproles"),
            Self::Users => ("tempUsersCollection", "tempusers"),
        }
    }
}

/// `shop/$admin.system.users.bson`; of all databases `admin/system.users.bson`.
fn file(place: &Place, collection: &str) -> String {
    match place {
        Place::One(name) => format!("{name}/${ADMIN}.{collection}.bson"),
        Place::All { .. } => format!("{ADMIN}/{collection}.bson"),
    }
}

/// Which of them a file holds.
fn parse(file: &str) -> Option<Kind> {
    let (database, stem, names::Kind::Data) = names::parse(file)? else { return None };
    let prefix = format!("${ADMIN}.");
    let collection = stem.strip_prefix(&prefix).or((database == ADMIN).then_some(stem))?;
    Kind::ALL.into_iter().find(|kind| kind.collection() == collection)
}

/// The users and roles of this place, as files; nothing with a warning where they may not be read. Without `passwords`
/// no users: the server takes none without credentials.
///
/// # Errors
/// `DatabaseUnavailable` and the like.
pub(super) async fn read(server: &Server, passwords: bool) -> Result<(Vec<(String, Bytes)>, Vec<Warning>)> {
    let place = &server.address().place;
    let filter = match place {
        Place::One(name) => doc! { "db": name },
        Place::All { .. } => doc! {},
    };
    let (mut files, mut warnings) = (Vec::new(), Vec::new());
    if !passwords {
        let message = "users are missing: the store is not encrypted, and would show their credentials";
        warnings.push(Warning::new("users_left_out", message));
    }
    for kind in Kind::ALL.into_iter().filter(|kind| passwords || *kind != Kind::Users) {
        let collection = server.database(ADMIN).collection::<RawDocumentBuf>(kind.collection());
        let read = async { collection.find(filter.clone()).await?.try_collect::<Vec<_>>().await }.await;
        match read.map_err(|e| (server_code(&e).is_some(), failure("reading users and roles", e))) {
            Ok(found) if found.is_empty() => {}
            Ok(found) => {
                let bytes: Vec<u8> = found.into_iter().flat_map(RawDocumentBuf::into_bytes).collect();
                files.push((file(place, kind.collection()), bytes.into()));
            }
            Err((true, e)) => {
                let message = format!("users and roles are missing: {}; give the role `backup` on admin", e.message());
                return Ok((Vec::new(), vec![Warning::new("globals_unreadable", message)]));
            }
            Err((false, e)) => return Err(e),
        }
    }
    if !files.is_empty() {
        // Without it mongorestore takes them for those of MongoDB 2.4.
        let bytes = RawDocumentBuf::try_from(&doc! { "_id": "authSchema", "currentVersion": 5 });
        let bytes = bytes.map_err(|e| Error::new(Code::Internal, "a document of two fields").because(e))?;
        files.push((file(place, VERSION), bytes.into_bytes().into()));
    }
    Ok((files, warnings))
}

/// Users and roles of a dump that the server lacks.
#[derive(Debug, Default)]
pub(super) struct Coming(BTreeMap<Kind, Vec<Document>>);

impl Coming {
    /// Understands a dump's files, and leaves out what the server has. `databases` are the dump's, with their names here.
    ///
    /// # Errors
    /// `InvalidOption` when the dump has none, `Damaged`, and what the server says.
    pub(super) async fn find(
        server: &Server,
        schema: &[(String, Bytes)],
        databases: &BTreeMap<String, String>,
    ) -> Result<Self> {
        let alone = matches!(server.address().place, Place::One(_));
        let mut coming = BTreeMap::new();
        for (file, bytes) in schema {
            let Some(kind) = parse(file) else { continue };
            let mut documents = documents(bytes).map_err(|e| e.at(file))?;
            documents.retain(|one| !alone || one.get_str("db").is_ok_and(|name| databases.contains_key(name)));
            documents.iter_mut().for_each(|one| rename(kind, one, databases));
            coming.insert(kind, documents);
        }
        if coming.is_empty() {
            return Err(Error::new(Code::InvalidOption, "the backup holds no users and roles")
                .next("restore without globals and create them yourself, or make backups with globals"));
        }
        let mut coming = Self(coming);
        for (kind, there) in coming.there(server).await? {
            let of = |one: &Document| there.contains(&identity(kind, one));
            coming.0.entry(kind).or_default().retain(|one| !of(one));
        }
        Ok(coming)
    }

    /// Those that the server has.
    async fn there(&self, server: &Server) -> Result<Vec<(Kind, Vec<(String, String)>)>> {
        let mut found = Vec::new();
        for (kind, documents) in self.0.iter().filter(|(_, documents)| !documents.is_empty()) {
            let (command, list) = kind.info();
            let names = documents.iter().map(|one| identity(*kind, one));
            let asked: Vec<Bson> = names.map(|(db, name)| doc! { kind.key(): name, "db": db }.into()).collect();
            let told = server.database(ADMIN).run_command(doc! { command: asked }).await;
            let told = told.map_err(|e| failure(format!("asking for {list}"), e))?;
            let there =
                told.get_array(list).map(|list| list.iter().filter_map(Bson::as_document)).into_iter().flatten();
            found.push((*kind, there.map(|one| identity(*kind, one)).collect()));
        }
        Ok(found)
    }

    /// Creates them.
    ///
    /// # Errors
    /// What the server says.
    pub(super) async fn create(&self, server: &Server) -> Result<Vec<Warning>> {
        if self.0.values().all(Vec::is_empty) {
            return Ok(Vec::new());
        }
        let created = self.merge(server).await;
        for kind in Kind::ALL {
            let dropped = server.drop_collection(ADMIN, kind.waiting().1).await;
            if created.is_ok() {
                dropped?;
            }
        }
        created?;
        // The server goes on after one that it cannot take, and says so in its log alone.
        let (mut warnings, there) = (Vec::new(), self.there(server).await?);
        for (kind, found) in there {
            for one in &self.0[&kind] {
                let (database, name) = identity(kind, one);
                if !found.contains(&(database.clone(), name.clone())) {
                    let message = format!("{} {name} of {database} was not taken by the server", kind.key());
                    warnings.push(Warning::new("globals_left_out", message));
                }
            }
        }
        Ok(warnings)
    }

    async fn merge(&self, server: &Server) -> Result<()> {
        let mut command = doc! { "_mergeAuthzCollections": 1 };
        for (kind, documents) in self.0.iter().filter(|(_, documents)| !documents.is_empty()) {
            let (argument, collection) = kind.waiting();
            command.insert(argument, format!("{ADMIN}.{collection}"));
            server.drop_collection(ADMIN, collection).await?;
            let waiting = server.database(ADMIN).collection::<Document>(collection);
            let written = waiting.insert_many(documents).await;
            written.map_err(|e| failure(format!("writing {ADMIN}.{collection}"), e))?;
        }
        let database = match &server.address().place {
            Place::One(name) => name,
            Place::All { .. } => "",
        };
        command.extend(doc! { "drop": false, "db": database, "writeConcern": { "w": "majority" } });
        let merged = server.database(ADMIN).run_command(command).await;
        merged.map(drop).map_err(|e| failure("creating users and roles", e))
    }
}

/// The documents of a file.
fn documents(bytes: &[u8]) -> Result<Vec<Document>> {
    let damaged = || Error::new(Code::Damaged, "it holds no documents").next("use another backup");
    let (mut rest, mut found) = (bytes, Vec::new());
    while !rest.is_empty() {
        found.push(Document::from_reader(&mut rest).map_err(|e| damaged().because(e))?);
    }
    Ok(found)
}

/// The database and the name of a user or role.
fn identity(kind: Kind, one: &Document) -> (String, String) {
    let text = |key| one.get_str(key).unwrap_or_default().to_owned();
    (text("db"), text(kind.key()))
}

/// Makes one that is of a database, or may do something there, one of the database by its name here.
fn rename(kind: Kind, one: &mut Document, databases: &BTreeMap<String, String>) {
    let within = |document: &mut Document| {
        if let Some(name) = document.get_str("db").ok().and_then(|name| databases.get(name)) {
            document.insert("db", name);
        }
    };
    within(one);
    let (database, name) = identity(kind, one);
    one.insert("_id", format!("{database}.{name}"));
    let each = |document: &mut Document, list: &str, change: &dyn Fn(&mut Document)| {
        if let Ok(list) = document.get_array_mut(list) {
            list.iter_mut().filter_map(Bson::as_document_mut).for_each(change);
        }
    };
    each(one, "roles", &within);
    each(one, "privileges", &|privilege| {
        if let Ok(resource) = privilege.get_document_mut("resource") {
            within(resource);
        }
    });
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn files_are_mongodumps() {
        let (one, all) = (Place::One("shop".into()), Place::All { prefix: None });
        assert_eq!(file(&one, "system.users"), "shop/$admin.system.users.bson");
        assert_eq!(file(&all, VERSION), "admin/system.version.bson");
        assert_eq!(parse("shop/$admin.system.users.bson"), Some(Kind::Users));
        assert_eq!(parse("admin/system.roles.bson"), Some(Kind::Roles));
        for other in ["shop/system.users.bson", "admin/system.version.bson", "shop/$admin.system.users.metadata.json"] {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn names_of_databases_change_wherever_they_are_of_the_dump() {
        let names = BTreeMap::from([("shop".to_owned(), "copy".to_owned())]);
        let mut user = doc! { "_id": "shop.app", "user": "app", "db": "shop", "credentials": { "SCRAM-SHA-256": {} },
        "roles": [{ "role": "clerk", "db": "shop" }, { "role": "read", "db": "crm" }] };
        rename(Kind::Users, &mut user, &names);
        assert_eq!(
            user,
            doc! { "_id": "copy.app", "user": "app", "db": "copy", "credentials": { "SCRAM-SHA-256": {} },
            "roles": [{ "role": "clerk", "db": "copy" }, { "role": "read", "db": "crm" }] }
        );
        let mut role = doc! { "_id": "shop.clerk", "role": "clerk", "db": "shop", "roles": [],
        "privileges": [{ "resource": { "db": "shop", "collection": "orders" }, "actions": ["find"] }] };
        rename(Kind::Roles, &mut role, &names);
        assert_eq!(
            role,
            doc! { "_id": "copy.clerk", "role": "clerk", "db": "copy", "roles": [],
            "privileges": [{ "resource": { "db": "copy", "collection": "orders" }, "actions": ["find"] }] }
        );
    }

    #[test]
    fn what_is_no_document_is_damage() {
        assert_eq!(documents(b"\x05\0\0\0\0\x05\0\0\0\0").unwrap().len(), 2);
        assert_eq!(documents(b"\x06\0\0\0\0").unwrap_err().code(), Code::Damaged);
    }
}
