//! How long listing and planning take in a folder with very many backups: `cargo run -p benches --bin many_backups -- 10000`.
//!
//! One backup is made, and copied under other names with manifests that fit them.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use lastgood::{Keep, Vault};
use sha2::{Digest, Sha256};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let count: u32 = std::env::args().nth(1).map_or(Ok(10_000), |text| text.parse())?;
    let folder = tempfile::tempdir()?;
    let database = folder.path().join("shop.db");
    let sql = "CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT); INSERT INTO t VALUES (1, 'x'), (2, 'y');";
    assert!(Command::new("sqlite3").arg(&database).arg(sql).status()?.success());
    let store = folder.path().join("store");
    let builder =
        Vault::builder().database(format!("sqlite:{}", database.display())).store(store.display().to_string());
    let vault = builder.unencrypted().open().await?;
    let id = vault.backup().await?.id;
    let first = store.join("shop").join(id.as_str());
    for n in 0..count - 1 {
        copy(
            &first,
            id.as_str(),
            &format!("backup-{:04}{:02}{:02}-0200{:02}", 2001 + n / 336, n / 28 % 12 + 1, n % 28 + 1, n % 60),
        )?;
    }
    for what in ["cold", "warm", "warm"] {
        let began = Instant::now();
        let newest = vault.list().limit(10).await?.len();
        let ten = began.elapsed();
        let began = Instant::now();
        let all = vault.list().await?.len();
        let whole = began.elapsed();
        let began = Instant::now();
        let plan = vault.prune().keep(Keep::gfs(7, 4, 12)).dry_run().await?;
        let planned = began.elapsed();
        println!(
            "{what}: newest {newest} in {ten:.2?}, all {all} in {whole:.2?}, prune of {} planned in {planned:.2?}",
            plan.decisions.len()
        );
    }
    Ok(())
}

/// Copies a backup of an unencrypted store under another name, with a manifest that fits.
fn copy(from: &Path, old: &str, new: &str) -> Result<(), Box<dyn Error>> {
    let to = from.with_file_name(new);
    fs::create_dir_all(&to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    let text = fs::read_to_string(to.join("manifest.json"))?.replace(old, new);
    let header = between(&text, "{\"header\":", ",\"body\":");
    let body = between(&text, ",\"body\":", ",\"auth\":");
    let sha = |bytes: &str| hex::encode(Sha256::digest(bytes.as_bytes()));
    let digest = sha(&format!("lastgood/1 manifest\n{}\n{}\n", sha(header), sha(body)));
    let auth = format!("{{\"scheme\":\"sha256\",\"digest\":\"{digest}\"}}");
    fs::write(to.join("manifest.json"), format!("{{\"header\":{header},\"body\":{body},\"auth\":{auth}}}\n"))?;
    Ok(())
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    let from = text.find(begin).unwrap() + begin.len();
    &text[from..text.rfind(end).unwrap()]
}
