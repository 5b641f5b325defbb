//! What the doctor looks at: the way to the server, the moment that it offers, and what may be read. Changes nothing.

use std::time::Duration;

use mongodb::bson::{Bson, Document, doc};

use super::address::Address;
use super::catalog::{self, Collection, number};
use super::connect::{Server, Topology};
use super::failure::failure;
use super::moment::Moment;
use super::window::Since;
use crate::engine::{DoctorOptions, required};
use crate::error::Result;
use crate::report::{Check, CheckStatus};

/// The checks in their order; the first one stands for the connection itself.
const CHECKS: [&str; 6] = ["database", "tls", "consistency", "privileges", "collections", "objects"];

/// How long one check may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a backup reads in a second at least, in bytes, for guessing whether a snapshot lives long enough.
const PACE: u64 = 16 << 20;

/// Makes all checks of a deployment.
pub(super) async fn doctor(address: &Address, options: &DoctorOptions) -> Vec<Check> {
    let server = match tokio::time::timeout(PATIENCE, Server::connect(address)).await {
        Ok(Ok(server)) => server,
        Ok(Err(e)) => return unreachable(Check::failed(CHECKS[0], &e)),
        Err(_) => return unreachable(Check::fail(CHECKS[0], "no answer in time", "check host, port and the network")),
    };
    let how = match server.topology {
        Topology::Standalone => "a standalone server",
        Topology::ReplicaSet => "a replica set",
        Topology::Sharded => "a sharded cluster",
    };
    let mut checks =
        vec![Check::pass(CHECKS[0], format!("{address}: MongoDB {}, {how}", server.version)), tls(address)];
    let collections = in_time("collections", collections(&server)).await;
    let found = collections.as_ref().map_or(&[][..], |(_, found)| found);
    checks.push(one(in_time("consistency", consistency(&server, found)).await));
    checks.push(one(in_time("privileges", privileges(&server)).await));
    let required = required(options, &missing(options, found));
    let listed = collections.is_ok();
    checks.push(one(collections.map(|(check, _)| check)));
    checks.push(one(in_time("objects", objects(&server)).await));
    match listed {
        true => checks.extend(required),
        false => checks.extend(required.map(|check| Check::not_checked(&check.name, "the collections are not known"))),
    }
    checks
}

fn one(check: Result<Check, Check>) -> Check {
    check.unwrap_or_else(|failed| failed)
}

/// What a check answers, or that it failed or took too long.
async fn in_time<T>(name: &str, check: impl Future<Output = Result<T>>) -> Result<T, Check> {
    match tokio::time::timeout(PATIENCE, check).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(e)) => Err(Check::failed(name, &e)),
        Err(_) => Err(Check::not_checked(name, format!("no answer within {} s", PATIENCE.as_secs()))),
    }
}

fn unreachable(first: Check) -> Vec<Check> {
    let rest = CHECKS[1..].iter().map(|name| Check::not_checked(name, "there is no connection"));
    std::iter::once(first).chain(rest).collect()
}

fn tls(address: &Address) -> Check {
    match address.is_protected() {
        true => Check::pass("tls", "the connection is encrypted, and the server's certificate is checked"),
        false => Check::warn(
            "tls",
            "the connection is not encrypted, or any certificate is taken",
            "add tls=true to the URL where the network is not yours alone",
        ),
    }
}

/// The collections that a backup would read.
async fn collections(server: &Server) -> Result<(Check, Vec<Collection>)> {
    let mut found = Vec::new();
    for database in server.databases().await? {
        found.append(&mut catalog::list(server, &database).await?.0);
    }
    for collection in &mut found {
        catalog::read_indexes(server, collection).await?;
        catalog::read_size(server, collection).await;
    }
    let bytes: u64 = found.iter().map(|c| c.bytes).sum();
    let indexes: usize = found.iter().map(|c| c.metadata.indexes.len()).sum();
    let message = format!("{} collections and views, {indexes} indexes, {} MiB", found.len(), bytes >> 20);
    let check = match found.is_empty() {
        true => Check::warn("collections", "there is no collection", "check the database's name in the URL"),
        false => Check::pass("collections", message),
    };
    Ok((check, found))
}

/// Which of the collections and indexes that the caller requires are not there, by kind and name.
fn missing(options: &DoctorOptions, found: &[Collection]) -> Vec<String> {
    // By a name alone, or with the collection's and the database's before it.
    let is = |full: &str, wanted: &str| full == wanted || full.ends_with(&format!(".{wanted}"));
    let collection = |wanted: &&String| !found.iter().any(|c| c.name() == *wanted || c.full_name() == **wanted);
    let index = |wanted: &&String| {
        let of = |c: &Collection| {
            let mut names = c.metadata.indexes.iter().filter_map(|index| index.get_str("name").ok());
            names.any(|name| is(&format!("{}.{name}", c.full_name()), wanted))
        };
        !found.iter().any(of)
    };
    let collections = options.tables.iter().filter(collection).map(|name| format!("collection {name}"));
    collections.chain(options.indexes.iter().filter(index).map(|name| format!("index {name}"))).collect()
}

