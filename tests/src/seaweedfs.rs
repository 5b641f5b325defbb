//! A real S3 server: SeaweedFS.

use std::ffi::OsStr;
use std::process::Command;
use std::sync::OnceLock;

use crate::env::venv;
use crate::server::{Server, free_port, start_with_ports, wait_until};
use crate::skip::missing;

/// One running SeaweedFS with its S3 gateway.
#[derive(Debug)]
pub struct SeaweedFs {
    server: Server,
    port: u16,
}

impl SeaweedFs {
    /// The access key id that it accepts.
    pub const KEY_ID: &'static str = "AKIATESTKIT";
    /// The secret that belongs to [`SeaweedFs::KEY_ID`].
    pub const SECRET: &'static str = "canary-s3-secret-0f6f2c1e";
    /// The region that requests are signed for.
    pub const REGION: &'static str = "us-east-1";

    /// The server that all tests of this process share. Buckets are the tests' own.
    ///
    /// None: the package is not installed, and the test was reported as skipped.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<SeaweedFs>> = OnceLock::new();
        let weed = venv().join("bin/weed");
        let found = || weed.exists().then(|| start_with_ports("seaweedfs", || Self::start(&weed)));
        SHARED.get_or_init(found).as_ref().or_else(|| missing("SeaweedFS"))
    }

    fn start(weed: &std::path::Path) -> Result<Self, String> {
        let folder = Server::folder("seaweedfs");
        let config = folder.join("s3.json");
        let credentials = serde_json::json!({"identities": [{
            "name": "tests",
            "credentials": [{"accessKey": Self::KEY_ID, "secretKey": Self::SECRET}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }]});
        std::fs::write(&config, credentials.to_string()).unwrap();
        let port = free_port();
        let arguments = [
            "-logtostderr=true".to_owned(),
            "server".to_owned(),
            format!("-dir={}", folder.display()),
            "-ip=127.0.0.1".to_owned(),
            "-ip.bind=127.0.0.1".to_owned(),
            format!("-master.port={}", free_port()),
            "-master.telemetry=false".to_owned(),
            "-master.volumeSizeLimitMB=256".to_owned(),
            // As many volumes as the disk holds: the default of 8 is used up by two buckets.
            "-volume.max=0".to_owned(),
            format!("-volume.port={}", free_port()),
            format!("-filer.port={}", free_port()),
            "-s3".to_owned(),
            format!("-s3.port={port}"),
            "-s3.port.iceberg=0".to_owned(),
            "-s3.port.lance=0".to_owned(),
            format!("-s3.config={}", config.display()),
        ];
        let mut command = vec![weed.as_os_str()];
        command.extend(arguments.iter().map(OsStr::new));
        let server = Server::start(folder, "KILL", &command);
        let this = Self { server, port };
        let ready = this.server.wait_ready(|| this.request("GET", "/").starts_with("200"));
        ready.map_or_else(|| Err(this.server.log()), |()| Ok(()))?;
        Ok(this)
    }

    /// The endpoint's URL.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Makes a bucket and returns its URL, `s3://bucket`. Names have at least three characters.
    ///
    /// # Panics
    /// When the server does not make it.
    pub fn bucket(&self, name: &str) -> String {
        let mut answer = String::new();
        // The gateway answers before the volume server has reported to the master.
        wait_until("a bucket", || {
            answer = self.request("PUT", &format!("/{name}"));
            answer.starts_with("200") || answer.starts_with("409") || answer.starts_with("400")
        });
        assert!(answer.starts_with("200"), "bucket {name}: {answer}");
        format!("s3://{name}")
    }

    /// The environment that points a client of this server to it.
    #[must_use]
    pub fn env(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL", self.endpoint()),
            ("AWS_ACCESS_KEY_ID", Self::KEY_ID.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", Self::SECRET.to_owned()),
            ("AWS_REGION", Self::REGION.to_owned()),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
        ]
    }

    /// The status and the body of one signed request.
    fn request(&self, method: &str, path: &str) -> String {
        let output = Command::new("curl")
            .args(["-s", "-m", "10", "-X", method, "-w", "\n%{http_code}"])
            .args(["--aws-sigv4", &format!("aws:amz:{}:s3", Self::REGION)])
            .args(["--user", &format!("{}:{}", Self::KEY_ID, Self::SECRET)])
            .arg(format!("{}{path}", self.endpoint()))
            .output()
            .expect("curl");
        let text = String::from_utf8_lossy(&output.stdout);
        let (body, status) = text.rsplit_once('\n').unwrap_or_default();
        format!("{status} {body}")
    }
}
