// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a build's log says: the first line that makes it a failure, and its name.

use std::fmt;

/// Why a module does not build for a kernel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BuildFailure {
    /// The compiler refuses the code.
    CompileError(String),
    /// The compiler, objtool or modpost warns, which a module that ships must not cause.
    CompileWarning(String),
    /// The kernel does not export a symbol.
    UnresolvedSymbol(String),
    /// The kernel exports a symbol in a namespace that the module does not import.
    MissingNamespace(String),
    /// The kernel exports a symbol to GPL modules only.
    GplOnlySymbol(String),
    /// objtool refuses the code.
    ObjtoolError(String),
    /// modpost refuses the module for another reason.
    ModpostError(String),
}

impl BuildFailure {
    /// The stable name of the verdict.
    pub const fn verdict(&self) -> &'static str {
        match self {
            Self::CompileError(_) => "compile-error",
            Self::CompileWarning(_) => "compile-warning",
            Self::UnresolvedSymbol(_) => "unresolved-symbol",
            Self::MissingNamespace(_) => "missing-namespace",
            Self::GplOnlySymbol(_) => "gpl-only-symbol",
            Self::ObjtoolError(_) => "objtool-error",
            Self::ModpostError(_) => "modpost-error",
        }
    }

    /// The line of the log that tells it.
    pub fn line(&self) -> &str {
        match self {
            Self::CompileError(line)
            | Self::CompileWarning(line)
            | Self::UnresolvedSymbol(line)
            | Self::MissingNamespace(line)
            | Self::GplOnlySymbol(line)
            | Self::ObjtoolError(line)
            | Self::ModpostError(line) => line,
        }
    }
}

impl fmt::Display for BuildFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.verdict(), self.line())
    }
}

/// The failure of the code that the log of a build tells of, if any.
///
/// An error outweighs a warning before it. What `make` itself complains of is no failure of the
/// code: a build that ends in failure without one that is named here was failed by the host.
pub(crate) fn judge(log: &str) -> Option<BuildFailure> {
    let found: Vec<BuildFailure> = log.lines().filter_map(classify).collect();
    let is_warning = |failure: &&BuildFailure| matches!(failure, BuildFailure::CompileWarning(_));
    let worst = found
        .iter()
        .find(|failure| !is_warning(failure))
        .or_else(|| found.iter().find(is_warning));
    worst.cloned()
}

/// The last that `make` said: of a build that failed and whose log does not tell why.
pub(crate) fn last_words(log: &str) -> &str {
    let of_make = log.lines().rfind(|line| line.starts_with("make"));
    of_make.unwrap_or("it wrote nothing")
}

fn classify(line: &str) -> Option<BuildFailure> {
    // The compiler quotes the source after the line's number or below it.
    let trimmed = line.trim_start();
    if trimmed.starts_with('|') || trimmed.split_once(" | ").is_some_and(|(n, _)| is_number(n)) {
        return None;
    }
    let text = || trimmed.to_owned();
    if let Some(modpost) = modpost(trimmed) {
        return Some(modpost);
    }
    // "warning: objtool: f()+0x1: ..." and, of objtool itself, "error: objtool [elf.c:1]: ...".
    if trimmed.contains(": objtool") {
        let warning = trimmed.contains("warning: objtool");
        return Some(if warning {
            BuildFailure::CompileWarning(text())
        } else {
            BuildFailure::ObjtoolError(text())
        });
    }
    if trimmed.contains(" error: ") || trimmed.starts_with("ld: ") || trimmed.contains("-ld: ") {
        let from_warning = trimmed.contains("[-Werror");
        return Some(if from_warning && !is_always_an_error(trimmed) {
            BuildFailure::CompileWarning(text())
        } else {
            BuildFailure::CompileError(text())
        });
    }
    let warns = trimmed.contains("warning: ") || trimmed.contains("WARNING");
    warns.then(|| BuildFailure::CompileWarning(text()))
}

