//! The system's limits for this process.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, Rlimit, geteuid, getrlimit, setrlimit};

/// Stands for no limit of descriptors.
const UNLIMITED: u64 = 1 << 30;
/// Where control groups are mounted.
const GROUPS: &str = "/sys/fs/cgroup";

/// The limits of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open files, sockets among them.
    pub descriptors: u64,
    /// Threads. None: as many as it likes.
    pub threads: Option<u64>,
    /// Memory, in bytes. None: unknown.
    pub memory_bytes: Option<u64>,
    /// Processors.
    pub cores: u64,
}

impl Limits {
    /// Raises the limit of open files as far as the process may, and reads all limits.
    pub fn raise() -> Self {
        let groups = Groups::of_this_process();
        Self {
            descriptors: raise_descriptors(),
            threads: [groups.threads(), threads_of_user()]
                .into_iter()
                .flatten()
                .min(),
            memory_bytes: [groups.memory(), memory_of_machine()]
                .into_iter()
                .flatten()
                .min(),
            cores: std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64),
        }
    }
}

fn raise_descriptors() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    // A process that may not raise it keeps its limit.
    let limit = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum,
        Err(_) => current,
    };
    limit.unwrap_or(UNLIMITED)
}

/// The limit of the user's processes, which does not apply to a process with the right to exceed it.
fn threads_of_user() -> Option<u64> {
    match geteuid().is_root() {
        true => None,
        false => getrlimit(Resource::Nproc).current,
    }
}

fn memory_of_machine() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The control groups that this process is in.
#[derive(Debug, Default)]
struct Groups {
    /// Of version 2.
    unified: Vec<PathBuf>,
    /// Of version 1, for threads.
    pids: Vec<PathBuf>,
    /// Of version 1, for memory.
    memory: Vec<PathBuf>,
}

impl Groups {
    fn of_this_process() -> Self {
        let text = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self::parse(&text, Path::new(GROUPS))
    }

    /// Each line is a hierarchy's number, its controllers, and the group's path; version 2 has number 0 and no
    /// controllers.
    fn parse(text: &str, root: &Path) -> Self {
        let mut groups = Self::default();
        for line in text.lines() {
            let mut parts = line.splitn(3, ':');
            let (Some(_), Some(controllers), Some(path)) =
                (parts.next(), parts.next(), parts.next())
            else {
                continue;
            };
            if controllers.is_empty() {
                groups.unified = with_parents(root, path);
            }
            for controller in controllers.split(',') {
                match controller {
                    "pids" => groups.pids = with_parents(&root.join("pids"), path),
                    "memory" => groups.memory = with_parents(&root.join("memory"), path),
                    _ => {}
                }
            }
        }
        groups
    }

    /// How many threads this process may have beside those of others in the same groups.
    fn threads(&self) -> Option<u64> {
        let left = |group: &PathBuf| {
            let most = number(&group.join("pids.max"))?;
            // One of them is this thread's.
            let present = number(&group.join("pids.current")).unwrap_or(1);
            Some(most.saturating_sub(present).saturating_add(1))
        };
        let groups = self.unified.iter().chain(&self.pids);
        groups.filter_map(left).min()
    }

    fn memory(&self) -> Option<u64> {
        let unified = self.unified.iter().map(|group| group.join("memory.max"));
        let old = self.memory.iter();
        let old = old.map(|group| group.join("memory.limit_in_bytes"));
        unified.chain(old).filter_map(|file| number(&file)).min()
    }
}

/// A group's folder and those above it: each of them limits. In a container the path differs from what is mounted, and
/// the mounted root is its own group.
fn with_parents(root: &Path, path: &str) -> Vec<PathBuf> {
    let mut group = root.join(path.trim_start_matches('/'));
    let mut groups = Vec::new();
    while group.starts_with(root) {
        groups.push(group.clone());
        if !group.pop() {
            break;
        }
    }
    groups
}

/// The number in a file; none if it does not exist, or says `max`.
fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, file: &str, text: &str) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn the_smallest_limit_of_the_groups_around_counts_in_version_2() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "a/b/memory.max", "max\n");
        write(root.path(), "a/memory.max", "1073741824\n");
        write(root.path(), "a/b/pids.max", "100\n");
        write(root.path(), "a/b/pids.current", "3\n");
        let groups = Groups::parse("0::/a/b\n", root.path());
        assert_eq!(groups.memory(), Some(1 << 30));
        assert_eq!(groups.threads(), Some(98));
    }

    #[test]
    fn version_1_has_a_hierarchy_for_each_controller() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "memory/x/memory.limit_in_bytes", "536870912\n");
        write(
            root.path(),
            "memory/memory.limit_in_bytes",
            "9223372036854771712\n",
        );
        write(root.path(), "pids/pids.max", "max\n");
        let text = "8:pids:/\n4:memory:/x\n3:cpuset:/\n0::/\n";
        let groups = Groups::parse(text, root.path());
        assert_eq!(groups.memory(), Some(512 << 20));
        assert_eq!(groups.threads(), None);
    }

    #[test]
    fn a_path_that_is_not_mounted_leaves_the_mounted_root() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "memory.max", "1048576\n");
        let groups = Groups::parse("0::/outside/of/the/container\n", root.path());
        assert_eq!(groups.memory(), Some(1 << 20));
        assert_eq!(Groups::parse("", root.path()).memory(), None);
    }

    #[test]
    fn this_process_has_descriptors_and_memory() {
        let limits = Limits::raise();
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        assert_eq!(current, maximum);
        assert!(limits.descriptors > 0 && limits.memory_bytes > Some(0));
    }
}
