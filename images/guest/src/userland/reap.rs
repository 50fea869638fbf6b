// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The end of everything that a test started.

use std::{fs, thread::sleep, time::Duration};

use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, wait};

use crate::failure::{Checked, Failure};

const POLL: Duration = Duration::from_millis(5);
/// For processes that sleep in the kernel: the checks after the test tell what they hold.
const TRIES: u32 = 1000;

/// Orphans become children of this process, not of PID 1, so that it can see them to their end.
pub(super) fn adopt() -> Checked<()> {
    set_child_subreaper(Some(getpid())).map_err(Failure::system("become a subreaper"))
}

/// Kills every process of the guest but PID 1 and this one, until there is none.
pub(super) fn kill_all() {
    for _ in 0..TRIES {
        // Those that have ended are processes still until they are waited for.
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
        let others = others();
        if others.is_empty() {
            return;
        }
        for pid in others {
            // It may have ended meanwhile.
            let _ = kill_process(pid, Signal::KILL);
        }
        sleep(POLL);
    }
}

/// The processes that a test has started and that are there still, by their line of `stat`.
pub(super) fn left() -> Vec<String> {
    let lines = others().into_iter().map(|pid| {
        let path = format!("/proc/{}/stat", pid.as_raw_nonzero());
        fs::read_to_string(path).unwrap_or_default()
    });
    lines.collect()
}

fn others() -> Vec<Pid> {
    let own = getpid();
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter_map(|entry| {
        let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        (pid != own && is_of_test(&stat)).then_some(pid)
    })
    .collect()
}

/// Whether a line of `/proc/PID/stat` is that of a process that a test has started: neither PID 1
/// nor one of the kernel, which are kthreadd (2) and its children.
fn is_of_test(stat: &str) -> bool {
    let parse = || {
        let pid: u32 = stat.split(' ').next()?.parse().ok()?;
        let (_, rest) = stat.rsplit_once(") ")?;
        let parent: u32 = rest.split(' ').nth(1)?.parse().ok()?;
        Some(pid > 2 && parent != 2 && parent != 0)
    };
    parse().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_pid_1_nor_the_kernel_is_killed() {
        for (stat, of_test) in [
            ("1 (init) S 0 1 1 0", false),
            ("2 (kthreadd) S 0 0 0 0", false),
            ("14 (kworker/0:1-ev) I 2 0 0 0", false),
            ("90 (redis) x) S 1 90 90 0", true),
            ("91 (sshd) Z 88 90 90 0", true),
            ("", false),
        ] {
            assert_eq!(is_of_test(stat), of_test, "{stat}");
        }
    }
}