/// Which moment a backup would show, and whether it lives long enough.
async fn consistency(server: &Server, collections: &[Collection]) -> Result<Check> {
    const NAME: &str = "consistency";
    let (moment, warning) = Moment::take(server, collections).await?;
    let oplog = Since::find(server).await.is_some();
    match warning {
        Some(_) if oplog => {
            let message = format!("MongoDB {} gives no snapshot: {WITH_OPLOG}", server.version);
            return Ok(Check::warn(NAME, message, "upgrade to MongoDB 5.0 or later to have all of them compared"));
        }
        Some(warning) => {
            return Ok(Check::warn(NAME, warning.message, "run the server as a replica set, be it of one member"));
        }
        None => {}
    }
    if moment == Moment::Live {
        return Ok(Check::pass(NAME, "there is nothing that a snapshot could be of"));
    }
    let bytes: u64 = collections.iter().map(|c| c.bytes).sum();
    let told = server.command("admin", doc! { "getParameter": 1, "minSnapshotHistoryWindowInSeconds": 1 }).await;
    let window = told.map_or(0, |told| number(&told, "minSnapshotHistoryWindowInSeconds"));
    let check = window_check(window, bytes);
    Ok(match (oplog, check.status) {
        (true, CheckStatus::Warn) => Check { message: format!("{}; {WITH_OPLOG}", check.message), ..check },
        _ => check,
    })
}

/// What happens without a snapshot where the oplog may be read.
const WITH_OPLOG: &str =
    "the oplog then goes along, and drills do not compare the collections that are written to meanwhile";

fn window_check(window: u64, bytes: u64) -> Check {
    const NAME: &str = "consistency";
    let seconds = bytes / PACE;
    match window {
        0 => Check::pass(
            NAME,
            "all collections are read as of one cluster time; how long the server keeps it could not be asked",
        ),
        _ if seconds > window => Check::warn(
            NAME,
            format!(
                "a backup of {} MiB may take longer than the {window} s for which the server keeps a snapshot",
                bytes >> 20
            ),
            format!("set minSnapshotHistoryWindowInSeconds to {} or more on every member", (seconds * 2).max(600)),
        ),
        _ => {
            Check::pass(NAME, format!("all collections are read as of one cluster time, which is kept for {window} s"))
        }
    }
}

/// What the user may do, as far as it shows.
async fn privileges(server: &Server) -> Result<Check> {
    const NAME: &str = "privileges";
    let told = server.command("admin", doc! { "connectionStatus": 1 }).await;
    let told = told.map_err(|e| failure("asking for the user", e))?;
    let info = told.get_document("authInfo").cloned().unwrap_or_default();
    let names = |key: &str, field: &str| -> Vec<String> {
        let listed = info.get_array(key).into_iter().flatten().filter_map(Bson::as_document);
        listed
            .map(|d: &Document| {
                format!("{}@{}", d.get_str(field).unwrap_or_default(), d.get_str("db").unwrap_or_default())
            })
            .collect()
    };
    let (users, roles) = (names("authenticatedUsers", "user"), names("authenticatedUserRoles", "role"));
    Ok(match users.first() {
        None => Check::warn(
            NAME,
            "nobody is logged in: the server asks for no user, or this one sees nothing",
            "switch access control on where others reach the server",
        ),
        Some(user) => Check::pass(NAME, format!("{user} with the roles {}", roles.join(", "))),
    })
}

/// What a backup would warn of.
async fn objects(server: &Server) -> Result<Check> {
    let mut warnings = Vec::new();
    for database in server.databases().await? {
        warnings.extend(catalog::list(server, &database).await?.1);
    }
    Ok(match warnings.first() {
        None => Check::pass("objects", "everything can be backed up; users and roles are not part of a backup"),
        Some(first) => Check::warn("objects", first.message.clone(), "see docs/mongodb.md"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_has_to_outlive_the_backup() {
        assert_eq!(window_check(300, 1 << 30).status, CheckStatus::Pass);
        let short = window_check(300, 100 << 30);
        assert_eq!(short.status, CheckStatus::Warn);
        assert_eq!(
            short.next.as_deref(),
            Some("set minSnapshotHistoryWindowInSeconds to 12800 or more on every member")
        );
        assert_eq!(window_check(0, 1).status, CheckStatus::Pass);
    }
}
