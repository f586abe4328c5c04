//! Tests `roomer serve` in a control group with a memory limit, as in a container.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::Serving;

/// The folders of the hierarchies that may limit memory, and the names of their limits' files: first
/// that of version 2, then that of version 1.
const HIERARCHIES: [(&str, &str); 2] =
    [("/sys/fs/cgroup", "memory.max"), ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")];

/// A control group, which is removed when this is dropped. All processes in it must have ended.
struct Group(PathBuf);

impl Group {
    /// Creates a group with a limit. Returns the reason if this is not permitted here.
    fn new(bytes: u64) -> Result<Group, String> {
        let limits = |(root, limit): &&(&str, &str)| {
            // The root of version 2 has no limit itself, so look for the controller.
            let controllers = fs::read_to_string(format!("{root}/cgroup.subtree_control"));
            controllers.is_ok_and(|names| names.split_whitespace().any(|name| name == "memory"))
                || Path::new(root).join(limit).exists()
        };
        let (root, limit) = HIERARCHIES.iter().find(limits).ok_or("no group can limit memory")?;
        let folder = Path::new(root).join(format!("roomer-test-{}", std::process::id()));
        fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let group = Group(folder);
        let file = group.0.join(limit);
        fs::write(&file, bytes.to_string())
            .map_err(|error| format!("{}: {error}", file.display()))?;
        Ok(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn memory_budget_is_quarter_of_cgroup_limit() {
    let group = match Group::new(256 << 20) {
        Ok(group) => group,
        Err(reason) => {
            // `eprintln!` would be captured, and shown only for a test that fails.
            return writeln!(std::io::stderr(), "SKIPPED: no control group: {reason}").unwrap();
        }
    };
    let mut shell = Command::new("sh");
    shell.args(["-c", "echo $$ > \"$0/cgroup.procs\" && exec \"$@\""]).arg(&group.0);
    shell.args([env!("CARGO_BIN_EXE_roomer"), "serve"]);
    let serving = Serving::start_with(&mut shell);
    assert_eq!(serving.memory_budget, "64 MiB");
    drop(serving);
}
