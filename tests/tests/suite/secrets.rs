//! One canary a secret: none of them turns up in what is printed, logged, stored, or shown of a process.

use std::process::{Command, Stdio};

use testkit::{DatabaseServer, each_server, each_server_and_mongodb};

use crate::world::{PASSPHRASE, SMALL, World, bare_command, files};

/// No secret is in a text, nor its base64, which would hide it from a reader's eye only.
#[track_caller]
fn clean(place: &str, bytes: &[u8], secrets: &[&str]) {
    use base64::Engine as _;
    for secret in secrets {
        // Three alignments: base64 of a text depends on where in a group of three bytes it begins.
        let encoded = (0..3).map(|shift| {
            let whole =
                base64::engine::general_purpose::STANDARD.encode(["\0\0\0".get(..shift).unwrap(), secret].concat());
            whole.get(4..whole.len() - 4).unwrap_or_default().as_bytes().to_vec()
        });
        for needle in std::iter::once(secret.as_bytes().to_vec()).chain(encoded) {
            let found = bytes.windows(needle.len()).any(|window| window == needle);
            assert!(!found, "a secret is in {place}: {}", String::from_utf8_lossy(bytes));
        }
    }
}

#[test]
fn no_secret_is_printed_logged_or_stored_by_any_verb() {
    let rows = "CREATE TABLE t (a int); INSERT INTO t VALUES (1), (2), (3)";
    let sql = |scheme| Spoken { scheme, soon: "", rows, no: "SELECT false" };
    let mongodb = Spoken {
        scheme: "mongodb",
        soon: "?serverSelectionTimeoutMS=300",
        rows: r#"[{"fill": "t", "n": 3}]"#,
        no: r#"{"count": "nothing"}"#,
    };
    for (server, spoken) in each_server_and_mongodb(sql("postgres"), sql("mysql"), mongodb) {
        nothing_is_told_of(server, &spoken);
    }
}

/// What differs from server to server.
struct Spoken {
    scheme: &'static str,
    /// What makes a client give up soon.
    soon: &'static str,
    rows: &'static str,
    /// A query that says no.
    no: &'static str,
}

fn nothing_is_told_of(server: &dyn DatabaseServer, Spoken { scheme, soon, rows, no }: &Spoken) {
    server.create("secret_shop");
    server.run("secret_shop", rows);
    server.drop("secret_restored");
    let world = World::new();
    let (database, restored) = (server.url("secret_shop"), server.url("secret_restored"));
    let new = "canary-new-passphrase walnut harbor eleven copper";
    let (key, new_key) = (world.file("key", PASSPHRASE), world.file("new-key", new));
    let secrets = [PASSPHRASE, new, server.password()];
    let wrong_database = database.replace(server.password(), "canary-wrong-password");
    let nobody = format!("{scheme}://app:canary-wrong-password@127.0.0.1");
    let (silent, no_port) = (format!("{nobody}:1/shop{soon}"), format!("{nobody}:port/shop"));
    let verbs: [(&str, &[&str], bool); 14] = [
        (&database, &["backup", "--tag", "t"], true),
        (&wrong_database, &["backup"], false),
        (&silent, &["backup"], false),
        (&no_port, &["backup"], false),
        ("mystery://app:canary-wrong-password@127.0.0.1/shop", &["backup"], false),
        (&database, &["list"], true),
        (&database, &["show"], true),
        (&database, &["verify"], true),
        (&database, &["drill", "--query", no], false),
        (&database, &["restore", "latest", "--target", &restored], true),
        (&database, &["restore", "latest", "--target", &restored], false),
        (&database, &["restore", "latest", "--target", &wrong_database], false),
        (&database, &["rotate-key", "--new-key-file", &new_key], true),
        (&database, &["verify"], false),
    ];
    for (database, arguments, succeeds) in verbs {
        for json in [false, true] {
            if json && (arguments[0] == "rotate-key" || arguments[0] == "restore") {
                continue;
            }
            let mut command = bare_command();
            // Every crate below ours may log, too.
            command.env("RUST_LOG", "trace").env("RUST_BACKTRACE", "1").env("DATABASE_URL", database);
            command.args(arguments).arg("--store").arg(world.store()).args([
                "--key-file",
                &key,
                "--name",
                "secret_shop",
            ]);
            command.args(["--verbose"]).args(json.then_some("--json")).current_dir(world.path(""));
            let output = command.output().unwrap();
            let said = [output.stdout, output.stderr].concat();
            let text = String::from_utf8_lossy(&said);
            let tail: String = text.lines().rev().take(5).collect::<Vec<_>>().join("\n");
            assert_eq!(output.status.success(), succeeds, "{arguments:?} of {database}: {tail}");
            clean(&format!("what {arguments:?} says"), &said, &secrets);
            clean(&format!("what {arguments:?} says"), &said, &["canary-wrong-password"]);
        }
    }
    for (name, bytes) in world.stored() {
        clean(&name, &bytes, &secrets);
    }
    server.drop("secret_restored");
    server.drop("secret_shop");
}

