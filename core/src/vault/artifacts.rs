//! Where an artifact lies: in the vault's store, elsewhere by URL, or on this machine.

use std::path::Path;

use super::Vault;
use crate::crypto::Credential;
use crate::error::{Code, Error, Result};
use crate::ops::artifact::Artifact;
use crate::secret::Secret;
use crate::storage::Repository;

impl Vault {
    /// The artifact that a text names; none if it names a backup. Ids hold neither a dot nor a slash, artifacts do.
    pub(super) async fn artifact(&self, text: &str, passphrase: Option<Secret>) -> Result<Option<Artifact>> {
        if !text.contains(['.', '/', '\\']) {
            return Ok(None);
        }
        let passphrase = passphrase.or_else(|| self.0.place.passphrase());
        let (repository, name) = if text.contains("://") {
            let (parent, name) = split(text)?;
            (self.0.place.elsewhere(parent)?, name)
        } else if text.starts_with(['/', '.']) {
            local(self, text)?
        } else {
            // In the store, and else here.
            if let Ok(store) = self.0.place.repository(false)
                && let Some(found) = Artifact::find(store, text, passphrase.clone()).await?
            {
                return Ok(Some(found));
            }
            local(self, text)?
        };
        match Artifact::find(repository, &name, passphrase).await? {
            Some(found) => Ok(Some(found)),
            None => Err(Error::new(Code::BackupNotFound, format!("there is no artifact {text}"))
                .next("check its name; `artifacts` lists those of the store")),
        }
    }
}

/// The folder and the last name of a path on this machine.
fn local(vault: &Vault, text: &str) -> Result<(Repository, String)> {
    let path = std::path::absolute(Path::new(text)).map_err(|e| Error::local(Path::new(text), e))?;
    let name = path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    match (path.parent().and_then(Path::to_str), name) {
        (Some(parent), Some(name)) => Ok((vault.0.place.elsewhere(parent)?, name)),
        _ => Err(Error::new(Code::InvalidOption, format!("`{text}` names no file")).next("name a file or a folder")),
    }
}

/// The place and the last name of a URL.
fn split(url: &str) -> Result<(&str, String)> {
    match url.trim_end_matches('/').rsplit_once('/') {
        Some((parent, name)) if !parent.ends_with('/') && !name.is_empty() => Ok((parent, name.to_owned())),
        _ => Err(Error::new(Code::InvalidUrl, "the URL names no object").next("write s3://bucket/prefix/name")),
    }
}

/// The vault's passphrase, which artifacts of openssl may have as well.
pub(super) fn passphrase(credentials: &[Credential]) -> Option<Secret> {
    credentials.iter().find_map(|credential| match credential {
        Credential::Passphrase(passphrase) => Some(passphrase.clone()),
        _ => None,
    })
}
