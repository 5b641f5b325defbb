//! A stand-in for MySQL 8 that lets one account in by caching_sha2_password and answers from a script: no MySQL is to be
//! had among Debian's packages. What it says is what the protocol's documentation and recorded sessions say.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::server::tool;

/// Capabilities of MySQL 8 that clients depend on here: protocol 4.1, the database's name, transactions, authentication
/// by plugins, several statements at once, attributes of connections.
const CAPABILITIES: u32 = 0x0000_0200 | 0x8 | 0x2000 | 0x8000 | 0x0001_0000 | 0x0008_0000 | 0x0010_0000 | 0x0020_0000;

const PLUGIN: &str = "caching_sha2_password";

/// Column names and rows.
pub type Table = (Vec<&'static str>, Vec<Vec<Option<&'static str>>>);

/// How the stand-in lets the account in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sha2 {
    /// It remembers the account: the scrambled password is enough.
    Fast,
    /// It does not, and there is no TLS: the password comes encrypted to its RSA key.
    Full,
}

/// A listener that speaks as MySQL 8. It stands as long as the test process does.
#[derive(Debug)]
pub struct MySql8 {
    port: u16,
    statements: Arc<Mutex<Vec<String>>>,
}

struct Script {
    how: Sha2,
    password: String,
    /// What a statement begins with, and its answer; what is not there is answered by OK.
    answers: Vec<(&'static str, Table)>,
    keys: TempDir,
    statements: Arc<Mutex<Vec<String>>>,
}

impl MySql8 {
    /// Begins to listen.
    ///
    /// # Panics
    /// When openssl fails.
    #[must_use]
    pub fn start(how: Sha2, password: &str, answers: Vec<(&'static str, Table)>) -> Self {
        let keys = tempfile::tempdir().unwrap();
        let openssl = |arguments: &[&str]| tool(Command::new("openssl").args(arguments).current_dir(keys.path()));
        openssl(&["genrsa", "-out", "key.pem", "2048"]);
        openssl(&["rsa", "-in", "key.pem", "-pubout", "-out", "public.pem"]);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let statements = Arc::new(Mutex::new(Vec::new()));
        let script = Script { how, password: password.to_owned(), answers, keys, statements: Arc::clone(&statements) };
        let script = Arc::new(script);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let script = Arc::clone(&script);
                // A client that leaves in the middle is none of the listener's business.
                std::thread::spawn(move || script.serve(Wire { stream, sequence: 0 }).ok());
            }
        });
        Self { port, statements }
    }

    /// The URL of a database for the account.
    #[must_use]
    pub fn url(&self, password: &str, database: &str) -> String {
        format!("mysql://app:{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// The statements that it was sent so far.
    #[must_use]
    pub fn statements(&self) -> Vec<String> {
        self.statements.lock().unwrap().clone()
    }
}

impl Script {
    fn serve(&self, mut wire: Wire) -> std::io::Result<()> {
        let nonce: Vec<u8> = crate::server::random::<20>().iter().map(|b| b % 94 + 33).collect();
        wire.send(&greeting(&nonce))?;
        let response = wire.receive()?;
        // Capabilities, size, character set and filler, then the account.
        let (user, rest) = until_zero(&response[32..]);
        let length = usize::from(rest[0]);
        let scrambled = &rest[1..=length];
        let fits = user == b"app" && scrambled == scramble(self.password.as_bytes(), &nonce);
        let let_in = match self.how {
            Sha2::Fast if fits => {
                wire.send(&[1, 3])?;
                true
            }
            Sha2::Fast => false,
            Sha2::Full => {
                wire.send(&[1, 4])?;
                assert_eq!(wire.receive()?, [2], "the client asks for the key");
                let public = std::fs::read(self.keys.path().join("public.pem"))?;
                wire.send(&[&[1], &public[..]].concat())?;
                let plain = decrypt(self.keys.path().join("key.pem"), &wire.receive()?);
                let plain: Vec<u8> = plain.iter().zip(nonce.iter().cycle()).map(|(a, b)| a ^ b).collect();
                user == b"app" && plain == [self.password.as_bytes(), &[0]].concat()
            }
        };
        if !let_in {
            let message = b"#28000Access denied for user 'app'@'127.0.0.1' (using password: YES)";
            return wire.send(&[&[0xFF, 0x15, 0x04], &message[..]].concat());
        }
        wire.send(OK)?;
        loop {
            wire.sequence = 0;
            let command = wire.receive()?;
            match command.split_first() {
                Some((3, sql)) => {
                    let sql = String::from_utf8_lossy(sql).into_owned();
                    let answer = self.answers.iter().find(|(begin, _)| sql.starts_with(begin));
                    self.statements.lock().unwrap().push(sql.clone());
                    match answer {
                        Some((_, table)) => wire.send_table(table)?,
                        None => wire.send(OK)?,
                    }
                }
                Some((1, _)) | None => return Ok(()),
                Some(_) => wire.send(OK)?,
            }
        }
    }
}

const OK: &[u8] = &[0, 0, 0, 2, 0, 0, 0];
const EOF: &[u8] = &[0xFE, 0, 0, 2, 0];

fn greeting(nonce: &[u8]) -> Vec<u8> {
    let capabilities = CAPABILITIES.to_le_bytes();
    let mut greeting = vec![10];
    greeting.extend_from_slice(b"8.0.36\0\x08\0\0\0");
    greeting.extend_from_slice(&nonce[..8]);
    greeting.push(0);
    greeting.extend_from_slice(&capabilities[..2]);
    greeting.extend_from_slice(&[255, 2, 0]);
    greeting.extend_from_slice(&capabilities[2..]);
    greeting.push(21);
    greeting.extend_from_slice(&[0; 10]);
    greeting.extend_from_slice(&nonce[8..]);
    greeting.push(0);
    greeting.extend_from_slice(PLUGIN.as_bytes());
    greeting.push(0);
    greeting
}

/// SHA256(password) XOR SHA256(SHA256(SHA256(password)), nonce).
fn scramble(password: &[u8], nonce: &[u8]) -> Vec<u8> {
    let once = Sha256::digest(password);
    let mut with_nonce = Sha256::digest(once).to_vec();
    with_nonce.extend_from_slice(nonce);
    once.iter().zip(Sha256::digest(with_nonce).iter()).map(|(a, b)| a ^ b).collect()
}

fn decrypt(key: PathBuf, sealed: &[u8]) -> Vec<u8> {
    let mut openssl = Command::new("openssl");
    openssl.args(["pkeyutl", "-decrypt", "-pkeyopt", "rsa_padding_mode:oaep", "-inkey"]).arg(key);
    let mut openssl = openssl.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    openssl.stdin.take().unwrap().write_all(sealed).unwrap();
    openssl.wait_with_output().unwrap().stdout
}

fn until_zero(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|b| *b == 0).unwrap();
    (&bytes[..end], &bytes[end + 1..])
}

