//! The artifacts of old scripts, made by the very pipeline of those scripts, and read by it.

use std::path::{Path, PathBuf};
use std::process::Command;

use lastgood::{Code, ExportFormat, Settings, Vault, VaultBuilder};
use object_store::{ObjectStoreExt as _, parse_url_opts};
use testkit::{PgVersion, Postgres, SeaweedFs, peak_memory, tool};

use crate::postgres_life::{SHOP, same_schema};
use crate::world::{PASSPHRASE, World, answer, bare_command, files, must_fail, refusal};

const NAME: &str = "backup-20240101-020000.dump.gz.enc";

/// What an old script does every night, in the folder that is its store.
fn old_script(server: &Postgres, database: &str, folder: &Path, name: &str) -> PathBuf {
    std::fs::create_dir_all(folder).unwrap();
    let dump = if name.contains(".sql") { "-Fp" } else { "-Fc" };
    let seal = if name.ends_with(".enc") { "openssl enc -aes-256-cbc -pbkdf2 -salt -pass env:KEY" } else { "cat" };
    let line = format!(
        "set -euo pipefail; \"$PG_DUMP\" {dump} -d '{database}' | gzip | {seal} > {name}; sha256sum {name} > {name}.sha256"
    );
    tool(shell(server, folder).args(["-c", &line]));
    folder.join(name)
}

/// What the runbook of such a script says for the day of need.
fn runbook(server: &Postgres, database: &str, folder: &Path, name: &str) {
    server.create(database);
    let open = if name.ends_with(".enc") { "openssl enc -d -aes-256-cbc -pbkdf2 -pass env:KEY -in" } else { "cat" };
    let line = format!(
        "set -euo pipefail; sha256sum -c {name}.sha256; {open} {name} | gunzip | \"$PG_RESTORE\" --exit-on-error -d '{database}'"
    );
    tool(shell(server, folder).args(["-c", &line]));
}

fn shell(server: &Postgres, folder: &Path) -> Command {
    let mut command = server.client("pg_dump");
    let environment: Vec<_> = command.get_envs().map(|(k, v)| (k.to_owned(), v.unwrap().to_owned())).collect();
    command = Command::new("bash");
    command.envs(environment).env("KEY", PASSPHRASE).current_dir(folder);
    // The zone of whoever dumps shows in the text of the rows, and must not show in what is compared.
    command.env("PGTZ", "Asia/Kolkata");
    command.env("PG_DUMP", server.tool("pg_dump")).env("PG_RESTORE", server.tool("pg_restore"));
    command
}

/// A vault over a folder of artifacts, with the passphrase of the scripts.
fn old_store(folder: &Path) -> VaultBuilder {
    Vault::builder().store(folder.display().to_string()).passphrase(PASSPHRASE)
}

fn shop(server: &Postgres, database: &str) -> (String, Vec<String>) {
    server.create(database);
    server.psql(database, SHOP);
    server.psql(database, "SELECT lo_from_bytea(4711, 'large'), lo_create(4712)");
    look(server, database)
}

fn look(server: &Postgres, database: &str) -> (String, Vec<String>) {
    let mut content = server.content(database);
    content.push(server.psql(database, "SELECT oid, md5(lo_get(oid)) FROM pg_largeobject_metadata ORDER BY 1"));
    (server.pg_dump_schema(database), content)
}

