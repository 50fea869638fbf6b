// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Signs in a build's log that the toolchain or the host failed, not the code.

/// What a broken toolchain or a full host writes, and code that is merely wrong never causes.
const SIGNS: &[&str] = &[
    "internal compiler error",
    "Segmentation fault",
    "Bus error",
    "Killed",
    "signal terminated program",
    "No space left",
    "Disk quota exceeded",
    "Input/output error",
    "Too many open files",
    "Resource temporarily unavailable",
    "memory exhausted",
    "out of memory allocating",
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
            "cc1: out of memory allocating 65536 bytes after a total of 1 bytes",
            "sh: 1: Cannot fork: Resource temporarily unavailable",
            "/work/a.s: Fatal error: can't write 12 bytes to section .text of a.o: 'Disk quota exceeded'",
            "a.c:1:1: fatal error: error writing to /tmp/x.s: Input/output error",
            "ld: cannot open a.o: Too many open files",
            "make[3]: *** [a.o] Bus error (core dumped)",
            "make[1]: *** [Makefile:1: a.o] Killed",
            "gcc: fatal error: Terminated signal terminated program cc1",
            "ld: final link failed: No space left on device",
            "ld: memory exhausted",
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
