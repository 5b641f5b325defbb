//! The settings that environment variables give.

use std::env::VarError;

use super::VaultBuilder;
use crate::crypto::auth::{Signer, SigningKey};
use crate::crypto::{Credential, Recipients};
use crate::error::{Code, Error, Result};
use crate::observe::Alerts;
use crate::secret::Secret;

/// A variable of the environment; an empty one is not there.
pub(super) fn var(name: &str) -> Result<Option<String>> {
    match std::env::var(name) {
        Ok(value) if !value.is_empty() => Ok(Some(value)),
        Ok(_) | Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(Error::new(Code::InvalidOption, format!("{name} is not valid UTF-8"))),
    }
}

impl VaultBuilder {
    /// Takes from the environment what was not given yet.
    ///
    /// `DATABASE_URL` (or `POSTGRES_URL`, or `MONGODB_URI` with `MONGODB_DB`, or `DATABASE_HOST`, `_PORT`, `_USER`, `_PASSWORD`, `_NAME`); `BACKUP_STORE_URL` (or
    /// `BACKUP_PROVIDER` with `S3_BUCKET`, `AZURE_CONTAINER`, `GCS_BUCKET` or `BACKUP_FOLDER`, and `BACKUP_PREFIX`); `BACKUP_NAME`;
    /// `BACKUP_ENCRYPTION_KEY` or `BACKUP_ENCRYPTION_KEY_FILE`, and `BACKUP_ENCRYPTION_KEY_NEW` or
    /// `BACKUP_ENCRYPTION_KEY_NEW_FILE`; `BACKUP_IDENTITY_FILE`; `BACKUP_RECIPIENTS` and `BACKUP_TRUSTED_SIGNERS`
    /// (separated by commas); `BACKUP_SIGNING_KEY_FILE`.
    /// `BACKUP_ALERT_SLACK_URL`, `_DISCORD_URL`, `_PAGERDUTY_KEY`, `_WEBHOOK_URL` with `_WEBHOOK_SECRET`, `_PING_URL`.
    /// The store's own variables (`AWS_*`, `AZURE_*`, `GOOGLE_*`) are always heeded.
    #[must_use]
    pub fn env(mut self) -> Self {
        if let Err(e) = self.take_env(&var) {
            self.errors.push(e);
        }
        self
    }

    fn take_env(&mut self, var: &dyn Fn(&str) -> Result<Option<String>>) -> Result<()> {
        if self.database.is_none() {
            self.database = database_url(var)?.map(Secret::new);
        }
        if self.store.is_none() {
            self.store = store_url(var)?;
        }
        if self.name.is_none() {
            self.name = var("BACKUP_NAME")?;
        }
        if self.keys.credentials.is_empty() {
            self.keys.credentials.extend(credential(var)?);
        }
        // While a rotation runs, both keys are valid.
        if let Some(new) = new_key(var)? {
            let credential = Credential::from_setting(new.expose())?;
            self.keys.pending = Some(self.keys.credentials.len());
            self.keys.credentials.push(credential);
        }
        if self.keys.recipients.is_empty()
            && let Some(list) = var("BACKUP_RECIPIENTS")?
        {
            self.keys.recipients = Recipients::parse(&list)?;
        }
        if self.keys.signing_key.is_none()
            && let Some(path) = var("BACKUP_SIGNING_KEY_FILE")?
        {
            self.keys.signing_key = Some(SigningKey::parse(&read_secret(path.as_ref())?)?);
        }
        if self.keys.trusted_signers.is_empty()
            && let Some(list) = var("BACKUP_TRUSTED_SIGNERS")?
        {
            let signers = list.split(',').map(str::trim).filter(|s| !s.is_empty()).map(str::parse::<Signer>);
            self.keys.trusted_signers = signers.collect::<Result<_>>()?;
        }
        if self.alerts.is_none() {
            self.alerts = alerts(var)?;
        }
        Ok(())
    }
}

fn alerts(var: &dyn Fn(&str) -> Result<Option<String>>) -> Result<Option<Alerts>> {
    let mut alerts = Alerts::default();
    let mut given = false;
    for (name, place) in [
        ("SLACK_URL", &mut alerts.slack_url),
        ("DISCORD_URL", &mut alerts.discord_url),
        ("PAGERDUTY_KEY", &mut alerts.pagerduty_key),
        ("WEBHOOK_URL", &mut alerts.webhook_url),
        ("WEBHOOK_SECRET", &mut alerts.webhook_secret),
        ("PING_URL", &mut alerts.ping_url),
    ] {
        *place = var(&format!("BACKUP_ALERT_{name}"))?.map(Secret::new);
        given |= place.is_some();
    }
    Ok(given.then_some(alerts))
}