fn modpost(line: &str) -> Option<BuildFailure> {
    if !line.contains("modpost: ") {
        return None;
    }
    let text = || line.to_owned();
    Some(if line.contains("undefined!") {
        BuildFailure::UnresolvedSymbol(text())
    } else if line.contains("does not import it") {
        BuildFailure::MissingNamespace(text())
    } else if line.contains("uses GPL-only symbol") {
        BuildFailure::GplOnlySymbol(text())
    } else if line.contains("ERROR: ") || line.starts_with("FATAL: ") {
        BuildFailure::ModpostError(text())
    } else {
        BuildFailure::CompileWarning(text())
    })
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.trim().chars().all(|c| c.is_ascii_digit())
}

/// What the kernel's own Makefile has made errors: the code is wrong, not merely untidy.
fn is_always_an_error(line: &str) -> bool {
    [
        "implicit-function-declaration",
        "implicit-int",
        "incompatible-pointer-types",
        "int-conversion",
        "designated-init",
        "return-type",
        "strict-prototypes",
    ]
    .iter()
    .any(|name| line.contains(&format!("[-Werror={name}]")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(log: &str) -> Option<&'static str> {
        judge(log).map(|failure| failure.verdict())
    }

    const LINES: &[(&str, &str)] = &[
        (
            "/work/src/a.c:3:2: error: 'x' undeclared (first use in this function)",
            "compile-error",
        ),
        (
            "/work/src/a.c:1:10: fatal error: net/none.h: No such file or directory",
            "compile-error",
        ),
        (
            "src/a.c:9:9: error: implicit declaration of function 'strlcpy' [-Werror=implicit-function-declaration]",
            "compile-error",
        ),
        (
            "src/a.c:9:9: error: unused variable 'x' [-Werror=unused-variable]",
            "compile-warning",
        ),
        (
            "src/a.c:9:9: warning: unused variable 'x' [-Wunused-variable]",
            "compile-warning",
        ),
        (
            "/work/t.o: warning: objtool: f()+0x1: undefined stack state",
            "compile-warning",
        ),
        (
            "/work/t.o: error: objtool: f()+0x1: undefined stack state",
            "objtool-error",
        ),
        ("error: objtool [elf.c:75]: no such thing", "objtool-error"),
        (
            "ERROR: modpost: \"get_mm_exe_file\" [/work/t.ko] undefined!",
            "unresolved-symbol",
        ),
        (
            "ERROR: modpost: module t uses symbol f from namespace N, but does not import it.",
            "missing-namespace",
        ),
        (
            "ERROR: modpost: GPL-incompatible module t.ko uses GPL-only symbol 'f'",
            "gpl-only-symbol",
        ),
        (
            "ERROR: modpost: missing MODULE_LICENSE() in /work/t.o",
            "modpost-error",
        ),
        (
            "WARNING: modpost: missing MODULE_DESCRIPTION() in /work/t.o",
            "compile-warning",
        ),
        (
            "WARNING: Symbol version dump \"Module.symvers\" is missing.",
            "compile-warning",
        ),
    ];

    #[test]
    fn each_line_has_its_name() {
        for (line, name) in LINES {
            assert_eq!(
                verdict(&format!("  CC [M] a.o\n{line}\n")),
                Some(*name),
                "{line}"
            );
        }
    }

    #[test]
    fn a_clean_log_is_no_failure_and_neither_is_what_make_says() {
        let clean = "make: Entering directory '/kernel'\n  CC [M]  /work/src/error.o\n  LD [M]  /work/t.ko\n";
        assert_eq!(judge(clean), None);
        let failed = format!("{clean}make: *** [Makefile:1: x] Error 2\nand more\n");
        assert_eq!(judge(&failed), None);
        assert_eq!(last_words(&failed), "make: *** [Makefile:1: x] Error 2");
        assert_eq!(last_words(""), "it wrote nothing");
    }

    #[test]
    fn an_error_outweighs_a_warning_and_quoted_source_is_neither() {
        let log = "a.c:1:1: warning: unused [-Wunused]\n    1 | \"x error: y\"\n      | warning: z\na.c:2:2: error: no\n";
        assert_eq!(judge(log).unwrap().line(), "a.c:2:2: error: no");
        assert_eq!(judge("   12 | \"an error: of mine\"\n"), None);
    }
}
