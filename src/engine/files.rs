//! Checks the engine's lists, tables and blobs before the engine opens them, as it trusts them too early.
//!
//! The engine reads a list of tables without verifying its checksum, and removes the tables that the list does not
//! name, and every keyspace without a list. It allocates memory by the counts in a table of contents before it verifies
//! the checksum. So one flipped bit may cost more than what it hit.
//!
//! A keyspace's folder has `current`: the number of its list (u64), the list's XXH3 (128 bits), a zero. The list is `v`
//! and the number. Lists, `tables` and `blobs` are archives: sections, a table of contents, and a trailer of `SFA!`, 1,
//! 0, XXH3 of the table of contents (128 bits), its place and its length (u64). Blocks in the sections have checksums
//! that are verified whenever they are read. All numbers are little-endian.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use bytes::Buf as _;
use xxhash_rust::xxh3::xxh3_128;

/// The file by which the engine recognizes its folder, the last one that it makes for a new store; and its content.
pub(crate) const MARKER: &str = "version";
const MARK: &[u8] = b"FJL\x03";
/// The file that says which list is the current one.
const CURRENT: &str = "current";
const CONTENTS: &[u8] = b"TOC!";
const TRAILER: &[u8] = b"SFA!\x01\x00";
const TRAILER_BYTES: u64 = 38;
/// A table of contents names some ten sections.
const CONTENTS_BYTES_MAX: u64 = 64 * 1024;

/// Checks all keyspaces in the engine's folder; says which file is damaged, if one is. The folder must not be open.
pub(crate) fn damage(dir: &Path) -> io::Result<Option<String>> {
    let is_damaged = |file: &Path| Ok(Some(format!("{} is damaged", file.display())));
    if entries(dir)?.is_empty() {
        return Ok(None);
    }
    // Where it is missing, the engine makes a new store over what is there.
    let marker = dir.join(MARKER);
    if read(&marker)? != MARK {
        return is_damaged(&marker);
    }
    for keyspace in entries(&dir.join("keyspaces"))? {
        let current = keyspace.join(CURRENT);
        if !current.exists() && entries(&keyspace.join("tables"))?.is_empty() {
            // Its creation was cut short.
            continue;
        }
        let Some((list, checksum)) = list(&keyspace)? else {
            return is_damaged(&current);
        };
        if xxh3_128(&read(&list)?) != checksum {
            let (list, current) = (list.display(), current.display());
            return Ok(Some(format!("{list} is not what {current} says")));
        }
        let Some(named) = named(&keyspace, &list)? else {
            return is_damaged(&list);
        };
        for file in named {
            if !file.path.exists() || contents(&File::open(&file.path)?)?.is_none() {
                return is_damaged(&file.path);
            }
        }
    }
    Ok(None)
}

/// Reads all tables and blobs; gives the first damaged one. For a store that cannot be opened although [`damage`] finds
/// nothing.
pub(crate) fn broken(dir: &Path) -> io::Result<Option<PathBuf>> {
    for keyspace in entries(&dir.join("keyspaces"))? {
        let Some((list, _)) = list(&keyspace)? else {
            continue;
        };
        for file in named(&keyspace, &list)?.unwrap_or_default() {
            if xxh3_128(&read(&file.path)?) != file.checksum {
                return Ok(Some(file.path));
            }
        }
    }
    Ok(None)
}

/// A table or a blob that a list names. Files that it does not name were left half-written by a kill.
struct Named {
    path: PathBuf,
    checksum: u128,
}

fn named(keyspace: &Path, list: &Path) -> io::Result<Option<Vec<Named>>> {
    let Some(contents) = contents(&File::open(list)?)? else {
        return Ok(None);
    };
    let bytes = fs::read(list)?;
    let all = || {
        let mut named = Vec::new();
        let mut left = section(&bytes, &contents, b"tables")?;
        name_tables(&mut left, &keyspace.join("tables"), &mut named)?;
        let mut left = section(&bytes, &contents, b"blob_files")?;
        name_blobs(&mut left, &keyspace.join("blobs"), &mut named)?;
        Some(named)
    };
    Ok(all())
}

