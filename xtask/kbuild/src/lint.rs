// SPDX-License-Identifier: Apache-2.0 OR MIT
//! sparse and checkpatch over the C sources, for CI.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use tidelock_host::{
    files,
    process::{self, Outcome},
};
use tidelock_model::{KeyBuilder, Sha256};

use crate::{
    compile::{self, CompileRequest},
    error::KbuildError,
    infrastructure,
    sandbox::Sandbox,
    stage::{self, Stage},
};

/// What a checker has to say.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LintReport {
    /// Its complaints, a line each; empty when the sources are clean.
    pub complaints: Vec<String>,
}

impl LintReport {
    /// Whether there is no complaint.
    pub fn is_clean(&self) -> bool {
        self.complaints.is_empty()
    }
}

/// Builds the module with sparse looking at each file (`C=2`), each on its own; the root must
/// have sparse in it, the module may lack its core.
///
/// Only what it warns of in the module's own files counts: its release lags behind the kernel's
/// headers and warns of those. Where it does not understand them at all it has seen nothing of
/// the module either.
///
/// # Errors
/// When the root has no sparse, or one that is too old for the headers, or the sources do not
/// build.
pub fn sparse(cache: &Path, request: &CompileRequest<'_>) -> Result<LintReport, KbuildError> {
    if !request.root.path.join("usr/bin/sparse").exists() {
        return Err(KbuildError::Incomplete {
            what: "/usr/bin/sparse".into(),
            packages: vec![format!("the build root {}", request.root.path.display())],
        });
    }
    let work = stage::work_dir(cache)?;
    compile::populate(work.path(), request)?;
    let sandbox = Sandbox {
        root: request.root,
        headers: request.headers,
        work: work.path(),
    };
    // What the core brings matters to modpost alone, whose word is not asked here.
    let core = match request.core {
        Some(_) => "",
        None => "as -o core.o_shipped /dev/null\n",
    };
    // Not `C=2`: kernels from 7.0 on then ask a script of theirs whether the checker is new
    // enough, and Debian's packages lack the script, so that none is.
    let ran = sandbox.run(&format!(
        "{core}{} KBUILD_CHECKSRC=2 CHECK=sparse TIDELOCK_SPLIT=1 KBUILD_MODPOST_WARN=1 modules",
        compile::make(request)
    ))?;
    files::write_atomic(request.log, ran.log.as_bytes())?;
    let own: Vec<&str> = request.sources.files.keys().map(String::as_str).collect();
    if let Some(line) = lost(&ran.log, &own) {
        return Err(KbuildError::Incomplete {
            what: format!("a sparse that understands this kernel's headers ({line})"),
            packages: vec![format!("the build root {}", request.root.path.display())],
        });
    }
    if let (false, Some(what)) = (ran.status.success(), infrastructure::sign(&ran.log)) {
        return Err(KbuildError::Toolchain {
            what: what.into(),
            log: request.log.into(),
        });
    }
    // A build that leaves the checker out goes on all the same.
    if !ran
        .log
        .lines()
        .any(|line| line.trim_start().starts_with("CHECK "))
    {
        return Err(KbuildError::Incomplete {
            what: "a sparse that is new enough for this kernel".into(),
            packages: vec![format!("the build root {}", request.root.path.display())],
        });
    }
    let report = of_sparse(&ran.log, &own);
    if report.is_clean() && !ran.status.success() {
        return Err(KbuildError::Toolchain {
            what: "the build under sparse failed and nothing says why".into(),
            log: request.log.into(),
        });
    }
    Ok(report)
}

/// Whether a line of output is about one of the files `own`.
fn is_about(line: &str, own: &[&str]) -> bool {
    let path = line.split(':').next().unwrap_or_default();
    let path = path.strip_prefix("/work/").unwrap_or(path);
    own.contains(&path)
}

/// The first line that tells that a header, and not one of the files `own`, was not understood.
fn lost<'a>(log: &'a str, own: &[&str]) -> Option<&'a str> {
    log.lines()
        .find(|line| line.contains(": error: ") && !is_about(line, own))
}

/// The complaints in sparse's output about one of the files `own`.
fn of_sparse(log: &str, own: &[&str]) -> LintReport {
    let complains = |line: &&str| line.contains(": warning: ") || line.contains(": error: ");
    let is_own = |line: &&str| is_about(line, own);
    LintReport {
        complaints: log
            .lines()
            .filter(complains)
            .filter(is_own)
            .map(str::to_owned)
            .collect(),
    }
}

