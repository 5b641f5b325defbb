//! Store URLs: `s3://bucket/prefix`, `az://container/prefix`, `gs://bucket/prefix`, `file:///folder`, `memory:///`, or a path.

use std::fmt;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, parse_url_opts};
use url::Url;

use super::repository::store_error;
use crate::error::{Code, Error, Result};

/// A store's address, understood but not yet opened. Never holds a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StoreUrl {
    /// A folder of this machine.
    Folder(PathBuf),
    /// A bucket or container, or this process's memory.
    Remote(Url),
}

impl StoreUrl {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        if text.is_empty() {
            return Err(invalid("the store's URL is empty"));
        }
        // A path: nothing that could be a scheme of more than one letter (`C:\` is a path).
        if !text
            .split_once(':')
            .is_some_and(|(scheme, _)| scheme.len() > 1 && scheme.bytes().all(|b| b.is_ascii_alphanumeric()))
        {
            return Ok(Self::Folder(PathBuf::from(text)));
        }
        // The text is not shown: it may hold a credential.
        let url = Url::parse(text).map_err(|e| invalid(format!("the store's URL cannot be understood: {e}")))?;
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
            return Err(invalid("the store's URL holds credentials or a query")
                .next("give credentials as environment variables (AWS_*, AZURE_*, GOOGLE_*) or as store options"));
        }
        match url.scheme() {
            "file" => match url.to_file_path() {
                Ok(path) => Ok(Self::Folder(path)),
                Err(()) => Err(invalid("a file:// URL must hold an absolute path").next("write file:///folder")),
            },
            "s3" | "s3a" | "az" | "azure" | "abfs" | "abfss" | "gs" if url.host_str().is_none_or(str::is_empty) => {
                Err(invalid(format!("{text} names no bucket or container")))
            }
            "s3" | "s3a" => compiled(cfg!(feature = "s3"), "s3").map(|()| Self::Remote(url)),
            "az" | "azure" | "abfs" | "abfss" => compiled(cfg!(feature = "azure"), "azure").map(|()| Self::Remote(url)),
            "gs" => compiled(cfg!(feature = "gcs"), "gcs").map(|()| Self::Remote(url)),
            "memory" => Ok(Self::Remote(url)),
            other => Err(invalid(format!("`{other}` is not a kind of store"))),
        }
    }

    /// Opens the store. `options` are the keys of `object_store`'s builders (`aws_access_key_id`, `azure_storage_account_name` …);
    /// later ones win. A folder is made when `create` is set.
    pub(crate) fn open(&self, options: &[(String, String)], create: bool) -> Result<(Arc<dyn ObjectStore>, Path)> {
        match self {
            Self::Folder(folder) => Ok((Arc::new(open_folder(folder, create)?), Path::default())),
            Self::Remote(url) => {
                let mut options = options.to_vec();
                if options.iter().any(|(key, value)| key.contains("endpoint") && is_loopback_http(value)) {
                    options.push(("allow_http".to_owned(), "true".to_owned()));
                }
                let (store, prefix) = parse_url_opts(url, options).map_err(|e| {
                    Error::new(Code::InvalidUrl, format!("{self} cannot be opened: {}", store_error(e, "").message()))
                        .next("check the store's URL, its credentials and its region")
                })?;
                Ok((Arc::from(store), prefix))
            }
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "{}", path.display()),
            Self::Remote(url) => write!(f, "{url}"),
        }
    }
}

