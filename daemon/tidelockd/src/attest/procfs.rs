// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The texts of `/proc` that are looked at, taken apart. No IO: see proc(5) for the forms.

/// What is wanted of `/proc/PID/stat`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stat {
    /// Field 22: when the process started, in clock ticks since boot, as the reader's time
    /// namespace counts it.
    pub start_ticks: u64,
}

/// Reads a line of `/proc/PID/stat`. The name in brackets can hold brackets and spaces: what
/// counts comes after the last one.
pub fn stat(text: &str) -> Option<Stat> {
    let (_, after) = text.rsplit_once(')')?;
    // The first one after the name is field 3.
    let start_ticks = after.split_ascii_whitespace().nth(22 - 3)?.parse().ok()?;
    Some(Stat { start_ticks })
}

/// The offset of the reader's boot time in nanoseconds, by `/proc/self/timens_offsets`.
pub fn boottime_offset(text: &str) -> Option<i128> {
    let line = text
        .lines()
        .find_map(|line| line.trim_start().strip_prefix("boottime"))?;
    let mut numbers = line.split_ascii_whitespace();
    let seconds: i64 = numbers.next()?.parse().ok()?;
    let nanoseconds: i64 = numbers.next()?.parse().ok()?;
    Some(i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds))
}

/// What `/proc/PID/stat` shows for a process that started `started` nanoseconds after boot. The
/// kernel rounds down (`nsec_to_clock_t`).
pub fn ticks_of(started: u64, offset: i128, ticks_per_second: u64) -> Option<u64> {
    let shown = u64::try_from(i128::from(started).checked_add(offset)?).ok()?;
    shown.checked_div(1_000_000_000_u64.checked_div(ticks_per_second)?)
}

/// A line of `/proc/PID/mountinfo`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mount {
    /// Its id, unique while it is there.
    pub id: u64,
    /// The device of its superblock, major and minor: the one that the kernel's inodes name,
    /// also where stat(2) shows another one (overlayfs, btrfs).
    pub device: (u32, u32),
}

/// Reads the line of the mount with this id.
pub fn mount(text: &str, id: u64) -> Option<Mount> {
    text.lines().find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let found: u64 = fields.next()?.parse().ok()?;
        let (major, minor) = fields.nth(1)?.split_once(':')?;
        let device = (major.parse().ok()?, minor.parse().ok()?);
        (found == id).then_some(Mount { id, device })
    })
}

/// The paths of `/proc/PID/cgroup`, the unified hierarchy first, then systemd's own of version 1,
/// then the others.
pub fn cgroups(text: &str) -> Vec<&str> {
    let mut found: Vec<(u8, &str)> = text
        .lines()
        .filter_map(|line| {
            let (hierarchy, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            let rank = match (hierarchy, controllers) {
                ("0", "") => 0,
                (_, "name=systemd") => 1,
                _ => 2,
            };
            Some((rank, path))
        })
        .collect();
    found.sort_by_key(|(rank, _)| *rank);
    found.into_iter().map(|(_, path)| path).collect()
}

/// The four ids of a line of `/proc/PID/status` (`Uid:`, `Gid:`): real and effective.
pub fn ids(status: &str, key: &str) -> Option<(u32, u32)> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    let mut numbers = line.split_ascii_whitespace();
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// The number in the target of a link such as `/proc/PID/ns/net`: `net:[4026531840]`.
pub fn namespace(link: &str) -> Option<u32> {
    let (_, number) = link.split_once(":[")?;
    number.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_process_cannot_move_the_fields() {
        let line = |name: &str| {
            format!("42 ({name}) S 1 42 42 0 -1 4194560 1 0 0 0 2 3 0 0 20 0 1 0 777 9 8 7\n")
        };
        for name in ["cat", "a b", ") S 1 2 3 4 5 6 7 8", "(((", ""] {
            assert_eq!(stat(&line(name)), Some(Stat { start_ticks: 777 }), "{name}");
        }
        assert_eq!(stat(""), None);
        assert_eq!(stat("42 (cat) S 1"), None);
    }

    #[test]
    fn a_time_is_rounded_as_the_kernel_rounds_it() {
        assert_eq!(ticks_of(9_999_999, 0, 100), Some(0));
        assert_eq!(ticks_of(10_000_000, 0, 100), Some(1));
        assert_eq!(ticks_of(1_234_567_890, 0, 100), Some(123));
        // Another time namespace.
        let offset = boottime_offset(
            "monotonic           5         7\nboottime         -3         500000000\n",
        );
        assert_eq!(offset, Some(-2_500_000_000));
        assert_eq!(ticks_of(3_000_000_000, -2_500_000_000, 100), Some(50));
        // It cannot have started before that namespace's boot.
        assert_eq!(ticks_of(1, -2_500_000_000, 100), None);
        assert_eq!(ticks_of(1, 0, 0), None);
        assert_eq!(boottime_offset("monotonic 0 0\n"), None);
    }

    #[test]
    fn the_mount_with_the_id_is_found() {
        let text = "22 1 259:2 / / rw,relatime shared:1 - ext4 /dev/root rw\n\
                    41 22 0:37 / /merged rw - overlay overlay rw,lowerdir=/l\n";
        let mount = |id| mount(text, id).map(|mount| mount.device);
        assert_eq!(mount(22), Some((259, 2)));
        assert_eq!(mount(41), Some((0, 37)));
        assert_eq!(mount(2), None);
    }

    #[test]
    fn the_hierarchies_are_in_the_order_of_trust() {
        let text = "12:pids:/docker/x\n1:name=systemd:/system.slice/a.service\n0::/\n";
        assert_eq!(cgroups(text), ["/", "/system.slice/a.service", "/docker/x"]);
        // A path can hold colons.
        assert_eq!(cgroups("0::/a:b:c\n"), ["/a:b:c"]);
    }

    #[test]
    fn ids_and_namespaces_are_read() {
        let status = "Name:\tcat\nUid:\t1000\t0\t0\t0\nGid:\t5\t6\t7\t8\n";
        assert_eq!(ids(status, "Uid:"), Some((1000, 0)));
        assert_eq!(ids(status, "Gid:"), Some((5, 6)));
        assert_eq!(ids(status, "Groups:"), None);
        assert_eq!(namespace("net:[4026531840]"), Some(4_026_531_840));
        assert_eq!(namespace("net:4026531840"), None);
    }
}
