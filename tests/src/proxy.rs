//! A TCP proxy that cuts connections after a number of bytes.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// Stands in front of a server on 127.0.0.1. Without a limit it passes everything on.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes that were passed on since the last [`Proxy::cut_after`].
    passed: u64,
    limit: Option<u64>,
    /// Whether connections are refused from the cut on.
    for_good: bool,
    cut: bool,
    open: Vec<TcpStream>,
}

impl State {
    /// Cuts every connection that is open.
    fn cut(&mut self) {
        self.cut = true;
        self.limit = None;
        for stream in self.open.drain(..) {
            // It may have ended by itself.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Proxy {
    /// A proxy to this port. Its threads end with the process.
    ///
    /// # Panics
    /// When no port can be had.
    #[must_use]
    pub fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let refused = {
                    let state = lock(&shared);
                    state.cut && state.for_good
                };
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { continue };
                if refused {
                    continue;
                }
                connect(&client, &server, &shared);
            }
        });
        Self { port, state }
    }

    /// The port to connect to instead of the server's.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Cuts all connections once so many bytes have passed in both directions together; `for_good` refuses new ones
    /// from then on. Begins to count anew.
    pub fn cut_after(&self, bytes: u64, for_good: bool) {
        let mut state = lock(&self.state);
        (state.passed, state.limit, state.for_good, state.cut) = (0, Some(bytes), for_good, false);
    }

    /// Passes everything on again, and begins to count anew.
    pub fn heal(&self) {
        let mut state = lock(&self.state);
        (state.passed, state.limit, state.for_good, state.cut) = (0, None, false, false);
    }

    /// Bytes that have passed since [`Proxy::heal`] or [`Proxy::cut_after`].
    #[must_use]
    pub fn passed(&self) -> u64 {
        lock(&self.state).passed
    }

    /// Whether it has cut.
    #[must_use]
    pub fn has_cut(&self) -> bool {
        lock(&self.state).cut
    }
}

fn connect(client: &TcpStream, server: &TcpStream, state: &Arc<Mutex<State>>) {
    for stream in [client, server] {
        stream.set_nodelay(true).unwrap();
        lock(state).open.push(stream.try_clone().unwrap());
    }
    for (from, to) in [(client, server), (server, client)] {
        let (from, to, state) = (from.try_clone().unwrap(), to.try_clone().unwrap(), Arc::clone(state));
        std::thread::spawn(move || pass_on(from, to, &state));
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, state: &Mutex<State>) {
    let mut buffer = vec![0; 8192];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let allowed = {
            let mut state = lock(state);
            let left = state.limit.map_or(u64::MAX, |limit| limit.saturating_sub(state.passed));
            state.passed += read as u64;
            usize::try_from(left).unwrap_or(usize::MAX)
        };
        // The last bytes before the cut arrive: it may come in the middle of a message.
        if to.write_all(&buffer[..read.min(allowed)]).is_err() {
            break;
        }
        if allowed < read {
            lock(state).cut();
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
