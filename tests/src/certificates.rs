//! A certificate authority of one's own, by stock openssl.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::server::tool;

/// A certificate authority in a folder that goes with it.
#[derive(Debug)]
pub struct Authority {
    folder: TempDir,
}

/// A certificate with its key and the authority's certificate, as PEM files.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The authority's certificate.
    pub root: PathBuf,
}

impl Authority {
    /// Makes an authority.
    ///
    /// # Panics
    /// When openssl fails.
    #[allow(clippy::new_without_default, reason = "it runs a program")]
    #[must_use]
    pub fn new() -> Self {
        let this = Self { folder: tempfile::tempdir().unwrap() };
        tool(this.openssl().args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30"]).args([
            "-subj",
            "/CN=An authority",
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
        ]));
        this
    }

    fn openssl(&self) -> Command {
        let mut command = Command::new("openssl");
        command.current_dir(self.folder.path());
        command
    }

    /// The authority's certificate.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Issues a certificate: for a role by its common name, for a server by `names` like `DNS:db.test` or `IP:127.0.0.1`.
    /// With `days` -1 it has expired.
    ///
    /// # Panics
    /// When openssl fails.
    #[must_use]
    pub fn issue(&self, common_name: &str, names: &str, days: i32) -> Certificate {
        let path = |suffix: &str| format!("{common_name}.{suffix}");
        let (key, request, certificate, extensions) = (path("key"), path("csr"), path("pem"), path("ext"));
        let subject = format!("/CN={common_name}");
        tool(
            self.openssl()
                .args(["req", "-newkey", "rsa:2048", "-nodes", "-subj", &subject])
                .args(["-keyout", &key, "-out", &request]),
        );
        let names = if names.is_empty() { String::new() } else { format!("subjectAltName={names}\n") };
        let text = format!("{names}basicConstraints=CA:FALSE\n");
        std::fs::write(self.folder.path().join(&extensions), text).unwrap();
        tool(self.openssl().args(["x509", "-req", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"]).args([
            "-days",
            &days.to_string(),
            "-extfile",
            &extensions,
            "-in",
            &request,
            "-out",
            &certificate,
        ]));
        let file = |name: &str| self.folder.path().join(name);
        Certificate { certificate: file(&certificate), key: file(&key), root: self.root() }
    }
}

/// A certificate with its key and the authority's certificate, in a server's folder.
#[derive(Debug)]
pub(crate) struct Installed {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) root: PathBuf,
}

impl Certificate {
    /// Copies it into a server's folder, where the server's user may read it.
    pub(crate) fn install(&self, folder: &Path) -> Installed {
        use std::os::unix::fs::MetadataExt;
        let owner = std::fs::metadata(folder).unwrap();
        let copy = |from: &Path, name: &str| {
            let to = folder.join(name);
            std::fs::copy(from, &to).unwrap();
            std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o600)).unwrap();
            chown(&to, Some(owner.uid()), Some(owner.gid())).unwrap();
            to
        };
        Installed {
            certificate: copy(&self.certificate, "certificate.pem"),
            key: copy(&self.key, "key.pem"),
            root: copy(&self.root, "root.pem"),
        }
    }
}
