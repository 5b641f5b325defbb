//! The quick start of the README, as it is printed there: what follows is compared with it by a test.

#[tokio::main]
async fn main() -> lastgood::Result<()> {
    let vault = lastgood::Vault::builder()
        .database("postgres://app@localhost/shop")
        .store("s3://acme-backups/prod")
        .passphrase(std::env::var("BACKUP_ENCRYPTION_KEY").unwrap_or_default())
        .open()
        .await?;
    let backup = vault.backup().tag("nightly").await?;
    vault.drill(&backup.id).await?; // a real restore, compared, dropped
    vault.restore(&backup.id).target("postgres://app@localhost/shop_copy").await?;
    Ok(())
}
