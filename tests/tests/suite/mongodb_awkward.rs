//! MongoDB at its edges: what only a mongod does, damaged folders, huge documents, what the doctor is told to look for.

use lastgood::{CheckStatus, Code, ExportFormat, Settings};
use testkit::{Mongodb, peak_memory};

use crate::world::{World, bare_command, must_fail};

/// The stand-in writes after each snapshot was taken, and loses a cursor.
#[tokio::test]
async fn one_cluster_time_duplicate_keys_and_buckets_come_back_as_they_were() {
    let Some(server) = Mongodb::stand_in() else { return };
    let world = World::new();
    let (sent, dump) = (world.path("sent"), world.path("dump"));
    std::fs::create_dir(&sent).unwrap();
    server.python("standin_fill.py", &[&sent.display().to_string()]);
    let vault = world.vault(&server.url("shop")).await;
    let backup = vault.backup().await.unwrap();
    assert_eq!((backup.rows, backup.warnings.len()), (14, 0), "what was written later is not in it");
    assert_eq!(vault.show("latest").await.unwrap().point.kind, "cluster_time");
    vault.export(&backup.id).folder(&dump).await.unwrap();
    for (name, file) in [("twice", "twice.bson"), ("system.buckets.weather", "buckets.bson")] {
        let dumped = std::fs::read(dump.join(format!("shop/{name}.bson"))).unwrap();
        assert!(dumped == std::fs::read(sent.join(file)).unwrap(), "{name} is not what was sent");
    }
    // A drill compares hashes of the documents' bytes.
    assert_eq!(vault.drill(&backup.id).await.unwrap().rows, 14);
    vault.restore(&backup.id).target(server.url("copy")).await.unwrap();
    let again = world.path("again");
    let copied = World::new();
    let of_copy = copied.vault(&server.url("copy")).await;
    let copy = of_copy.backup().await.unwrap();
    of_copy.export(&copy.id).folder(&again).await.unwrap();
    for name in ["twice.metadata.json", "weather.metadata.json", "twice.bson", "system.buckets.weather.bson"] {
        let [was, is] = [dump.join("shop"), again.join("copy")].map(|folder| std::fs::read(folder.join(name)).unwrap());
        assert_eq!(without_uuid(&is), without_uuid(&was), "{name}");
    }
    assert_eq!(vault.backup().await.unwrap().rows, 15, "what was written later is in the next one");
}

