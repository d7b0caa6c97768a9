//! What is done to a file.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::harness::dice::Dice;

/// What a bad block loses.
const BLOCK_BYTES: usize = 512;
/// The beginning and the end of a file, where more is at stake, are met as often as all between.
const EDGE_BYTES: u64 = 80;

/// Damage to one file.
#[derive(Clone, Debug)]
pub struct Harm {
    /// The file, below the data folder.
    pub file: PathBuf,
    kind: Kind,
    /// Where it begins, in bytes.
    at: u64,
}

#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// One bit, or several.
    Flip(u8),
    Truncate,
    Zeros,
    /// The whole file.
    Gone,
}

impl Harm {
    /// Damage to a file, there or, if it is shorter, at its end.
    pub fn new(file: &str, kind: Kind, at: u64) -> Self {
        let file = file.into();
        Self { file, kind, at }
    }

    /// Draws a file, each as often as another, and a place in it. Files come with how many bytes of them count.
    pub fn draw(files: &[(PathBuf, u64)], dice: &mut Dice) -> Self {
        let (file, bytes) = &files[dice.below(files.len() as u64) as usize];
        let edge = EDGE_BYTES.min(*bytes);
        let at = match dice.below(4) {
            0 => dice.below(edge),
            1 => bytes - 1 - dice.below(edge),
            _ => dice.below(*bytes),
        };
        let kind = match dice.below(6) {
            0 => Kind::Truncate,
            1 => Kind::Zeros,
            _ => Kind::Flip(1 << dice.below(8)),
        };
        Self {
            file: file.clone(),
            kind,
            at,
        }
    }

    /// Does it in a data folder.
    pub fn to(&self, data: &Path) -> io::Result<()> {
        let path = data.join(&self.file);
        let mut bytes = fs::read(&path)?;
        let from = bytes.len().saturating_sub(1).min(self.at as usize);
        match self.kind {
            Kind::Flip(bit) => bytes[from] ^= bit,
            Kind::Truncate => bytes.truncate(from),
            Kind::Zeros => {
                let to = bytes.len().min(from + BLOCK_BYTES);
                bytes[from..to].fill(0);
            }
            Kind::Gone => return fs::remove_file(path),
        }
        let file = File::options().write(true).open(path)?;
        file.write_all_at(&bytes, 0)?;
        file.set_len(bytes.len() as u64)
    }
}
