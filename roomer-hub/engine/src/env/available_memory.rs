//! The memory available to the process: the machine's, or the limit of its control groups.
//!
//! In a container, `/proc` shows the machine's memory; the container's limit is in the control
//! group's files.

use std::fs;

/// The divisor of the available memory that yields the default budget. The rest is for the
/// connections themselves, the system's buffers, the application and other processes.
const BUDGET_DIVISOR: u64 = 4;

/// The upper limit of the default budget.
const MAX: usize = 1024 * 1024 * 1024;

/// Returns the default for [`memory_budget`](crate::Builder::memory_budget): a part of the
/// available memory, or [`MAX`] if that is unknown. The result is at least `smallest`, the maximum for
/// one connection, but never more than `MAX`. Without this minimum, the default options would be
/// invalid for a server in a small container.
pub(crate) fn budget(memory: Option<u64>, smallest: usize) -> usize {
    let part = memory.and_then(|memory| usize::try_from(memory / BUDGET_DIVISOR).ok());
    // Apply the upper limit last: if `smallest` exceeds it, the builder reports an error.
    part.unwrap_or(MAX).max(smallest).min(MAX)
}

/// Returns the memory available to the process, in bytes, or `None` if the system does not report
/// it.
pub(crate) fn available() -> Option<u64> {
    smallest(|path| fs::read_to_string(path).ok())
}

/// Returns the lowest of all limits. `read` returns a file's text.
fn smallest(read: impl Fn(&str) -> Option<String>) -> Option<u64> {
    let machine = read("/proc/meminfo").and_then(|text| total(&text));
    let groups = read("/proc/self/cgroup").unwrap_or_default();
    let files = groups.lines().filter_map(limit_files).flatten();
    // If there is no limit, the file of version 2 contains the word `max`, which does not parse,
    // and the file of version 1 contains a number above any machine's memory, which the minimum
    // ignores.
    let limits = files.filter_map(|file| read(&file)?.trim().parse().ok());
    limits.chain(machine).min()
}

/// Parses the machine's memory from the text of `/proc/meminfo`.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// Returns the files that contain the limits for a control group and its parents, from a line of
/// `/proc/self/cgroup`. In a container, the process's own group may be mounted as the root.
fn limit_files(line: &str) -> Option<Vec<String>> {
    // A line is `id:controllers:path`; only the path may contain more colons.
    let mut parts = line.splitn(3, ':').skip(1);
    let (controllers, path) = (parts.next()?, parts.next()?);
    let (root, file) = match controllers {
        // The line for version 2 lists no controllers.
        "" => ("/sys/fs/cgroup", "memory.max"),
        _ if controllers.split(',').any(|name| name == "memory") => {
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
        }
        _ => return None,
    };
    let mut path = path.trim_end_matches('/');
    let mut files = Vec::new();
    // A parent's limit applies to all groups below it.
    loop {
        files.push(format!("{root}{path}/{file}"));
        let Some((above, _)) = path.rsplit_once('/') else { return Some(files) };
        path = above;
    }
}

#[cfg(all(test, not(roomer_loom)))]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    /// Returns the result for a file system that contains only these files.
    fn found(files: &[(&str, &str)]) -> Option<u64> {
        let read = |path: &str| files.iter().find(|(name, _)| *name == path);
        smallest(|path| read(path).map(|(_, text)| (*text).into()))
    }

    const MACHINE: (&str, &str) = ("/proc/meminfo", "MemTotal:       16384000 kB\nMemFree: 1 kB\n");

    #[test]
    fn machine_memory_applies_without_cgroups() {
        assert_eq!(found(&[MACHINE]), Some(16_384_000 * 1024));
        assert_eq!(found(&[]), None);
        assert_eq!(found(&[("/proc/meminfo", "MemTotal: much\n")]), None);
    }

    #[test]
    fn smallest_cgroup_limit_applies() {
        let group = ("/proc/self/cgroup", "0::/a.slice/b.service\n");
        let own = ("/sys/fs/cgroup/a.slice/b.service/memory.max", "max\n");
        let above = ("/sys/fs/cgroup/a.slice/memory.max", "268435456\n");
        assert_eq!(found(&[MACHINE, group, own]), Some(16_384_000 * 1024));
        assert_eq!(found(&[MACHINE, group, own, above]), Some(256 * MIB));
        let own = (own.0, "134217728\n");
        assert_eq!(found(&[MACHINE, group, own, above]), Some(128 * MIB));
    }

    #[test]
    fn container_limit_is_read_from_root_cgroup() {
        let limit = ("/sys/fs/cgroup/memory.max", "536870912\n");
        for path in ["0::/\n", "0::/docker/0123456789ab\n", "0::/../../elsewhere\n"] {
            assert_eq!(found(&[MACHINE, ("/proc/self/cgroup", path), limit]), Some(512 * MIB));
        }
    }

    #[test]
    fn cgroup_v1_limits_apply() {
        let groups = ("/proc/self/cgroup", "5:cpu:/x\n4:hugetlb,memory:/docker/01:23\n0::/\n");
        let none =
            ("/sys/fs/cgroup/memory/docker/01:23/memory.limit_in_bytes", "9223372036854771712");
        assert_eq!(found(&[MACHINE, groups, none]), Some(16_384_000 * 1024));
        let top = ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "67108864\n");
        assert_eq!(found(&[MACHINE, groups, none, top]), Some(64 * MIB));
    }

    #[test]
    fn budget_is_quarter_up_to_1_gib() {
        let mib = |count: u64| usize::try_from(count * MIB).unwrap();
        assert_eq!(budget(Some(512 * MIB), 1), mib(128));
        assert_eq!(budget(Some(65_536 * MIB), 1), mib(1024));
        assert_eq!(budget(None, 1), mib(1024));
        assert_eq!(budget(Some(64 * MIB), mib(17)), mib(17), "room for one");
        assert_eq!(budget(Some(64 * MIB), mib(2000)), mib(1024), "which the builder rejects");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn machine_memory_is_readable() {
        let machine =
            fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text)).unwrap();
        let available = available().unwrap();
        assert!((MIB..=machine).contains(&available), "{available} of {machine}");
    }
}