#[tokio::test]
async fn no_secret_is_in_a_debug_print() {
    let world = World::new();
    let url = "postgres://app:canary-database-password@db.example.org/shop";
    let builder = world.builder(url).store_option("aws_secret_access_key", "canary-s3-secret");
    let secrets = [PASSPHRASE, "canary-database-password", "canary-s3-secret"];
    clean("the builder", format!("{builder:?} {builder:#?}").as_bytes(), &secrets);
    let vault = builder.open().await.unwrap();
    let verbs = format!(
        "{vault:?} {:?} {:?} {:?} {:?}",
        vault.backup(),
        vault.restore("latest").target("postgres://app:canary-database-password@db.example.org/other"),
        vault.drill("latest").target("postgres://app:canary-database-password@db.example.org/other"),
        vault.rotate_key().to_passphrase(PASSPHRASE),
    );
    clean("a verb", verbs.as_bytes(), &secrets);
}

#[test]
fn no_secret_is_in_the_arguments_or_the_environment_of_a_child() {
    let rows = "CREATE TABLE t AS SELECT i, repeat(md5(i::text), 50) FROM generate_series(1, 30000) i";
    let rows_of_mariadb = "CREATE TABLE t AS SELECT seq, REPEAT(MD5(seq), 50) AS pad FROM seq_1_to_30000";
    for (server, rows) in each_server(rows, rows_of_mariadb) {
        server.create("secret_child");
        server.run("secret_child", rows);
        let world = World::new();
        let key = world.file("key", PASSPHRASE);
        let mut command = bare_command();
        command.args(["backup", "--quiet", "--store"]).arg(world.store()).args(["--key-file", &key]);
        // The process itself was given this by its caller; what it starts must not be.
        command.env("DATABASE_URL", server.url("secret_child")).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut looked = 0;
        while child.try_wait().unwrap().is_none() {
            let own = child.id();
            let arguments = std::fs::read(format!("/proc/{own}/cmdline")).unwrap_or_default();
            clean("the arguments", &arguments, &[PASSPHRASE, server.password()]);
            for descendant in children(own) {
                for file in ["cmdline", "environ"] {
                    let bytes = std::fs::read(format!("/proc/{descendant}/{file}")).unwrap_or_default();
                    clean(file, &bytes, &[PASSPHRASE, server.password()]);
                }
            }
            looked += 1;
        }
        assert!(child.wait().unwrap().success() && looked > 1);
        server.drop("secret_child");
    }
}

fn children(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

#[test]
fn what_lies_in_the_work_folder_afterwards_is_nothing() {
    let world = World::new();
    let url = world.make("small.db", SMALL);
    let work = world.path("work");
    std::fs::create_dir(&work).unwrap();
    world.run(&["backup", "--database", &url, "--work-dir", &work.display().to_string()]);
    assert_eq!(files(&work).len(), 0);
    // Copies of a database are for nobody else's eyes.
    let mode = Command::new("stat").args(["-c", "%a"]).arg(world.path("store/keys")).output().unwrap();
    assert!(mode.status.success());
}
