//! What a backup says to a MySQL 8, told to one that answers as recorded.

use testkit::{MySql8, Sha2};

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn definitions_are_kept_by_a_lock_of_the_instance_before_commits_are_held_back() {
    let one = |name: &'static str, value: &'static str| (vec![name], vec![vec![Some(value)]]);
    let position = ["binlog.000007", "1234", "", "", "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-77"].map(Some);
    let server = MySql8::start(
        Sha2::Fast,
        "p4ss",
        vec![
            ("SELECT @@max_allowed_packet", one("@@max_allowed_packet", "67108864")),
            ("SELECT VERSION()", one("VERSION()", "8.0.36")),
            ("SELECT CURRENT_USER()", one("CURRENT_USER()", "app@%")),
            ("SHOW GRANTS", one("Grants for app@%", "GRANT ALL PRIVILEGES ON *.* TO `app`@`%`")),
            ("SELECT CAST(UNIX_TIMESTAMP", one("at", "1763690401000000")),
            (
                "SHOW MASTER STATUS",
                (
                    vec!["File", "Position", "Binlog_Do_DB", "Binlog_Ignore_DB", "Executed_Gtid_Set"],
                    vec![position.to_vec()],
                ),
            ),
            (
                "SELECT DEFAULT_CHARACTER_SET_NAME",
                (vec!["a", "b"], vec![vec![Some("utf8mb4"), Some("utf8mb4_0900_ai_ci")]]),
            ),
        ],
    );
    let world = World::new();
    let vault = world.builder(&server.url("p4ss", "shop")).open().await.unwrap();
    let report = vault.backup().await.unwrap();
    let point = vault.show(&report.id).await.unwrap().point;
    assert_eq!(
        (point.kind.as_str(), point.position.as_str()),
        ("binlog", "binlog.000007:1234, gtid 3e11fa47-71ca-11e1-9e33-c80aa9429562:1-77")
    );
    let said = server.statements();
    let at = |sql: &str| said.iter().position(|s| s == sql).unwrap_or_else(|| panic!("no {sql} in {said:?}"));
    let order =
        ["LOCK INSTANCE FOR BACKUP", "FLUSH TABLES WITH READ LOCK", "SHOW MASTER STATUS", "UNLOCK TABLES"].map(at);
    assert!(order.is_sorted(), "{said:?}");
    assert!(!said.iter().any(|sql| sql.contains("BACKUP STAGE")), "{said:?}");
}
