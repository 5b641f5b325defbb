//! How long everyday verbs take in a folder with very many backups: `cargo run --release -p benches --bin many_backups -- 10000`.
//!
//! One backup is made and verified, and copied under other names with manifests and proofs that fit them.

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
    vault.verify(&id).await?;
    let first = store.join("shop").join(id.as_str());
    for n in 0..count - 1 {
        copy(
            &first,
            id.as_str(),
            &format!("backup-{:04}{:02}{:02}-0200{:02}", 1991 + n / 336, n / 28 % 12 + 1, n % 28 + 1, n % 60),
        )?;
    }
    vault.verify(vault.list().await?.last().map_or("latest", |oldest| oldest.id.as_str())).await?;
    for what in ["cold", "warm", "warm"] {
        println!("{what}");
        timed("list, the newest 10", vault.list().limit(10), |found| found.len()).await?;
        timed("list, all", vault.list(), |found| found.iter().filter(|b| b.verified_at.is_some()).count()).await?;
        let health = vault.health().options_with(|o| (o.cache_seconds, o.timeout_seconds) = (0, 60));
        timed("health", health, |report| report.checks.len()).await?;
        let metrics = vault.metrics().options_with(|o| (o.cache_seconds, o.timeout_seconds) = (0, 60));
        timed("metrics", metrics, String::len).await?;
        let keep = || Keep::gfs(7, 4, 12);
        timed("prune, planned by 7d 4w 12m", vault.prune().keep(keep()).dry_run(), |plan| plan.decisions.len()).await?;
        let all = Keep::last(count);
        timed("prune, planned to keep all", vault.prune().keep(all).dry_run(), |plan| plan.decisions.len()).await?;
    }
    let mut plan = lastgood::Plan::default();
    plan.keep = Some(Keep::last(count));
    for what in ["run_due, with everything due", "run_due, with nothing due"] {
        timed(what, vault.run_due().plan(plan.clone()), |report| report.ran.iter().filter(|ran| ran.ok).count())
            .await?;
    }
    Ok(())
}

/// Runs a verb, and prints how long it took and a number from its answer.
async fn timed<T>(
    what: &str,
    verb: impl IntoFuture<Output = lastgood::Result<T>>,
    of: impl FnOnce(&T) -> usize,
) -> lastgood::Result<()> {
    let began = Instant::now();
    let answer = verb.await?;
    let took = began.elapsed();
    println!("  {what:32} {:8.0} ms  {}", took.as_secs_f64() * 1000.0, of(&answer));
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
    let sha = |bytes: &str| hex::encode(Sha256::digest(bytes.as_bytes()));
    let auth = |signed: &str| format!("{{\"scheme\":\"sha256\",\"digest\":\"{}\"}}", sha(signed));
    let old_manifest = fs::read_to_string(to.join("manifest.json"))?;
    let text = old_manifest.replace(old, new);
    let header = between(&text, "{\"header\":", ",\"body\":");
    let body = between(&text, ",\"body\":", ",\"auth\":");
    let auth_of_it = auth(&format!("lastgood/1 manifest\n{}\n{}\n", sha(header), sha(body)));
    let manifest = format!("{{\"header\":{header},\"body\":{body},\"auth\":{auth_of_it}}}\n");
    fs::write(to.join("manifest.json"), &manifest)?;
    for entry in fs::read_dir(&to)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("proof-")) {
            let text = fs::read_to_string(&path)?.replace(old, new).replace(&sha(&old_manifest), &sha(&manifest));
            let proof = between(&text, "{\"proof\":", ",\"auth\":");
            let auth = auth(&format!("lastgood/1 proof\n{}\n", sha(proof)));
            fs::write(&path, format!("{{\"proof\":{proof},\"auth\":{auth}}}\n"))?;
        }
    }
    // A backup that the store dates much later than its name says is kept, whatever the rules say.
    let made = new.parse::<lastgood::BackupId>()?.started_at();
    fs::File::options().write(true).open(to.join("manifest.json"))?.set_modified(made.into())?;
    Ok(())
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    let from = text.find(begin).unwrap() + begin.len();
    &text[from..text.rfind(end).unwrap()]
}
