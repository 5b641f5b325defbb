//! A real connection pooler in front of a PostgreSQL server.

use std::ffi::OsStr;
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;

use crate::postgres::Postgres;
use crate::server::{Server, free_port, start_with_ports};
use crate::skip::missing;

const PROGRAM: &str = "/usr/sbin/pgbouncer";

/// One running pooler. It lets the server's superuser in, with the same password.
#[derive(Debug)]
pub struct PgBouncer {
    server: Server,
    port: u16,
    password: String,
}

impl PgBouncer {
    /// A pooler in this mode (`session`, `transaction`, `statement`) with these further settings.
    ///
    /// None: its package is not installed, and the test was reported as skipped.
    pub fn start(postgres: &Postgres, mode: &str, settings: &[&str]) -> Option<Self> {
        if !Path::new(PROGRAM).exists() {
            return missing("PgBouncer");
        }
        Some(start_with_ports("pgbouncer", || {
            let folder = Server::folder("pgbouncer");
            let port = free_port();
            let (users, ini) = (folder.join("users"), folder.join("pgbouncer.ini"));
            let text = format!(
                "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
                 unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {}\npool_mode = {mode}\n{}\n",
                postgres.port(),
                users.display(),
                settings.join("\n")
            );
            std::fs::write(&ini, text).unwrap();
            std::fs::write(&users, format!("\"postgres\" \"{}\"\n", postgres.password())).unwrap();
            let owner = std::fs::metadata(&folder).unwrap();
            for file in [&users, &ini] {
                chown(file, Some(owner.uid()), Some(owner.gid())).unwrap();
            }
            let server = Server::start(folder, "INT", &[OsStr::new(PROGRAM), ini.as_os_str()]);
            let this = Self { server, port, password: postgres.password().to_owned() };
            let ready = this.server.wait_ready(|| TcpStream::connect(("127.0.0.1", port)).is_ok());
            ready.map_or_else(|| Err(this.server.log()), |()| Ok(()))?;
            Ok(this)
        }))
    }

    /// The URL of a database through the pooler.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }
}