/// Packets of the protocol.
struct Wire {
    stream: TcpStream,
    sequence: u8,
}

impl Wire {
    fn send(&mut self, payload: &[u8]) -> std::io::Result<()> {
        let mut packet = u32::try_from(payload.len()).unwrap().to_le_bytes();
        packet[3] = self.sequence;
        self.sequence = self.sequence.wrapping_add(1);
        self.stream.write_all(&[&packet, payload].concat())
    }

    fn receive(&mut self) -> std::io::Result<Vec<u8>> {
        let mut head = [0; 4];
        self.stream.read_exact(&mut head)?;
        self.sequence = head[3].wrapping_add(1);
        head[3] = 0;
        let mut payload = vec![0; u32::from_le_bytes(head).try_into().unwrap()];
        self.stream.read_exact(&mut payload)?;
        Ok(payload)
    }

    fn send_table(&mut self, (columns, rows): &Table) -> std::io::Result<()> {
        self.send(&[u8::try_from(columns.len()).unwrap()])?;
        for name in columns {
            let mut column = Vec::new();
            for text in ["def", "", "", "", name, name] {
                text_of(&mut column, text);
            }
            // UTF-8, a VARCHAR of up to 1,000 bytes, no flags.
            column.extend_from_slice(&[0x0C, 255, 0, 0xE8, 3, 0, 0, 0xFD, 0, 0, 0, 0, 0]);
            self.send(&column)?;
        }
        self.send(EOF)?;
        for row in rows {
            let mut cells = Vec::new();
            for cell in row {
                match cell {
                    Some(text) => text_of(&mut cells, text),
                    None => cells.push(0xFB),
                }
            }
            self.send(&cells)?;
        }
        self.send(EOF)
    }
}

fn text_of(out: &mut Vec<u8>, text: &str) {
    let length = u8::try_from(text.len()).ok().filter(|length| *length < 0xFB).expect("a short text");
    out.push(length);
    out.extend_from_slice(text.as_bytes());
}
