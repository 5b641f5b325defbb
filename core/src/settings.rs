//! Numbers and choices that shape a vault; plain data with units in the names.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{Code, Error, Result};

/// How the files of a dump are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Codec {
    /// Zstandard frames (`.zst`).
    Zstd,
    /// gzip members (`.gz`), for tools that know nothing newer.
    Gzip,
    /// As they are.
    None,
}

impl Codec {
    /// The suffix of a file compressed so: `.zst`, `.gz` or nothing.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Zstd => ".zst",
            Self::Gzip => ".gz",
            Self::None => "",
        }
    }
}

/// How much of what was stored is read back before a backup is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ReadBack {
    /// Each volume's size, and its last bytes compared.
    Sizes,
    /// Each volume read whole and its SHA-256 compared.
    Content,
}

/// The settings of a vault. Every field has a default that suits a production server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Settings {
    /// Connections and workers used at the same time (1 to 64). Default: 2.
    pub jobs: usize,
    /// Raw bytes of one part, about: a table is read in pieces of this size. Default: 8 MiB.
    pub part_bytes: u64,
    /// A volume is closed once it has this size. Default: 4 GiB.
    pub volume_bytes: u64,
    /// Compression of the dump's files. Default: zstd.
    pub codec: Codec,
    /// Level of the codec; absent means zstd 2, gzip 6.
    pub level: Option<i32>,
    /// First size of the pieces in which a volume is uploaded; they double every 1,000 pieces. Default: 8 MiB.
    pub upload_part_bytes: u64,
    /// What is read back before a commit. Default: sizes.
    pub read_back: ReadBack,
    /// Folder for temporary copies (SQLite snapshots). Default: the system's.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "path")))]
    pub work_dir: Option<PathBuf>,
    /// Fail when the database holds something that cannot be backed up. Default: false (a warning in the manifest).
    pub strict: bool,
    /// Program and arguments that start lastgood's command line. Hosts that bring a SQLite library of their own give
    /// it, so that live SQLite files are opened in a process of its own. Default: none, they are opened here.
    pub command: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            jobs: 2,
            part_bytes: 8 << 20,
            volume_bytes: 4 << 30,
            codec: Codec::Zstd,
            level: None,
            upload_part_bytes: 8 << 20,
            read_back: ReadBack::Sizes,
            work_dir: None,
            strict: false,
            command: Vec::new(),
        }
    }
}

impl Settings {
    /// Refuses values that cannot work, naming the setting and its range.
    ///
    /// # Errors
    /// `InvalidOption`.
    pub fn check(&self) -> Result<()> {
        let levels = match self.codec {
            Codec::Zstd => 1..=19,
            Codec::Gzip => 1..=9,
            Codec::None => i32::MIN..=i32::MAX,
        };
        let ranges = [
            ("jobs", self.jobs as u64, 1, 64),
            ("part_bytes", self.part_bytes, 64 << 10, 1 << 30),
            ("volume_bytes", self.volume_bytes, 1 << 20, 5 << 40),
            ("upload_part_bytes", self.upload_part_bytes, 5 << 20, 1 << 30),
        ];
        for (name, value, least, most) in ranges {
            if value < least || value > most {
                return Err(Error::new(Code::InvalidOption, format!("{name} is {value}"))
                    .next(format!("give a value from {least} to {most}")));
            }
        }
        match self.level {
            Some(level) if !levels.contains(&level) => Err(Error::new(
                Code::InvalidOption,
                format!("level is {level}"),
            )
            .next(format!("give a value from {} to {}", levels.start(), levels.end()))),
            _ => Ok(()),
        }
    }
}
