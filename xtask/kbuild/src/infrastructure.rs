// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Signs in a build's log that the toolchain or the host failed, not the code.

/// What a broken toolchain or a full host writes, and code that is merely wrong never causes.
const SIGNS: [&str; 13] = [
    "internal compiler error",
    "Segmentation fault",
    "Killed",
    "No space left on device",
    "virtual memory exhausted",
    "cannot allocate memory",
    "Cannot allocate memory",
    "Read-only file system",
    "cannot execute",
    "error while loading shared libraries",
    "Exec format error",
    ": not found",
    "fopen failed",
];

/// The first line of `log` that tells of a broken toolchain.
pub(crate) fn sign(log: &str) -> Option<&str> {
    log.lines()
        .find(|line| {
            let quoted_source = line.trim_start().starts_with(|c: char| c.is_ascii_digit())
                || line.trim_start().starts_with('|');
            !quoted_source && SIGNS.iter().any(|sign| line.contains(sign))
        })
        .map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_toolchain_is_told_from_wrong_code() {
        for line in [
            "gcc-10: fatal error: Killed signal terminated program cc1",
            "/bin/sh: 1: awk: not found",
            "a.c:1: internal compiler error: Segmentation fault",
            "error: objtool [signal.c:75]: read_stack_limit: fopen failed: No such file or directory",
            "scripts/mod/modpost: error while loading shared libraries: libelf.so.1",
        ] {
            assert!(sign(&format!("  CC a.o\n{line}\n")).is_some(), "{line}");
        }
        for line in [
            "a.c:1:10: fatal error: net/none.h: No such file or directory",
            "a.c:2:1: error: 'x' undeclared here (not in a function)",
            "    2 | #error \"Killed\"",
        ] {
            assert_eq!(sign(line), None);
        }
    }
}