/// The store options that environment variables give: `AWS_*`, `AZURE_*`, `GOOGLE_*`, and the short names of many scripts.
pub(crate) fn options_from(variables: impl Iterator<Item = (String, String)>) -> Vec<(String, String)> {
    const ALIASES: [(&str, &str); 5] = [
        ("S3_ACCESS_KEY_ID", "aws_access_key_id"),
        ("S3_SECRET_ACCESS_KEY", "aws_secret_access_key"),
        ("S3_REGION", "aws_region"),
        ("AZURE_STORAGE_ACCOUNT", "azure_storage_account_name"),
        ("AZURE_STORAGE_KEY", "azure_storage_account_key"),
    ];
    let mut options = Vec::new();
    for (name, value) in variables.filter(|(_, value)| !value.is_empty()) {
        if let Some((_, key)) = ALIASES.iter().find(|(alias, _)| *alias == name) {
            // In front: the full name wins over the short one.
            options.insert(0, ((*key).to_owned(), value));
        } else if ["AWS_", "AZURE_", "GOOGLE_"].iter().any(|prefix| name.starts_with(prefix)) {
            options.push((name.to_ascii_lowercase(), value));
        }
    }
    options
}

fn open_folder(folder: &FilePath, create: bool) -> Result<LocalFileSystem> {
    if create {
        std::fs::create_dir_all(folder).map_err(|e| Error::local(folder, e))?;
    }
    match std::fs::metadata(folder) {
        Ok(meta) if meta.is_dir() => {}
        Ok(_) => {
            return Err(
                Error::new(Code::NotAStore, format!("{} is not a folder", folder.display())).next("name a folder")
            );
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::new(Code::StoreNotFound, format!("there is no folder {}", folder.display()))
                .next("check the path; the first `backup` makes it"));
        }
        Err(e) => return Err(Error::local(folder, e)),
    }
    let store = LocalFileSystem::new_with_prefix(folder).map_err(|e| store_error(e, ""))?;
    // A backup that was committed survives a power cut.
    Ok(store.with_fsync(true))
}

fn is_loopback_http(endpoint: &str) -> bool {
    let Ok(url) = Url::parse(endpoint) else { return false };
    url.scheme() == "http"
        && match url.host() {
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            Some(url::Host::Domain(name)) => name == "localhost",
            None => false,
        }
}

fn compiled(present: bool, feature: &str) -> Result<()> {
    if present {
        return Ok(());
    }
    Err(Error::new(Code::NotCompiledIn, format!("stores of kind {feature} were not compiled in"))
        .next(format!("build lastgood with the feature `{feature}`")))
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(Code::InvalidUrl, message)
        .next("write s3://bucket/prefix, az://container/prefix, gs://bucket/prefix, file:///folder or a path")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_paths_are_understood() {
        for path in ["backups", "/var/backups", "./a b"] {
            assert_eq!(StoreUrl::parse(path).unwrap(), StoreUrl::Folder(path.into()));
        }
        assert_eq!(StoreUrl::parse("file:///a%20b").unwrap(), StoreUrl::Folder("/a b".into()));
        assert!(matches!(StoreUrl::parse("memory:///").unwrap(), StoreUrl::Remote(_)));
    }

    #[test]
    fn bad_urls_are_refused_without_showing_credentials() {
        for bad in [
            "",
            "file://x/y",
            "ftp://host/x",
            "s3://",
            "s3://key:hunter2@bucket/x",
            "s3://bucket?sig=hunter2",
            "s3://[hunter2",
        ] {
            let error = StoreUrl::parse(bad).unwrap_err();
            assert_eq!(error.code(), Code::InvalidUrl, "{bad}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn full_names_win_over_short_ones() {
        let vars = [("S3_REGION", "a"), ("AWS_REGION", "b"), ("PATH", "c"), ("AWS_ENDPOINT_URL", "")];
        let options = options_from(vars.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        assert_eq!(options, [("aws_region".to_owned(), "a".to_owned()), ("aws_region".to_owned(), "b".to_owned())]);
    }

    #[test]
    fn plain_http_is_allowed_to_this_machine_only() {
        assert!(is_loopback_http("http://127.0.0.1:8333") && is_loopback_http("http://localhost:1"));
        assert!(!is_loopback_http("http://10.0.0.1:8333") && !is_loopback_http("https://127.0.0.1"));
    }
}
