//! Options of a connection's socket that the driver leaves as the system has them.
//!
//! The driver sends the end of a COPY as a packet of its own. Without `TCP_NODELAY` that packet waits until the server
//! has acknowledged the one before, which it puts off for 40 ms: most of the time it takes to load a small table.
//! Without keep-alive, an idle connection is forgotten by the firewalls on its way, and a server that vanished from
//! the network is waited for for ever. The driver has no setting for any of it and does not hand out its socket, so
//! that is looked up among the process's own.

#[cfg(target_os = "linux")]
pub(super) use linux::Before;

/// How sure it is that the socket that was found is the connection's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Its port is the one that the server sees: nothing between rewrites the connection.
    Direct,
    /// It is one that was opened meanwhile to the server's port, or none was found.
    Unsure,
}

/// The sockets of the process before a connection is opened. Without Linux's /proc nothing is known of them.
#[cfg(not(target_os = "linux"))]
pub(super) struct Before;

#[cfg(not(target_os = "linux"))]
impl Before {
    pub(super) fn now() -> Self {
        Self
    }

    pub(super) fn tune(&self, _held: &sqlx::PgConnection, _local: Option<u16>, _remote: u16) -> Found {
        Found::Unsure
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::BTreeMap;
    use std::io;
    use std::net::SocketAddr;
    use std::os::fd::{BorrowedFd, RawFd};
    use std::time::Duration;

    use rustix::net::{SocketAddrAny, getpeername, getsockname, sockopt};

    use super::Found;

    /// An idle connection is probed after this time.
    pub(super) const IDLE: Duration = Duration::from_secs(60);
    /// A probe is repeated after this time.
    const INTERVAL: Duration = Duration::from_secs(15);
    /// After so many probes without an answer the connection is dead.
    const PROBES: u32 = 8;
    /// Milliseconds for which what was sent may stay unacknowledged; otherwise the kernel tries for a quarter of an hour.
    pub(super) const UNACKNOWLEDGED: u32 = 180_000;

    /// The sockets of the process before a connection is opened: descriptors and inodes.
    pub(in crate::engine::postgres) struct Before(BTreeMap<RawFd, String>);

    impl Before {
        pub(in crate::engine::postgres) fn now() -> Self {
            Self(sockets().unwrap_or_default())
        }

        /// Turns off Nagle's algorithm, turns on keep-alive and limits the wait for acknowledgements, for the
        /// connection `held` to port `remote`. `local` is its own port as the server sees it.
        pub(in crate::engine::postgres) fn tune(
            &self,
            _held: &sqlx::PgConnection,
            local: Option<u16>,
            remote: u16,
        ) -> Found {
            self.tune_new(local, remote).unwrap_or_else(|e| {
                tracing::debug!(%e, "the socket's options stay as they are");
                Found::Unsure
            })
        }

        pub(super) fn tune_new(&self, local: Option<u16>, remote: u16) -> io::Result<Found> {
            let now = sockets()?;
            let new = now.iter().filter(|(number, inode)| self.0.get(number) != Some(inode));
            let mut candidates = Vec::new();
            for (&number, _) in new {
                #[expect(unsafe_code, reason = "the driver does not lend its socket")]
                // SAFETY: the descriptor was open a moment ago. If another thread has closed it since, what follows
                // fails, or sets options of a TCP connection to the same port that was opened in its place; nothing
                // is read, written or closed.
                let socket = unsafe { BorrowedFd::borrow_raw(number) };
                if getpeername(socket).ok().flatten().and_then(port) == Some(remote) {
                    candidates.push((socket, getsockname(socket).ok().and_then(port)));
                }
            }
            // Others may connect at the same moment: when it is known which socket it is, those stay as they are.
            let exact = candidates.iter().any(|(_, ours)| local.is_some() && *ours == local);
            for (socket, _) in candidates.iter().filter(|(_, ours)| !exact || *ours == local) {
                sockopt::set_tcp_nodelay(socket, true)?;
                sockopt::set_socket_keepalive(socket, true)?;
                sockopt::set_tcp_keepidle(socket, IDLE)?;
                sockopt::set_tcp_keepintvl(socket, INTERVAL)?;
                sockopt::set_tcp_keepcnt(socket, PROBES)?;
                sockopt::set_tcp_user_timeout(socket, UNACKNOWLEDGED)?;
            }
            Ok(if exact { Found::Direct } else { Found::Unsure })
        }
    }

    fn port(address: SocketAddrAny) -> Option<u16> {
        SocketAddr::try_from(address).ok().map(|address| address.port())
    }

    /// The process's sockets: descriptor and inode.
    fn sockets() -> io::Result<BTreeMap<RawFd, String>> {
        let mut found = BTreeMap::new();
        for entry in std::fs::read_dir("/proc/self/fd")? {
            let entry = entry?;
            let Ok(link) = std::fs::read_link(entry.path()) else { continue };
            let Some(inode) = link.to_str().filter(|link| link.starts_with("socket:")) else { continue };
            if let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
                found.insert(number, inode.to_owned());
            }
        }
        Ok(found)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::net::{TcpListener, TcpStream};

    use rustix::net::sockopt;

    use super::*;

    #[test]
    fn the_socket_is_found_by_its_ports() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let remote = listener.local_addr().unwrap().port();
        let earlier = TcpStream::connect(("127.0.0.1", remote)).unwrap();
        let before = Before::now();
        let stream = TcpStream::connect(("127.0.0.1", remote)).unwrap();
        let other = TcpStream::connect(("127.0.0.1", remote)).unwrap();
        assert!(!stream.nodelay().unwrap());
        let local = stream.local_addr().unwrap().port();
        assert_eq!(before.tune_new(Some(local), remote).unwrap(), Found::Direct);
        assert!(stream.nodelay().unwrap() && !other.nodelay().unwrap() && !earlier.nodelay().unwrap());
        assert!(sockopt::socket_keepalive(&stream).unwrap());
        assert_eq!(sockopt::tcp_keepidle(&stream).unwrap(), linux::IDLE);
        assert_eq!(sockopt::tcp_user_timeout(&stream).unwrap(), linux::UNACKNOWLEDGED);
    }

    #[test]
    fn behind_an_address_translation_all_that_are_new_are_kept_alive() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let remote = listener.local_addr().unwrap().port();
        let earlier = TcpStream::connect(("127.0.0.1", remote)).unwrap();
        let before = Before::now();
        let stream = TcpStream::connect(("127.0.0.1", remote)).unwrap();
        for seen in [Some(1), None] {
            assert_eq!(before.tune_new(seen, remote).unwrap(), Found::Unsure);
        }
        assert!(sockopt::socket_keepalive(&stream).unwrap());
        assert!(!sockopt::socket_keepalive(&earlier).unwrap());
    }
}
