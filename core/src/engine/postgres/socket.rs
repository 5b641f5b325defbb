//! Options of a connection's socket that the driver leaves as the system has them.
//!
//! The driver sends the end of a COPY as a packet of its own. Without `TCP_NODELAY` that packet waits until the server
//! has acknowledged the one before, which it puts off for 40 ms: most of the time it takes to load a small table. And
//! without keep-alive, a server that vanished from the network is waited for for ever. The driver has no setting for
//! either and does not hand out its socket, so it is looked up by its port.

use sqlx::postgres::PgConnection;

/// Turns off Nagle's algorithm and turns on keep-alive for a connection that goes from port `local` to `remote`. One
/// that cannot be found (there is a proxy between, or this is not Linux) stays as it is.
#[cfg(target_os = "linux")]
pub(super) fn tune(_held: &PgConnection, local: u16, remote: u16) {
    if let Err(e) = linux::tune(local, remote) {
        tracing::debug!(%e, "the socket's options stay as they are");
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn tune(_held: &PgConnection, _local: u16, _remote: u16) {}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::os::fd::BorrowedFd;
    use std::time::Duration;

    use rustix::net::sockopt;

    /// An idle connection is probed after this time.
    const IDLE: Duration = Duration::from_secs(60);
    /// A probe is repeated after this time.
    const INTERVAL: Duration = Duration::from_secs(15);
    /// After so many probes without an answer the connection is dead.
    const PROBES: u32 = 8;

    pub(super) fn tune(local: u16, remote: u16) -> io::Result<()> {
        let tables =
            ["/proc/self/net/tcp", "/proc/self/net/tcp6"].map(|p| std::fs::read_to_string(p).unwrap_or_default());
        let links: Vec<String> = tables
            .iter()
            .flat_map(|table| table.lines())
            .filter_map(|line| inode(line, local, remote))
            .map(|inode| format!("socket:[{inode}]"))
            .collect();
        for entry in std::fs::read_dir("/proc/self/fd")? {
            let entry = entry?;
            let Ok(link) = std::fs::read_link(entry.path()) else { continue };
            let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
            if let Some(number) = number.filter(|_| links.iter().any(|l| link.as_os_str() == l.as_str())) {
                #[expect(unsafe_code, reason = "the driver does not lend its socket")]
                // SAFETY: the descriptor is the open socket of the connection that the caller holds: no other has
                // this pair of ports and is established.
                let socket = unsafe { BorrowedFd::borrow_raw(number) };
                sockopt::set_tcp_nodelay(socket, true)?;
                sockopt::set_socket_keepalive(socket, true)?;
                sockopt::set_tcp_keepidle(socket, IDLE)?;
                sockopt::set_tcp_keepintvl(socket, INTERVAL)?;
                sockopt::set_tcp_keepcnt(socket, PROBES)?;
            }
        }
        Ok(())
    }

    /// The inode of an established socket with these ports, from a line of the kernel's table.
    fn inode(line: &str, local: u16, remote: u16) -> Option<&str> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let port = |field: usize| u16::from_str_radix(fields.get(field)?.rsplit_once(':')?.1, 16).ok();
        let established = fields.get(3) == Some(&"01");
        (established && port(1) == Some(local) && port(2) == Some(remote)).then(|| fields.get(9).copied()).flatten()
    }

    #[cfg(test)]
    mod tests {
        #![allow(clippy::unwrap_used)]

        use std::net::{TcpListener, TcpStream};

        use super::*;

        #[test]
        fn the_socket_is_found_by_its_ports() {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let remote = listener.local_addr().unwrap().port();
            let stream = TcpStream::connect(("127.0.0.1", remote)).unwrap();
            let other = TcpStream::connect(("127.0.0.1", remote)).unwrap();
            assert!(!stream.nodelay().unwrap());
            tune(stream.local_addr().unwrap().port(), remote).unwrap();
            assert!(stream.nodelay().unwrap() && !other.nodelay().unwrap());
            assert!(sockopt::socket_keepalive(&stream).unwrap());
        }

        #[test]
        fn lines_of_other_sockets_do_not_match() {
            let line =
                "   3: 0100007F:A2C4 0100007F:DF1B 01 00000000:00000000 00:00000000 00000000     0        0 81234 1 0";
            assert_eq!(inode(line, 0xA2C4, 0xDF1B), Some("81234"));
            assert_eq!(inode(line, 0xDF1B, 0xA2C4), None);
            assert_eq!(inode(&line.replace(" 01 ", " 06 "), 0xA2C4, 0xDF1B), None);
            assert_eq!(inode("  sl  local_address rem_address   st", 1, 2), None);
        }
    }
}
