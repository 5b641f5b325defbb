//! Tests against a server: `LASTGOOD_TEST_POSTGRES_URL` is the URL of a superuser. Without it they do nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod failures;
mod folder;
mod promote;
mod round_trip;

use std::sync::atomic::{AtomicU32, Ordering};

use futures::{StreamExt as _, TryStreamExt as _};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::*;
use crate::engine::{FileRole, PartPlace, PartRef, Selection, SnapshotSummary, StoredFile};
use crate::error::{Code, Error};
use crate::report::Warning;
use crate::settings::Codec;

/// A URL of the server, or none: then the test has nothing to run on.
fn server() -> Option<String> {
    std::env::var("LASTGOOD_TEST_POSTGRES_URL").ok()
}

/// A database that is dropped at the end of its test.
struct Scratch {
    url: String,
    name: String,
    /// Roles that go with it.
    roles: Vec<String>,
}

impl Scratch {
    /// A name of its own; the database does not exist yet.
    fn new(url: &str, name: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("lg {name} \"{}\" {number}", std::process::id());
        Self { url: url.to_owned(), name, roles: vec![] }
    }

    /// An empty database.
    async fn create(url: &str, name: &str) -> Self {
        let scratch = Self::new(url, name);
        scratch.admin(&format!("CREATE DATABASE {} TEMPLATE template0", quote::ident(&scratch.name))).await;
        scratch
    }

    async fn role(&mut self, name: &str) -> String {
        let name = format!("lg_{}_{}_{name}", std::process::id(), self.name.len() + self.roles.len());
        // The server may ask everybody for a password: the URL's own will do.
        let password = url::Url::parse(&self.url).unwrap().password().unwrap_or("none").to_owned();
        self.admin(&format!("DROP ROLE IF EXISTS {name}; CREATE ROLE {name} LOGIN PASSWORD '{password}'")).await;
        self.roles.push(name.clone());
        name
    }

    fn engine(&self) -> Arc<dyn Engine> {
        Postgres::new(&self.url).unwrap().sibling(&self.name, None).unwrap()
    }

    async fn admin(&self, sql: &str) {
        let mut conn = PgConnection::connect(&self.url).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut conn).await.unwrap();
    }

    async fn connect(&self) -> PgConnection {
        Server::new(&self.url).unwrap().sibling(&self.name).connect_plain().await.unwrap()
    }

    async fn run(&self, sql: &str) {
        let mut conn = self.connect().await;
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut conn).await.unwrap();
        conn.close().await.unwrap();
    }

    async fn ask(&self, sql: &str) -> String {
        let mut conn = self.connect().await;
        connect::query_one(&mut conn, sql, "asking").await.unwrap().unwrap_or_default()
    }

    async fn drop(self) {
        self.admin(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quote::ident(&self.name))).await;
        for role in &self.roles {
            self.admin(&format!("DROP ROLE {role}")).await;
        }
    }
}

/// A dump held in memory: files, each with its parts.
struct Dump {
    files: Vec<(String, FileRole, Vec<Vec<u8>>)>,
    summary: SnapshotSummary,
}

impl Dump {
    async fn of(engine: &dyn Engine, part_bytes: u64) -> Result<Self> {
        let snapshot = engine.snapshot(&options(part_bytes)).await?;
        Self::read(snapshot).await
    }

    async fn read(snapshot: Box<dyn Snapshot>) -> Result<Self> {
        let refs: Vec<PartRef> = snapshot
            .files()
            .iter()
            .enumerate()
            .flat_map(|(file, f)| (0..f.parts.len()).map(move |part| PartRef { file, part }))
            .collect();
        let read = |part: PartRef| {
            let stream = snapshot.read(part);
            async move {
                let bytes = stream.try_fold(Vec::new(), |mut all, piece| async move {
                    all.extend_from_slice(&piece);
                    Ok(all)
                });
                Ok::<_, Error>((part, bytes.await?))
            }
        };
        let parts: Vec<(PartRef, Vec<u8>)> = futures::stream::iter(refs).map(read).buffered(2).try_collect().await?;
        let mut files: Vec<_> = snapshot.files().iter().map(|f| (f.name.clone(), f.role, vec![])).collect();
        for (part, bytes) in parts {
            files[part.file].2.push(bytes);
        }
        let summary = snapshot.finish().await?;
        Ok(Self { files, summary })
    }

    fn file(&self, name: &str) -> Vec<u8> {
        self.files.iter().find(|f| f.0 == name).map(|f| f.2.concat()).unwrap()
    }

    async fn restore(&self, engine: &dyn Engine, options: &RestoreOptions) -> Result<Vec<Warning>> {
        let mut target = engine.target(options).await?;
        let result = match self.load(target.as_mut()).await {
            Ok(()) => target.finish().await,
            Err(e) => Err(e),
        };
        if result.is_err() {
            target.abort().await.unwrap();
        }
        result
    }

    async fn load(&self, target: &mut dyn Target) -> Result<()> {
        let of_role = |role| self.files.iter().filter(move |f| f.1 == role);
        let schema = of_role(FileRole::Schema).map(|f| (f.0.clone(), f.2.concat().into())).collect();
        let stored = |f: &(String, FileRole, Vec<Vec<u8>>)| StoredFile {
            name: f.0.clone(),
            bytes: Some(f.2.iter().map(|p| p.len() as u64).sum()),
        };
        let data: Vec<StoredFile> = of_role(FileRole::Data).map(stored).collect();
        target.prepare(schema, &data).await?;
        let mut places = Vec::new();
        for (name, _, parts) in of_role(FileRole::Data) {
            let mut offset = 0;
            for part in parts {
                places.push((PartPlace { file: name, offset, bytes: Some(part.len() as u64) }, part));
                offset += part.len() as u64;
            }
        }
        let target = &*target;
        let load = |(place, part): (PartPlace<'_>, &Vec<u8>)| {
            // Pieces that end anywhere.
            let pieces: Vec<_> = part.chunks(99_991).map(|c| Ok(bytes::Bytes::copy_from_slice(c))).collect();
            let name = place.file.to_owned();
            let (offset, bytes) = (place.offset, place.bytes);
            async move {
                let place = PartPlace { file: &name, offset, bytes };
                target.load(place, futures::stream::iter(pieces).boxed()).await
            }
        };
        futures::stream::iter(places).map(load).buffer_unordered(2).try_collect().await
    }
}

fn options(part_bytes: u64) -> SnapshotOptions {
    SnapshotOptions {
        jobs: 2,
        part_bytes,
        codec: Codec::None,
        work_dir: None,
        globals: false,
        role_passwords: false,
        select: Selection::default(),
    }
}

fn plain() -> RestoreOptions {
    RestoreOptions { jobs: 2, ..RestoreOptions::default() }
}