#[track_caller]
fn same(server: &Postgres, database: &str, expected: &(String, Vec<String>)) {
    let (schema, content) = look(server, database);
    same_schema(&schema, &expected.0, database);
    assert_eq!(content, expected.1, "{database}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_artifacts_is_listed_verified_and_restored_and_stays_as_it_is() {
    let Some(server) = Postgres::shared(PgVersion::V15) else { return };
    let world = World::new();
    let expected = shop(server, "classic_life");
    let folder = world.path("old");
    let names =
        [NAME, "backup-20240102-020000.dump.gz", "backup-20240103-020000.sql.gz", "backup-20240104-020000.sql.gz.enc"];
    for name in names {
        old_script(server, "classic_life", &folder, name);
    }
    let before = files(&folder);

    let vault = old_store(&folder).open().await.unwrap();
    let listed = vault.artifacts().await.unwrap();
    let mut shown: Vec<_> = listed.iter().map(|a| (a.name.as_str(), a.encrypted, a.checksum)).collect();
    shown.reverse();
    assert_eq!(shown, names.map(|name| (name, name.ends_with(".enc"), true)));
    assert_eq!(listed[3].started_at, "2024-01-01T02:00:00Z".parse().ok());
    for name in names {
        let verified = vault.verify(name).await.unwrap();
        assert_eq!((verified.id.as_str(), verified.warnings.len()), (name, 0));
        assert!(verified.raw_bytes > 1000 && verified.stored_bytes > 1000, "{verified:?}");
        server.drop("classic_restored");
        let restored = vault.restore(name).target(server.url("classic_restored")).await.unwrap();
        assert_eq!((restored.id.as_str(), restored.warnings.len()), (name, 0), "{restored:?}");
        same(server, "classic_restored", &expected);
    }
    must_fail(vault.list().await, Code::StoreNotFound, "no store here");
    must_fail(vault.verify("backup-20240109-020000.dump.gz").await, Code::BackupNotFound, "20240109");
    assert_eq!(files(&folder), before, "nothing was written among them");
    server.drop("classic_restored");
    server.drop("classic_life");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_restores_a_file_without_any_store() {
    let Some(server) = Postgres::shared(PgVersion::V15) else { return };
    let world = World::new();
    let expected = shop(server, "classic_cli");
    let file = old_script(server, "classic_cli", &world.path("old"), NAME).display().to_string();
    let key = world.file("key", &format!("{PASSPHRASE}\n"));
    let target = server.url("classic_cli_restored");
    server.drop("classic_cli_restored");

    let (status, error) = refusal(bare_command().args(["restore", &file, "--target", &target]));
    assert_eq!((status, error["code"].as_str()), (5, Some("key_required")));
    let wrong = world.file("wrong", "another passphrase that nobody ever used");
    let (status, error) = refusal(bare_command().args(["restore", &file, "--target", &target, "--key-file", &wrong]));
    assert_eq!((status, error["code"].as_str()), (5, Some("wrong_key")));
    let report = answer(bare_command().args(["restore", &file, "--target", &target, "--artifact-key-file", &key]));
    assert_eq!(report["id"], NAME);
    same(server, "classic_cli_restored", &expected);
    // From its own folder by its name alone, and verified in the same way.
    let report = answer(bare_command().args(["verify", NAME, "--key-file", &key]).current_dir(world.path("old")));
    assert_eq!(report["id"], NAME);
    let listed = answer(bare_command().args(["artifacts", "--store"]).arg(world.path("old")));
    assert_eq!(listed[0]["name"], NAME);
    server.drop("classic_cli_restored");
    server.drop("classic_cli");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_is_a_backup_like_any_other() {
    // A server of its own: other tests' scratch databases come and go on the shared ones.
    let Some(server) = Postgres::start(PgVersion::V15) else { return };
    let server = &server;
    let world = World::new();
    shop(server, "classic_import");
    server.psql("classic_import", "CREATE TABLE moment AS SELECT now() AS at, 1.1::float8 AS f");
    let expected = look(server, "classic_import");
    for name in [NAME, "backup-20240103-020000.sql.gz"] {
        old_script(server, "classic_import", &world.store(), name);
    }
    let vault = world.vault(&server.url("classic_import")).await;
    vault.backup().await.unwrap();
    for (name, id) in [(NAME, "backup-20240101-020000"), ("backup-20240103-020000.sql.gz", "backup-20240103-020000")] {
        let imported = vault.import(name).tag("old").await.unwrap();
        assert_eq!((imported.id.as_str(), imported.started_at), (id, imported.id.started_at()));
        let shown = vault.show(id).await.unwrap();
        assert_eq!((shown.point.kind.as_str(), shown.summary.tags.as_slice()), ("artifact", &["old".to_owned()][..]));
        assert!(
            shown.point.position.starts_with(name) && shown.point.position.contains(" sha256:"),
            "{:?}",
            shown.point
        );
        vault.verify(id).await.unwrap();
        let drilled = vault.drill(id).await.unwrap();
        assert_eq!((drilled.rows, drilled.tables), (imported.rows, imported.tables));
        server.drop("classic_imported");
        vault.restore(id).target(server.url("classic_imported")).await.unwrap();
        same(server, "classic_imported", &expected);
    }
    // Old as they are, imports do not come between tonight's backup and the one before.
    let newest = vault.backup().await.unwrap();
    let all = vault.list().await.unwrap();
    assert_eq!((all.len(), &all[0].id), (4, &newest.id));
    assert!(!server.databases().iter().any(|name| name.contains("lastgood_drill")), "{:?}", server.databases());
    server.drop("classic_imported");
    server.drop("classic_import");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_region_of_an_artifact_is_checked() {
    let Some(server) = Postgres::shared(PgVersion::V15) else { return };
    let world = World::new();
    let expected = shop(server, "classic_damage");
    let folder = world.path("old");
    let file = old_script(server, "classic_damage", &folder, NAME);
    let side = folder.join(format!("{NAME}.sha256"));
    let (whole, checksum) = (std::fs::read(&file).unwrap(), std::fs::read(&side).unwrap());
    let vault = old_store(&folder).open().await.unwrap();
    let regions =
        [0, 8, 16, 20, 33, whole.len() / 3, whole.len() / 2, whole.len() - 33, whole.len() - 17, whole.len() - 1];

    for at in regions {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        std::fs::write(&file, &flipped).unwrap();
        must_fail(vault.verify(NAME).await, Code::Damaged, "SHA-256");
        let restored = vault.restore(NAME).target(server.url("classic_damaged")).await;
        must_fail(restored, Code::Damaged, "SHA-256");
    }
    std::fs::write(&file, &whole[..whole.len() - 16]).unwrap();
    must_fail(vault.verify(NAME).await, Code::Damaged, "SHA-256");
    std::fs::write(&file, &whole).unwrap();
    for bad in [&b"\n"[..], &checksum[1..], b"0123456789012345678901234567890123456789012345678901234567890123  x\n"] {
        std::fs::write(&side, bad).unwrap();
        must_fail(vault.verify(NAME).await, Code::Damaged, NAME);
    }

    // Without its checksum: what is damaged is refused or does no harm, and that nothing proves it is told.
    std::fs::remove_file(&side).unwrap();
    let codes = [Code::Damaged, Code::WrongKey, Code::UnsupportedDatabase];
    for at in regions {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        std::fs::write(&file, &flipped).unwrap();
        server.drop("classic_damaged");
        match vault.restore(NAME).target(server.url("classic_damaged")).await {
            Ok(report) => {
                assert_eq!(report.warnings[0].code, "no_checksum");
                same(server, "classic_damaged", &expected);
            }
            Err(e) => {
                assert!(codes.contains(&e.code()), "byte {at}: {e}");
                assert!(!server.exists("classic_damaged"), "byte {at}");
            }
        }
    }
    for length in [0, 7, 16, 32, whole.len() / 2 / 16 * 16, whole.len() - 16, whole.len() - 1] {
        std::fs::write(&file, &whole[..length]).unwrap();
        let error = vault.verify(NAME).await.unwrap_err();
        assert!(codes.contains(&error.code()), "cut at {length}: {error}");
    }
    server.drop("classic_damaged");
    server.drop("classic_damage");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_of_ours_is_restored_by_the_runbook() {
    for version in [PgVersion::V15, PgVersion::V18] {
        let Some(server) = Postgres::shared(version) else { continue };
        let world = World::new();
        let expected = shop(server, "classic_export");
        let mut settings = Settings::default();
        settings.part_bytes = 64 << 10;
        let vault = world.builder(&server.url("classic_export")).settings(settings).open().await.unwrap();
        let id = vault.backup().await.unwrap().id;
        let folder = world.path("classic");
        let export = || vault.export("latest").folder(&folder).format(ExportFormat::Classic);
        let report = export().await.unwrap();
        assert_eq!(
            (report.files, report.bytes),
            (2, std::fs::metadata(folder.join(format!("{id}.dump.gz.enc"))).unwrap().len())
        );
        must_fail(export().await, Code::TargetNotEmpty, id.as_str());
        export().plain().await.unwrap();
        for suffix in ["dump.gz.enc", "dump.gz"] {
            let name = format!("{id}.{suffix}");
            runbook(server, "classic_runbook", &folder, &name);
            same(server, "classic_runbook", &expected);
            server.drop("classic_again");
            let old = old_store(&folder).open().await.unwrap();
            old.restore(&name).target(server.url("classic_again")).await.unwrap();
            same(server, "classic_again", &expected);
        }
        let listed: Vec<_> = files(&folder).into_keys().collect();
        assert_eq!(listed.len(), 4, "{listed:?}");
        for database in ["classic_again", "classic_runbook", "classic_export"] {
            server.drop(database);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn artifacts_of_other_engines_are_refused() {
    let world = World::new();
    let vault = world.vault(&world.make("small.db", crate::world::SMALL)).await;
    vault.backup().await.unwrap();
    let folder = world.path("classic");
    let refused = vault.export("latest").folder(&folder).format(ExportFormat::Classic).await;
    must_fail(refused, Code::UnsupportedDatabase, "sqlite");
    assert_eq!(files(&folder).len(), 0);
    let script = world.file("a.sql", "SELECT 1;\n");
    must_fail(vault.restore(&script).target(world.sqlite("x.db")).await, Code::UnsupportedDatabase, "a.sql");
    let other = world.file("a.dump", "\0\x01\x02 nothing that is known");
    must_fail(vault.verify(&other).await, Code::UnsupportedDatabase, "a.dump");
}

#[tokio::test(flavor = "multi_thread")]
async fn artifacts_in_s3_are_found_by_name_and_by_url() {
    let (Some(server), Some(s3)) = (Postgres::shared(PgVersion::V15), SeaweedFs::shared()) else { return };
    let world = World::new();
    let expected = shop(server, "classic_s3");
    let bucket = s3.bucket("classic");
    let (store, _) =
        parse_url_opts(&bucket.parse().unwrap(), s3.env().into_iter().chain([("aws_allow_http", "true".to_owned())]))
            .unwrap();
    for file in
        [old_script(server, "classic_s3", &world.path("old"), NAME), world.path("old").join(format!("{NAME}.sha256"))]
    {
        let name = format!("old/{}", file.file_name().unwrap().to_str().unwrap());
        store.put(&name.as_str().into(), std::fs::read(&file).unwrap().into()).await.unwrap();
    }
    let with_options = |builder: VaultBuilder| {
        s3.env().into_iter().fold(builder, |b, (key, value)| b.store_option(key.to_lowercase(), value))
    };
    let vault =
        with_options(Vault::builder().store(format!("{bucket}/old")).passphrase(PASSPHRASE)).open().await.unwrap();
    assert_eq!(vault.artifacts().await.unwrap()[0].name, NAME);
    vault.verify(NAME).await.unwrap();
    let storeless = with_options(Vault::builder().without_store()).open().await.unwrap();
    server.drop("classic_s3_restored");
    let url = format!("{bucket}/old/{NAME}");
    storeless.restore(&url).artifact_passphrase(PASSPHRASE).target(server.url("classic_s3_restored")).await.unwrap();
    same(server, "classic_s3_restored", &expected);
    // The first backup makes a store beside them.
    let vault = with_options(Vault::builder().store(format!("{bucket}/old")).passphrase(PASSPHRASE).work_factor(4));
    let vault = vault.database(server.url("classic_s3")).open().await.unwrap();
    vault.backup().await.unwrap();
    assert_eq!((vault.list().await.unwrap().len(), vault.artifacts().await.unwrap().len()), (1, 1));
    server.drop("classic_s3_restored");
    server.drop("classic_s3");
}

#[test]
fn memory_does_not_depend_on_the_artifact() {
    const MIB: u64 = 1 << 20;
    let Some(server) = Postgres::shared(PgVersion::V15) else { return };
    let world = World::new();
    server.create("classic_memory");
    server.psql("classic_memory", "CREATE UNLOGGED TABLE t (id int, v text)");
    let value = "(SELECT string_agg(encode(sha512(convert_to(i || '.' || k, 'UTF8')), 'base64'), '') FROM generate_series(1, 11) k)";
    server.psql("classic_memory", &format!("INSERT INTO t SELECT i, {value} FROM generate_series(1, 100000) i"));
    let key = world.file("key", PASSPHRASE);
    for name in [NAME, "backup-20240103-020000.sql.gz"] {
        let file = old_script(server, "classic_memory", &world.path("old"), name);
        assert!(std::fs::metadata(&file).unwrap().len() > 50 * MIB);
        server.drop("classic_memory_restored");
        let target = server.url("classic_memory_restored");
        let mut command = bare_command();
        command.args(["restore", "--quiet", file.to_str().unwrap(), "--target", &target, "--artifact-key-file", &key]);
        let finished = peak_memory(&mut command);
        assert!(finished.status.success(), "{}", finished.output);
        println!("{name}: {} bytes", finished.peak_bytes);
        assert!(finished.peak_bytes <= 100 * MIB, "{name}: {} bytes", finished.peak_bytes);
        let count = "SELECT count(*), sum(length(v)) FROM t";
        assert_eq!(server.psql("classic_memory_restored", count), server.psql("classic_memory", count));
    }
    server.drop("classic_memory_restored");
    server.drop("classic_memory");
}
