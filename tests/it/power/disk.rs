//! Disks whose power can be cut.
//!
//! A disk is a file that a loop device reads and writes past the page cache, with ext4 on it. The file lies on XFS,
//! which shares extents between files: a copy is there at once, and of one moment, for no write goes on meanwhile.
//! So the copy has what ext4 had written by then. What was in the page cache above ext4 only is not in it, as after
//! a power cut. The disk itself loses nothing that it was given: that a sync also empties the disk's own cache is
//! ext4's part, and not looked at here.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

use tempfile::TempDir;

/// The disks' place together, in bytes. It takes what is written.
const PLACE_BYTES: &str = "64G";
/// A disk's size, in bytes. It takes what is written.
const DISK_BYTES: &str = "6G";
/// How often a free loop device is asked for: another process may get it first.
const ATTACH_TRIES: usize = 20;

/// A place for disks.
pub struct Place {
    // Unmounted before its folder is removed.
    xfs: Mount,
    _dir: TempDir,
    disks: Cell<usize>,
}

impl Place {
    /// Makes an empty one, or says what this machine does not have for it.
    pub fn new() -> Result<Rc<Self>, String> {
        if run("id", &["-u"])? != "0" {
            return Err("only root may mount".to_owned());
        }
        for program in ["mkfs.xfs", "mkfs.ext4"] {
            run(program, &["-V"])?;
        }
        let dir = TempDir::new().unwrap();
        let image = dir.path().join("image");
        run("truncate", &["-s", PLACE_BYTES, text(&image)])?;
        run("mkfs.xfs", &["-q", "-m", "reflink=1", text(&image)])?;
        let xfs = Mount::new(&image, &dir.path().join("xfs"), &[], "defaults")?;
        let place = Rc::new(Self {
            xfs,
            _dir: dir,
            disks: Cell::default(),
        });
        // Whatever is missing shows before a scenario begins.
        place.try_disk(1)?.try_cut()?;
        Ok(place)
    }

    /// An empty disk. ext4 writes what it has every so many `seconds`, asked or not.
    pub fn disk(self: &Rc<Self>, seconds: u64) -> Disk {
        self.try_disk(seconds).unwrap()
    }

    fn try_disk(self: &Rc<Self>, seconds: u64) -> Result<Disk, String> {
        let image = self.next();
        run("truncate", &["-s", DISK_BYTES, text(&image)])?;
        // All of it is made now, rather than by and by in the back.
        let options = "lazy_itable_init=0,lazy_journal_init=0,nodiscard";
        let arguments = ["-q", "-F", "-m", "0", "-i", "1048576", "-E", options];
        run("mkfs.ext4", &[&arguments[..], &[text(&image)]].concat())?;
        Disk::new(self.clone(), image, seconds)
    }

    fn next(&self) -> PathBuf {
        let next = self.disks.get() + 1;
        self.disks.set(next);
        self.xfs.dir.join(next.to_string())
    }
}

/// A disk in use.
pub struct Disk {
    ext4: Mount,
    image: PathBuf,
    place: Rc<Place>,
}

impl Disk {
    fn new(place: Rc<Place>, image: PathBuf, seconds: u64) -> Result<Self, String> {
        let dir = image.with_extension("mounted");
        let options = format!("commit={seconds}");
        let ext4 = Mount::new(&image, &dir, &["--direct-io=on"], &options)?;
        Ok(Self { ext4, image, place })
    }

    /// Where its files are.
    pub fn dir(&self) -> &Path {
        &self.ext4.dir
    }

    /// What a power cut at this moment would leave.
    pub fn cut(&self) -> Cut {
        self.try_cut().unwrap()
    }

    fn try_cut(&self) -> Result<Cut, String> {
        let image = self.place.next();
        run("cp", &["--reflink=always", text(&self.image), text(&image)])?;
        Ok(Cut {
            image,
            place: self.place.clone(),
        })
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What is only in the page cache need not be written: a disk that is done with is never read again.
        let _ = run("xfs_io", &["-x", "-c", "shutdown", text(self.dir())]);
        let _ = std::fs::remove_file(&self.image);
    }
}

/// A disk without power.
pub struct Cut {
    image: PathBuf,
    place: Rc<Place>,
}

impl Cut {
    /// Mounts what is left; ext4 replays its own journal.
    pub fn mount(self, seconds: u64) -> Disk {
        Disk::new(self.place, self.image, seconds).unwrap()
    }
}

/// A mounted file, unmounted whatever happens.
struct Mount {
    dir: PathBuf,
}

impl Mount {
    fn new(image: &Path, dir: &Path, attach: &[&str], options: &str) -> Result<Self, String> {
        std::fs::create_dir(dir).unwrap();
        let device = attached(image, attach)?;
        let mounted = run("mount", &["-o", options, &device, text(dir)]);
        // What is in use goes away with its mount.
        let detached = run("losetup", &["-d", &device]);
        mounted?;
        let mount = Self {
            dir: dir.to_owned(),
        };
        detached.map(|_| mount)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let dir = text(&self.dir);
        if run("umount", &[dir]).is_err() {
            // Somebody still has a file open; with the last one it goes.
            let _ = run("umount", &["-l", dir]);
        }
    }
}

/// Attaches a file to a free loop device; gives its name.
fn attached(image: &Path, arguments: &[&str]) -> Result<String, String> {
    let arguments = [arguments, &["--show", "-f", text(image)]].concat();
    let mut attached = Err(String::new());
    for _ in 0..ATTACH_TRIES {
        let free = run("losetup", &["-f"])?;
        // A container may lack the nodes of devices that the kernel has made since.
        let number = free.strip_prefix("/dev/loop");
        if let Some(number) = number
            && !Path::new(&free).exists()
        {
            let _ = run("mknod", &[&free, "b", "7", number]);
        }
        attached = run("losetup", &arguments);
        if attached.is_ok() {
            break;
        }
    }
    attached
}

/// Runs a program to its end; gives what it printed, or what it complained of.
fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    match output.status.success() {
        true => Ok(said(&output.stdout)),
        false => Err(format!("{program}: {}", said(&output.stderr))),
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
