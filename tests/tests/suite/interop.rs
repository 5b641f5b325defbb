//! What this library seals, Python's `cryptography` opens, and the other way round.

use std::fs;
use std::path::Path;
use std::process::Command;

use lastgood::crypto::cobblestone::{Opener, Sealer};
use lastgood::crypto::context;
use lastgood::{Key, Result};

const KEY: [u8; 32] = *b"0123456789abcdefghijklmnopqrstuv";
const PLACE: [&str; 4] = ["lastgood/1", "repository", "backup", "völume"];

/// Opens each `*.rust` and seals what it held again, as `*.python`.
const ORACLE: &str = r#"
import pathlib, struct, sys
from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
key = b"0123456789abcdefghijklmnopqrstuv"
context = b"".join(struct.pack("<I", len(p.encode())) + p.encode() for p in ["lastgood/1", "repository", "backup", "v\u00f6lume"])
for path in pathlib.Path(sys.argv[1]).glob("*.rust"):
    opener, sealer = Cobblestone256Decryptor(key, context), Cobblestone256Encryptor(key, context)
    plain = opener.update(path.read_bytes()) + opener.finalize()
    path.with_suffix(".python").write_bytes(sealer.update(plain) + sealer.finalize())
"#;

fn open(sealed: &Path) -> Result<Vec<u8>> {
    let (mut opener, mut plain) = (Opener::new(&Key::new(KEY), &context(&PLACE)), Vec::new());
    opener.update(&fs::read(sealed).unwrap(), &mut plain)?;
    opener.finish(&mut plain)?;
    Ok(plain)
}

#[test]
fn sealed_objects_cross_to_python_and_back() {
    if !testkit::python().exists() {
        return testkit::missing("python with cryptography").unwrap_or_default();
    }
    let folder = tempfile::tempdir().unwrap();
    let sizes = [0, 1, 16_383, 16_384, 16_385, 32_768, 1_000_000];
    let plain = |size: usize| (0..size).map(|i| u8::try_from(i % 251).unwrap()).collect::<Vec<u8>>();
    for size in sizes {
        let (mut sealer, mut out) = (Sealer::new(&Key::new(KEY), &context(&PLACE)).unwrap(), Vec::new());
        sealer.update(&plain(size), &mut out).unwrap();
        sealer.finish(&mut out).unwrap();
        fs::write(folder.path().join(format!("{size}.rust")), out).unwrap();
    }
    testkit::tool(Command::new(testkit::python()).args(["-c", ORACLE]).arg(folder.path()));
    for size in sizes {
        assert!(open(&folder.path().join(format!("{size}.python"))).unwrap() == plain(size), "{size} bytes");
    }
}