/// Number (u64), kind of checksum (u8), checksum (128 bits).
fn name(left: &mut &[u8], dir: &Path) -> Option<Named> {
    let number = left.try_get_u64_le().ok()?;
    let _kind = left.try_get_u8().ok()?;
    Some(Named {
        path: dir.join(number.to_string()),
        checksum: left.try_get_u128_le().ok()?,
    })
}

/// The count of levels (u8); for each, that of its runs (u8); for each, that of its tables (u32); each with a
/// sequence number (u64).
fn name_tables(left: &mut &[u8], dir: &Path, named: &mut Vec<Named>) -> Option<()> {
    for _ in 0..left.try_get_u8().ok()? {
        for _ in 0..left.try_get_u8().ok()? {
            for _ in 0..left.try_get_u32_le().ok()? {
                named.push(name(left, dir)?);
                let _seqno = left.try_get_u64_le().ok()?;
            }
        }
    }
    Some(())
}

/// The count of blobs (u32); each.
fn name_blobs(left: &mut &[u8], dir: &Path, named: &mut Vec<Named>) -> Option<()> {
    for _ in 0..left.try_get_u32_le().ok()? {
        named.push(name(left, dir)?);
    }
    Some(())
}

/// A section that the table of contents names: place, length, length of the name (u16), name.
fn section<'a>(archive: &'a [u8], contents: &[u8], wanted: &[u8]) -> Option<&'a [u8]> {
    let mut left = contents;
    left.split_off(..CONTENTS.len())?;
    for _ in 0..left.try_get_u32_le().ok()? {
        let begin = usize::try_from(left.try_get_u64_le().ok()?).ok()?;
        let length = usize::try_from(left.try_get_u64_le().ok()?).ok()?;
        let name_bytes = left.try_get_u16_le().ok()?;
        if left.split_off(..usize::from(name_bytes))? == wanted {
            return archive.get(begin..)?.get(..length);
        }
    }
    None
}

/// The keyspace's present list and its checksum, as `current` says.
fn list(keyspace: &Path) -> io::Result<Option<(PathBuf, u128)>> {
    let current = read(&keyspace.join(CURRENT))?;
    let mut left = current.as_slice();
    let (Ok(number), Ok(checksum), [0]) = (left.try_get_u64_le(), left.try_get_u128_le(), left)
    else {
        return Ok(None);
    };
    let list = keyspace.join(format!("v{number}"));
    Ok(list.exists().then_some((list, checksum)))
}

/// An archive's table of contents, if it is whole.
fn contents(file: &File) -> io::Result<Option<Vec<u8>>> {
    let Some(end) = file.metadata()?.len().checked_sub(TRAILER_BYTES) else {
        return Ok(None);
    };
    let trailer = bytes_at(file, end, TRAILER_BYTES)?;
    let mut left = trailer.as_slice();
    if left.split_off(..TRAILER.len()) != Some(TRAILER) {
        return Ok(None);
    }
    let (Ok(checksum), Ok(begin), Ok(length)) = (
        left.try_get_u128_le(),
        left.try_get_u64_le(),
        left.try_get_u64_le(),
    ) else {
        return Ok(None);
    };
    if length > CONTENTS_BYTES_MAX || begin.checked_add(length) != Some(end) {
        return Ok(None);
    }
    let contents = bytes_at(file, begin, length)?;
    let is_whole = contents.starts_with(CONTENTS) && xxh3_128(&contents) == checksum;
    Ok(is_whole.then_some(contents))
}

fn bytes_at(file: &File, at: u64, length: u64) -> io::Result<Vec<u8>> {
    let length = usize::try_from(length).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, at)?;
    Ok(bytes)
}

/// A file's bytes; none if it does not exist.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    }
}

/// The entries of a folder; none if it does not exist.
fn entries(dir: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries?.map(|entry| Ok(entry?.path())).collect(),
    }
}
