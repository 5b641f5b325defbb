//! A backup opens with stock tools alone, by the commands that RECOVERY.md gives and in their order.

use std::fs;
use std::process::Command;

use testkit::{PgVersion, Postgres, tool};

use crate::postgres_life::{everything, same_schema};
use crate::recover::{PASSPHRASE, World, passphrase};

/// Somebody who has a store, its passphrase and the page that lies in it.
pub(crate) struct Reader {
    pub(crate) world: World,
    page: String,
    passphrase: &'static str,
}

impl Reader {
    fn of(world: World) -> Self {
        Self::with(world, PASSPHRASE)
    }

    pub(crate) fn with(world: World, passphrase: &'static str) -> Self {
        let page = fs::read_to_string(world.path("store/RECOVERY.md")).unwrap();
        Self { world, page, passphrase }
    }

    /// The name that comes last of those with this ending in a folder: after a change of keys others count.
    fn last(&self, folder: &std::path::Path, suffix: &str) -> String {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(suffix)).max().unwrap()
    }

    /// Steps 1 to 4, and the database is what it was; what they left is removed.
    pub(crate) fn must_unpack_the_database(&self) {
        self.unpack();
        self.world.must_be_the_database(&self.world.backup().join("dump"));
        self.sh("rm -r dump data.key unseal.py volume-*.zip");
    }

    /// A command, if the page gives it.
    #[track_caller]
    fn said(&self, command: &str) -> String {
        assert!(self.page.contains(command), "RECOVERY.md does not say `{command}`");
        command.to_owned()
    }

    /// Runs a command line in the backup's folder.
    fn sh(&self, command: &str) -> String {
        tool(Command::new("sh").arg("-ec").arg(command).current_dir(self.world.backup()))
    }

    /// Steps 1 to 4: from sealed volumes to the folder `dump`.
    fn unpack(&self) {
        self.sh(&self.said("sha256sum -c *.sha256"));

        let python = testkit::python().display().to_string();
        let at_terminal = concat!(env!("CARGO_MANIFEST_DIR"), "/interop/with_passphrase.py");
        let typed = self.world.write("typed", self.passphrase);
        let unlock = self.said("age -d -i ../../keys/1-main.age key-0001.age > data.key");
        let unlock = unlock.replace("1-main.age", &self.last(&self.world.path("store/keys"), ".age"));
        let unlock = unlock.replace("key-0001.age", &self.last(&self.world.backup(), ".age"));
        self.sh(&format!("{python} {at_terminal} {typed} sh -ec '{unlock}'"));

        let lines = self.page.lines().skip_while(|line| !line.contains("import struct"));
        let program: String =
            lines.take_while(|line| !line.is_empty()).map(|line| format!("{}\n", &line[7..])).collect();
        fs::write(self.world.backup().join("unseal.py"), program).unwrap();
        let header = self.world.manifest()["header"].clone();
        let volumes = header["volumes"].as_array().unwrap();
        assert!(volumes.len() > 1, "several volumes were meant");
        for volume in volumes {
            self.sh(&format!("{python} unseal.py {} {} {}", header["repository"], header["id"], volume["name"]));
        }

        self.sh(&self.said(r#"for v in volume-*.zip; do unzip -q -d dump "$v"; done"#));
        let mut joined = 0;
        for entry in fs::read_dir(self.world.backup().join("dump")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if let Some(name) = name.strip_suffix(".002") {
                self.sh(&self.said("cat dump/NAME.0?? >> dump/NAME").replace("NAME", name));
                joined += 1;
            }
        }
        assert!(joined > 0, "a file that goes on in another volume was meant");
        self.sh(&self.said("find dump -name '*.zst' -exec unzstd -q --rm {} +"));
    }

    /// Step 5, with the programs of this server's version.
    fn load(&self, server: &Postgres, database: &str) {
        server.drop(database);
        let client = server.client("pg_restore");
        let load = self.said("createdb NEW && pg_restore -j 2 --exit-on-error -d NEW dump").replace("NEW", database);
        let programs = server.tool("").display().to_string();
        let path = format!("{programs}:{}", std::env::var("PATH").unwrap());
        let mut command = Command::new("sh");
        command.envs(client.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("PATH", path);
        tool(command.arg("-ec").arg(load).current_dir(self.world.backup()));
    }
}

#[tokio::test]
async fn a_sqlite_backup_is_a_file_again() {
    let Some(world) = World::new(passphrase).await else { return };
    let reader = Reader::of(world);
    reader.unpack();
    assert_eq!(reader.sh(&reader.said("sqlite3 dump/*.db 'PRAGMA integrity_check'")).trim(), "ok");
    reader.world.must_be_the_database(&reader.world.backup().join("dump"));
}

/// A backup of everything there is, and of rows enough for several volumes.
async fn postgres(server: &Postgres, source: &str) -> Option<Reader> {
    everything(server, source);
    let noise = "CREATE TABLE public.noise AS
        SELECT i AS id, sha512(convert_to(i::text, 'UTF8')) AS noise FROM generate_series(1, 40000) i";
    server.psql(source, noise);
    let world = World::of(tempfile::tempdir().unwrap(), server.url(source), passphrase).await?;
    let reader = Reader::of(world);
    reader.unpack();
    Some(reader)
}

#[tokio::test]
async fn a_postgres_backup_is_loaded_by_its_own_version() {
    for version in [PgVersion::V15, PgVersion::V18] {
        let Some(server) = Postgres::shared(version) else { continue };
        let (source, target) = ("hand_source", "hand_target");
        let Some(reader) = postgres(server, source).await else { return };
        reader.load(server, target);
        same_schema(&server.pg_dump_schema(target), &server.pg_dump_schema(source), &format!("{version:?}"));
        assert_eq!(server.content(target), server.content(source), "{version:?}");
        server.drop(target);
        server.drop(source);
    }
}

#[tokio::test]
async fn a_postgres_backup_is_loaded_by_a_later_version() {
    let (Some(old), Some(new)) = (Postgres::shared(PgVersion::V15), Postgres::shared(PgVersion::V18)) else { return };
    let (source, target) = ("hand_old", "hand_new");
    // The roles are not in a backup.
    everything(new, target);
    let Some(reader) = postgres(old, source).await else { return };
    reader.load(new, target);
    assert_eq!(new.content(target), old.content(source));
    new.drop(target);
    old.drop(source);
}