/// Unpacks checkpatch and its word lists from the source of a kernel, such as the
/// `/usr/src/linux-source-6.1.tar.xz` that a `linux-source` package installs.
///
/// # Errors
/// When the file cannot be read, or has no checkpatch in it.
pub fn ensure_checkpatch(cache: &Path, tarball: &Path) -> Result<Stage<PathBuf>, KbuildError> {
    let started = Instant::now();
    let key = KeyBuilder::new("checkpatch", 1)
        .digest("tarball", &Sha256::of(&files::read(tarball)?))
        .finish();
    let place = stage::place(cache, "checkpatch", &key);
    let cached = stage::once(&place, || {
        files::make_dir_atomic(&place, |dir| {
            let mut tar = process::command("tar");
            tar.args(["--extract", "--strip-components=2", "--wildcards"])
                .arg("--file")
                .arg(tarball)
                .arg("--directory")
                .arg(dir)
                .args(["*/scripts/checkpatch.pl", "*/scripts/spelling.txt"])
                .arg("*/scripts/const_structs.checkpatch");
            process::run(tar, None)?;
            Ok::<(), KbuildError>(())
        })
    })?;
    Ok(Stage::new(place, key, cached, started))
}

/// Runs checkpatch over whole files (`paths`, seen from `dir`); `scripts` is the folder that
/// [`ensure_checkpatch`] made.
///
/// # Errors
/// When it cannot be run.
pub fn checkpatch(
    scripts: &Path,
    dir: &Path,
    paths: &[PathBuf],
    log: &Path,
) -> Result<LintReport, KbuildError> {
    let mut perl = process::command("perl");
    perl.arg(scripts.join("checkpatch.pl"))
        .args(["--no-tree", "--strict", "--terse", "--no-summary", "--file"])
        .args(paths)
        .env("LC_ALL", "C");
    let Outcome {
        status,
        stdout,
        stderr,
    } = process::outcome(perl, Some(dir))?;
    let text = String::from_utf8_lossy(&stdout).into_owned();
    let said = String::from_utf8_lossy(&stderr);
    files::write_atomic(log, format!("{text}{said}").as_bytes())?;
    let report = LintReport {
        complaints: text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(str::to_owned)
            .collect(),
    };
    // It ends with 1 when it has complaints, and with others when it is broken.
    if report.is_clean() != status.success() {
        return Err(KbuildError::Toolchain {
            what: format!(
                "checkpatch ended with {status} and {} complaints: {}",
                report.complaints.len(),
                said.trim()
            ),
            log: log.into(),
        });
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparse_is_heard_about_our_files_only() {
        let log = "  CHECK   /work/src/a.c\n\
                   /work/src/a.c:7:1: warning: symbol 'x' was not declared. Should it be static?\n\
                   src/a.c:9:1: error: typename in expression\n\
                   ./include/linux/fs.h:1:1: warning: directive in macro's argument list\n\
                   /work/src/a.mod.c:1:1: warning: made by modpost\n";
        let report = of_sparse(log, &["src/a.c"]);
        assert_eq!(report.complaints.len(), 2);
        assert!(of_sparse("  CHECK   /work/src/a.c\n", &["src/a.c"]).is_clean());
        assert_eq!(lost(log, &["src/a.c"]), None);
        let old = "/kernel/usr/src/h/include/rwonce.h:67:16: error: got __typeof_unqual__";
        assert_eq!(lost(&format!("{log}{old}\n"), &["src/a.c"]), Some(old));
    }

    fn scripts(body: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let script = format!("#!/usr/bin/perl\n{body}\n");
        files::write_atomic(&dir.path().join("checkpatch.pl"), script.as_bytes()).unwrap();
        dir
    }

    fn checkpatch_that(body: &str) -> Result<LintReport, KbuildError> {
        let dir = scripts(body);
        let log = dir.path().join("log");
        checkpatch(dir.path(), dir.path(), &["a.c".into()], &log)
    }

    #[test]
    fn checkpatch_is_believed_when_its_exit_code_fits_its_words() {
        assert!(checkpatch_that("exit 0;").unwrap().is_clean());
        let report = checkpatch_that("print \"$ARGV[-1]:1: WARNING: x\\n\"; exit 1;").unwrap();
        assert_eq!(report.complaints, ["a.c:1: WARNING: x"]);
        for broken in [
            "exit 1;",
            "die 'no spelling.txt';",
            "print \"x\\n\"; exit 0;",
        ] {
            let error = checkpatch_that(broken).unwrap_err();
            assert_eq!(error.verdict(), "broken-toolchain", "{broken}");
        }
    }

    #[test]
    fn checkpatch_comes_out_of_a_kernels_source() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "checkpatch.pl",
            "spelling.txt",
            "const_structs.checkpatch",
            "other",
        ] {
            let path = dir.path().join("linux-source-6.1/scripts").join(name);
            files::write_atomic(&path, name.as_bytes()).unwrap();
        }
        let tarball = dir.path().join("source.tar");
        let mut tar = process::command("tar");
        tar.args(["--create", "--file"])
            .arg(&tarball)
            .arg("linux-source-6.1");
        process::run(tar, Some(dir.path())).unwrap();
        let cache = dir.path().join("cache");
        let made = ensure_checkpatch(&cache, &tarball).unwrap();
        assert!(made.result.join("checkpatch.pl").exists());
        assert!(!made.result.join("other").exists());
        assert!(ensure_checkpatch(&cache, &tarball).unwrap().cached);
    }
}