fn database_url(var: &dyn Fn(&str) -> Result<Option<String>>) -> Result<Option<String>> {
    for name in ["DATABASE_URL", "POSTGRES_URL"] {
        if let Some(url) = var(name)? {
            return Ok(Some(url));
        }
    }
    if let Some(uri) = var("MONGODB_URI")? {
        return match var("MONGODB_DB")? {
            None => Ok(Some(uri)),
            Some(name) => with_database(&uri, &name).map(Some),
        };
    }
    let Some(host) = var("DATABASE_HOST")? else { return Ok(None) };
    let need = |name: &str, value: Option<String>| {
        value.ok_or_else(|| {
            Error::new(Code::MissingSetting, format!("DATABASE_HOST is set and {name} is not"))
                .next(format!("set {name}, or DATABASE_URL alone"))
        })
    };
    let name = need("DATABASE_NAME", var("DATABASE_NAME")?)?;
    let user = need("DATABASE_USER", var("DATABASE_USER")?)?;
    let invalid = || {
        Error::new(Code::InvalidOption, "DATABASE_HOST, _USER, _PASSWORD, _PORT and _NAME make no URL")
            .next("set DATABASE_URL instead")
    };
    let mut url = url::Url::parse(&format!("postgres://{host}")).map_err(|_| invalid())?;
    url.set_username(&user).map_err(|()| invalid())?;
    url.set_password(var("DATABASE_PASSWORD")?.as_deref()).map_err(|()| invalid())?;
    if let Some(port) = var("DATABASE_PORT")? {
        url.set_port(Some(port.parse().map_err(|_| invalid())?)).map_err(|()| invalid())?;
    }
    url.set_path(&name);
    Ok(Some(url.into()))
}

/// A MongoDB URL for this database. Users stay where they were looked for: in the URL's own database, or in `admin`.
fn with_database(uri: &str, name: &str) -> Result<String> {
    let invalid =
        || Error::new(Code::InvalidUrl, "MONGODB_URI is no URL").next("write mongodb://user:password@host/database");
    let (scheme, rest) = uri.split_once("://").ok_or_else(invalid)?;
    let (before, query) = rest.split_once('?').map_or((rest, None), |(before, query)| (before, Some(query)));
    let (authority, own) = before.split_once('/').unwrap_or((before, ""));
    let mut query = query.unwrap_or_default().to_owned();
    if authority.contains('@') && !query.to_lowercase().contains("authsource=") && own != name {
        let source = if own.is_empty() { "admin" } else { own };
        query = if query.is_empty() { format!("authSource={source}") } else { format!("{query}&authSource={source}") };
    }
    let query = if query.is_empty() { query } else { format!("?{query}") };
    Ok(format!("{scheme}://{authority}/{name}{query}"))
}

fn store_url(var: &dyn Fn(&str) -> Result<Option<String>>) -> Result<Option<String>> {
    if let Some(url) = var("BACKUP_STORE_URL")? {
        return Ok(Some(url));
    }
    let Some(provider) = var("BACKUP_PROVIDER")? else { return Ok(None) };
    let (scheme, place) = match provider.as_str() {
        "s3" => ("s3://", "S3_BUCKET"),
        "azure" => ("az://", "AZURE_CONTAINER"),
        "gcs" => ("gs://", "GCS_BUCKET"),
        "file" => ("", "BACKUP_FOLDER"),
        other => {
            return Err(Error::new(Code::InvalidOption, format!("BACKUP_PROVIDER is `{other}`"))
                .next("set s3, azure, gcs or file"));
        }
    };
    let name = var(place)?.ok_or_else(|| {
        Error::new(Code::MissingSetting, format!("BACKUP_PROVIDER is {provider} and {place} is not set"))
            .next(format!("set {place}"))
    })?;
    let prefix = var("BACKUP_PREFIX")?.map(|p| format!("/{}", p.trim_matches('/'))).unwrap_or_default();
    Ok(Some(format!("{scheme}{name}{prefix}")))
}