/// The stand-in gives up the first cursor of each collection `twice`.
#[tokio::test]
async fn a_cursor_that_is_lost_is_begun_again_where_that_misses_nothing() {
    let Some(server) = Mongodb::stand_in() else { return };
    let world = World::new();
    let mut settings = Settings::default();
    settings.part_bytes = 64 << 10;
    server.python("run.py", &["cut", r#"[{"fill": "twice", "n": 300}]"#]);
    let vault = world.builder(&server.url("cut")).settings(settings).open().await.unwrap();
    assert_eq!(vault.backup().await.unwrap().rows, 300, "it was lost while borders were looked for");
    server.python(
        "run.py",
        &["ring", r#"[{"create": "twice", "capped": true, "size": 99999}, {"fill": "twice", "n": 9}]"#],
    );
    let ring = World::new().vault(&server.url("ring")).await;
    must_fail(ring.backup().await, Code::DatabaseUnavailable, "natural order");
    assert_eq!(ring.backup().await.unwrap().rows, 9);
}

/// Metadata without what no restore gives back.
fn without_uuid(bytes: &[u8]) -> Vec<u8> {
    match serde_json::from_slice::<serde_json::Value>(bytes) {
        Ok(mut metadata) => {
            metadata.as_object_mut().unwrap().remove("uuid");
            metadata.to_string().into_bytes()
        }
        Err(_) => bytes.to_vec(),
    }
}

/// The stand-in merges users as a mongod does for mongorestore, and leaves out one of them.
#[tokio::test]
async fn users_and_roles_go_along_where_that_is_wanted() {
    let Some((server, other)) = Mongodb::stand_in().zip(Mongodb::stand_in()) else { return };
    let world = World::new();
    server.python("standin_fill.py", &[&world.path("").display().to_string()]);
    server.python("users.py", &["fill"]);
    let vault = world.vault(&server.url("shop")).await;
    let without = vault.backup().await.unwrap();
    let backup = vault.backup().globals().await.unwrap();
    let copy = server.url("copy");
    must_fail(
        vault.restore(&without.id).target(&copy).globals().await,
        Code::InvalidOption,
        "holds no users and roles",
    );

    let restored = vault.restore(&backup.id).target(&copy).globals().await.unwrap();
    let told: Vec<_> = restored.warnings.iter().map(|w| (w.code.as_str(), w.message.as_str())).collect();
    assert_eq!(told, [("globals_left_out", "user broken of copy was not taken by the server")]);
    let there = "copy.clerk copy.orders\nshop.clerk shop.orders\nadmin.ops root@admin\ncopy.app clerk@copy read@crm\n\
                 shop.app clerk@shop read@crm\nshop.broken\n";
    let list = |server: &Mongodb| server.python("users.py", &["list"]);
    assert_eq!(list(&server), there, "those of the database have its new name, and others stay as they are");
    vault.restore(&backup.id).target(&copy).clean().globals().await.unwrap();
    assert_eq!(list(&server), there, "those that are there are not made again");

    // In an archive of old runbooks they are whole as well; what mongodump made is restored without them.
    let old = world.path("old");
    vault.export(&backup.id).folder(&old).format(ExportFormat::Classic).plain().await.unwrap();
    let archive = old.join(format!("{}.dump.gz", backup.id)).display().to_string();
    let restored = vault.restore(&archive).target(server.url("from_archive")).await.unwrap();
    let told: String = restored.warnings.iter().map(|w| format!("{} {}\n", w.code, w.message)).collect();
    assert!(told.contains("server_collection") && told.contains("system.users"), "{told}");

    let everything = World::new();
    let of_all = everything.vault(&server.url("")).await;
    let all = of_all.backup().globals().await.unwrap();
    of_all.restore(&all.id).target(other.url("")).globals().await.unwrap();
    assert_eq!(list(&other), there.replace("shop.broken\n", ""));
    let dump = world.path("dump");
    of_all.export(&all.id).folder(&dump).await.unwrap();
    for name in ["users", "roles", "version"] {
        assert!(dump.join(format!("admin/system.{name}.bson")).exists(), "{name}");
    }
    assert_eq!(of_all.drill(&all.id).await.unwrap().rows, all.rows);
}

#[tokio::test]
async fn a_folder_with_a_file_that_was_cut_off_is_refused() {
    let Some(server) = Mongodb::shared() else { return };
    let source = server.database("folder");
    source.python("fill.py", &[]);
    let world = World::new();
    source.python("write_archive.py", &[&world.path("old").display().to_string()]);
    let vault = world.vault(&source.url()).await;
    let folder = world.path("old/plain");
    let path = folder.display().to_string();
    vault.verify(&path).await.unwrap();
    let orders = folder.join("shop/orders.bson");
    let whole = std::fs::read(&orders).unwrap();
    let first = usize::try_from(u32::from_le_bytes(whole[..4].try_into().unwrap())).unwrap();
    // In a length, in a document, before its last byte.
    for length in [whole.len() - 1, whole.len() / 2, first + 2, first + 40] {
        std::fs::write(&orders, &whole[..length]).unwrap();
        must_fail(vault.verify(&path).await, Code::Damaged, "orders.bson");
    }
    let copy = server.database("folder_copy");
    must_fail(vault.restore(&path).target(copy.url()).await, Code::Damaged, "orders.bson");
    assert_eq!(copy.python("names.py", &[]).trim(), "", "what was loaded was taken back");
}

#[tokio::test]
async fn collections_and_indexes_that_are_required_are_looked_for() {
    let Some(server) = Mongodb::shared() else { return };
    let source = server.database("required");
    source.python("bench.py", &["fill", "10", "10"]);
    let vault = World::new().vault(&source.url()).await;
    let doctor = vault.doctor().table("items").index("_id_").index("items._id_").await.unwrap();
    let check = |doctor: &lastgood::DoctorReport| doctor.checks.iter().find(|c| c.name == "required").cloned().unwrap();
    assert_eq!(check(&doctor).status, CheckStatus::Pass, "{:?}", check(&doctor));
    let doctor = vault.doctor().table("items").table("orders").index("s._id_").await.unwrap();
    assert_eq!(check(&doctor).message, "not there: collection orders, index s._id_");
    assert_eq!(check(&doctor).status, CheckStatus::Fail);
}

#[test]
fn huge_documents_take_at_most_five_times_the_size_of_one() {
    const MIB: u64 = 1 << 20;
    const DOCUMENT: u64 = 15 * MIB;
    // It keeps everything in memory, and is quick.
    let Some(server) = Mongodb::stand_in() else { return };
    server.python("bench.py", &["huge", "fill", "14", &DOCUMENT.to_string()]);
    let world = World::new();
    let key = world.file("raw", &format!("raw:{}", "5a".repeat(32)));
    let run = |arguments: &[&str]| {
        let mut command = bare_command();
        command.args(arguments).args(["--jobs", "1", "--quiet", "--name", "huge", "--key-file", &key, "--store"]);
        let finished = peak_memory(command.arg(world.store()));
        assert!(finished.status.success(), "{}", finished.output);
        println!("{arguments:?}: {} MiB", finished.peak_bytes / MIB);
        finished.peak_bytes
    };
    let peaks = [
        run(&["backup", "--database", &server.url("huge")]),
        run(&["drill", "latest", "--database", &server.url("huge")]),
    ];
    // Besides what any backup may take in a build without optimizations. All of them are 210 MiB.
    assert!(peaks.iter().all(|peak| *peak <= 100 * MIB + 5 * DOCUMENT), "{peaks:?}");
}
