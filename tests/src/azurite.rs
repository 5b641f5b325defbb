//! A real Azure blob server: Azurite, Microsoft's emulator.

use std::ffi::OsStr;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::env::node_modules;
use crate::server::{Server, free_port, start_with_ports, tool};
use crate::skip::missing;

/// One running Azurite, its blob service only.
#[derive(Debug)]
pub struct Azurite {
    server: Server,
    port: u16,
}

impl Azurite {
    /// The storage account that it knows: the emulator's documented one.
    pub const ACCOUNT: &'static str = "devstoreaccount1";
    /// The emulator's documented key of [`Azurite::ACCOUNT`].
    pub const KEY: &'static str =
        "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

    /// The server that all tests of this process share. Containers are the tests' own.
    ///
    /// None: the package is not installed, and the test was reported as skipped.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Azurite>> = OnceLock::new();
        let script = node_modules().join("azurite/dist/src/blob/main.js");
        let found = || script.exists().then(|| start_with_ports("azurite", || Self::start(&script)));
        SHARED.get_or_init(found).as_ref().or_else(|| missing("Azurite"))
    }

    fn start(script: &Path) -> Result<Self, String> {
        let folder = Server::folder("azurite");
        let port = free_port();
        let (location, port_text) = (folder.join("data"), port.to_string());
        let command = [
            OsStr::new("node"),
            script.as_os_str(),
            OsStr::new("--blobHost"),
            OsStr::new("127.0.0.1"),
            OsStr::new("--blobPort"),
            OsStr::new(&port_text),
            OsStr::new("--location"),
            location.as_os_str(),
            OsStr::new("--silent"),
            // Clients may speak a newer version of the service than the emulator knows.
            OsStr::new("--skipApiVersionCheck"),
            OsStr::new("--disableTelemetry"),
        ];
        let server = Server::start(folder, "KILL", &command);
        let this = Self { server, port };
        let ready = this.server.wait_ready(|| TcpStream::connect(("127.0.0.1", port)).is_ok());
        ready.map_or_else(|| Err(this.server.log()), |()| Ok(()))?;
        Ok(this)
    }

    /// The endpoint's URL, which names the account as the emulator wants it.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}/{}", self.port, Self::ACCOUNT)
    }

    /// Makes a container and returns its URL, `az://container`.
    ///
    /// # Panics
    /// When the server does not make it.
    pub fn container(&self, name: &str) -> String {
        let date = jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let version = "2021-12-02";
        // "Authorize with Shared Key" of the service's REST reference: twelve header lines, the x-ms- headers, the
        // resource. The emulator's path repeats the account.
        let signed = format!(
            "PUT{}x-ms-date:{date}\nx-ms-version:{version}\n/{account}/{account}/{name}\nrestype:container",
            "\n".repeat(12),
            account = Self::ACCOUNT
        );
        let mut mac = Hmac::<Sha256>::new_from_slice(&STANDARD.decode(Self::KEY).unwrap()).unwrap();
        mac.update(signed.as_bytes());
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        let answer = tool(
            Command::new("curl")
                .args(["-s", "-m", "10", "-X", "PUT", "-w", "\n%{http_code}", "-H", "Content-Length: 0"])
                .args(["-H", &format!("x-ms-date: {date}"), "-H", &format!("x-ms-version: {version}")])
                .args(["-H", &format!("Authorization: SharedKey {}:{signature}", Self::ACCOUNT)])
                .arg(format!("{}/{name}?restype=container", self.endpoint())),
        );
        assert!(answer.ends_with("\n201"), "container {name}: {answer}");
        format!("az://{name}")
    }

    /// The environment that points a client of this server to it.
    #[must_use]
    pub fn env(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AZURE_STORAGE_ACCOUNT", Self::ACCOUNT.to_owned()),
            ("AZURE_STORAGE_KEY", Self::KEY.to_owned()),
            ("AZURE_STORAGE_ENDPOINT", self.endpoint()),
            ("AZURE_ALLOW_HTTP", "true".to_owned()),
        ]
    }
}