fn credential(var: &dyn Fn(&str) -> Result<Option<String>>) -> Result<Option<Credential>> {
    if let Some(text) = var("BACKUP_ENCRYPTION_KEY")? {
        return Credential::from_setting(Secret::new(text).expose()).map(Some);
    }
    if let Some(path) = var("BACKUP_ENCRYPTION_KEY_FILE")? {
        return Credential::from_setting(read_secret(path.as_ref())?.expose()).map(Some);
    }
    match var("BACKUP_IDENTITY_FILE")? {
        Some(path) => Ok(Some(Credential::Identities(read_secret(path.as_ref())?))),
        None => Ok(None),
    }
}

/// The key that is to take the place of the present one.
fn new_key(var: &dyn Fn(&str) -> Result<Option<String>>) -> Result<Option<Secret>> {
    if let Some(text) = var("BACKUP_ENCRYPTION_KEY_NEW")? {
        return Ok(Some(Secret::new(text)));
    }
    var("BACKUP_ENCRYPTION_KEY_NEW_FILE")?.map(|path| read_secret(path.as_ref())).transpose()
}

/// The key that the environment names as the new one.
#[cfg(feature = "cli")]
pub(crate) fn new_key_of_env() -> Result<Option<Secret>> {
    new_key(&var)
}

/// A secret kept in a file; the line end that editors add is not part of it.
pub(crate) fn read_secret(path: &std::path::Path) -> Result<Secret> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::local(path, e))?;
    let text = zeroize::Zeroizing::new(text);
    Ok(Secret::from(text.strip_suffix('\n').map_or(text.as_str(), |t| t.strip_suffix('\r').unwrap_or(t))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(vars: &[(&str, &str)]) -> (Result<Option<String>>, Result<Option<String>>) {
        let var = |name: &str| Ok(vars.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()));
        (database_url(&var), store_url(&var))
    }

    #[test]
    fn separate_variables_make_urls() {
        let (database, store) = urls(&[
            ("DATABASE_HOST", "db.local"),
            ("DATABASE_USER", "app"),
            ("DATABASE_PASSWORD", "p@ss/word"),
            ("DATABASE_NAME", "shop"),
            ("BACKUP_PROVIDER", "s3"),
            ("S3_BUCKET", "acme"),
            ("BACKUP_PREFIX", "/prod/"),
        ]);
        assert_eq!(database.unwrap().unwrap(), "postgres://app:p%40ss%2Fword@db.local/shop");
        assert_eq!(store.unwrap().unwrap(), "s3://acme/prod");
    }

    #[test]
    fn a_mongodb_uri_gets_its_database_and_keeps_its_users() {
        let url = |uri: &str| {
            let (database, _) = urls(&[("MONGODB_URI", uri), ("MONGODB_DB", "shop")]);
            database.ok().flatten().unwrap_or_default()
        };
        assert_eq!(url("mongodb://h1,h2"), "mongodb://h1,h2/shop");
        assert_eq!(url("mongodb://u:p@h/?tls=true"), "mongodb://u:p@h/shop?tls=true&authSource=admin");
        assert_eq!(url("mongodb+srv://u:p@h/own"), "mongodb+srv://u:p@h/shop?authSource=own");
        assert_eq!(url("mongodb://u:p@h/x?authSource=y"), "mongodb://u:p@h/shop?authSource=y");
        assert_eq!(url("mongodb://u:p@h/shop"), "mongodb://u:p@h/shop");
    }

    #[test]
    fn whoever_is_to_be_told_is_read_from_the_environment() {
        for name in ["SLACK_URL", "DISCORD_URL", "PAGERDUTY_KEY", "WEBHOOK_URL", "PING_URL"] {
            let found = alerts(&|asked: &str| Ok((asked == format!("BACKUP_ALERT_{name}")).then(|| "x".to_owned())));
            assert!(found.unwrap().is_some(), "{name}");
        }
        assert!(alerts(&|_: &str| Ok(None)).unwrap().is_none());
    }

    #[test]
    fn what_is_missing_is_named() {
        let (database, store) = urls(&[("DATABASE_HOST", "h"), ("BACKUP_PROVIDER", "azure")]);
        assert!(database.unwrap_err().to_string().contains("DATABASE_NAME"));
        assert!(store.unwrap_err().to_string().contains("AZURE_CONTAINER"));
    }
}
