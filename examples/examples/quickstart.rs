//! The whole life of a backup, on a database of its own: back up, list, verify, drill, restore, compare.
//!
//! `cargo run --release -p examples --example quickstart`

use std::path::Path;

use examples::shop;
use lastgood::{Code, Error, Result, Vault};

#[tokio::main]
async fn main() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("lastgood-quickstart-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|e| Error::new(Code::LocalFile, e.to_string()))?;
    let result = tell(&folder).await;
    // What was made here is not needed any more.
    let _ = std::fs::remove_dir_all(&folder);
    result
}

#[expect(clippy::print_stdout, reason = "an example talks")]
async fn tell(folder: &Path) -> Result<()> {
    let (database, store, restored) = (folder.join("shop.db"), folder.join("backups"), folder.join("restored.db"));
    let made = shop::create(&database, 42).await.map_err(|e| Error::new(Code::DatabaseError, e.to_string()))?;
    println!("made     a shop with {} rows in {} tables", made.rows, made.tables);

    let vault = Vault::builder()
        .database(format!("sqlite:{}", database.display()))
        .store(store.display().to_string())
        .passphrase("an example needs no secret, so this one is printed here")
        .open()
        .await?;

    let backup = vault.backup().tag("quickstart").await?;
    println!(
        "backup   {} holds {} rows: {} bytes, stored encrypted as {}",
        backup.id, backup.rows, backup.source_bytes, backup.stored_bytes
    );
    for b in vault.list().await? {
        println!("list     {} of {}, {} tables", b.id, b.database, b.tables);
    }
    let verified = vault.verify(&backup.id).await?;
    println!("verify   every one of {} stored bytes is as it was written", verified.stored_bytes);
    let drill = vault.drill(&backup.id).query("SELECT count(*) > 0 FROM orders").await?;
    println!(
        "drill    restored in {} ms: {} tables and {} rows are the same",
        drill.restore_ms, drill.tables, drill.rows
    );
    let restore = vault.restore(&backup.id).target(format!("sqlite:{}", restored.display())).await?;
    println!("restore  {} bytes into {}", restore.bytes, restore.target);

    let (before, after) = (shop::fingerprint(&database).await, shop::fingerprint(&restored).await);
    let same = matches!((&before, &after), (Ok(a), Ok(b)) if a == b);
    println!("compare  {}", if same { "the restored rows are the same" } else { "the restored rows DIFFER" });
    if same { Ok(()) } else { Err(Error::new(Code::DrillMismatch, "the restored rows differ")) }
}
