// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The module's build for one kernel.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use tidelock_host::files;
use tidelock_model::{KeyBuilder, Sha256};

use crate::{
    error::KbuildError,
    headers::Headers,
    infrastructure, log,
    probe::Answers,
    root::Root,
    sandbox::{self, Ran, Sandbox},
    sources::Sources,
    stage::{self, Stage},
};

/// Raise it when the code below makes another module out of the same inputs.
const RECIPE: u32 = 2;

/// Where the answers to the probes are among the sources.
const CONFIG: &str = "compat/compat_config.h";

/// The Rust core, linked into the module of every kernel.
#[derive(Clone, Copy, Debug)]
pub struct CoreObject<'a> {
    /// The relocatable object.
    pub bytes: &'a [u8],
    /// Its digest.
    pub sha256: Sha256,
}

/// One module for one kernel.
#[derive(Clone, Copy, Debug)]
pub struct CompileRequest<'a> {
    /// The toolchain.
    pub root: &'a Root,
    /// The kernel.
    pub headers: &'a Headers,
    /// The C shim.
    pub sources: &'a Sources,
    /// What the kernel answered to the probes.
    pub answers: &'a Answers,
    /// The Rust core; without one where the sources need none.
    pub core: Option<CoreObject<'a>>,
    /// The module's name: its file is `NAME.ko`.
    pub module: &'a str,
    /// The version that the module tells.
    pub version: &'a str,
    /// Where to write the log.
    pub log: &'a Path,
}

/// A module as it was built.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Module {
    /// The module as it is shipped: without debug information.
    pub stripped: PathBuf,
    /// The same with debug information, for crashes.
    pub unstripped: PathBuf,
    /// The digest of the shipped one.
    pub sha256: Sha256,
}

/// Builds the module, unless it was built out of the same inputs before.
///
/// # Errors
/// [`KbuildError::Build`] when the kernel's compiler, objtool or modpost has anything to say
/// against it, be it a warning; others where no verdict on the module can be had.
pub fn compile(cache: &Path, request: &CompileRequest<'_>) -> Result<Stage<Module>, KbuildError> {
    let started = Instant::now();
    let key = key(request);
    let place = stage::place(cache, "modules", &key);
    let cached = stage::once(&place, || build(cache, &place, request))?;
    if cached {
        // What is looked for in a log may have changed since the module was made.
        let kept = String::from_utf8_lossy(&files::read(&place.join("build.log"))?).into_owned();
        files::write_atomic(request.log, kept.as_bytes())?;
        judge(&kept, request.log)?;
    }
    let stripped = place.join(format!("{}.ko", request.module));
    let module = Module {
        sha256: Sha256::of(&files::read(&stripped)?),
        unstripped: place.join(format!("{}.debug.ko", request.module)),
        stripped,
    };
    Ok(Stage::new(module, key, cached, started))
}

fn key(request: &CompileRequest<'_>) -> Sha256 {
    let key = KeyBuilder::new("compile", RECIPE)
        .digest("root", &request.root.key)
        .digest("headers", &request.headers.key)
        .digest("sources", &request.sources.digest())
        .text("config", &request.answers.config_header())
        .text("module", request.module)
        .text("version", request.version)
        .text("script", &script(request));
    let key = sandbox::in_key(key);
    match request.core {
        Some(core) => key.digest("core", &core.sha256),
        None => key,
    }
    .finish()
}

fn build(cache: &Path, place: &Path, request: &CompileRequest<'_>) -> Result<(), KbuildError> {
    let work = stage::work_dir(cache)?;
    populate(work.path(), request)?;
    let sandbox = Sandbox {
        root: request.root,
        headers: request.headers,
        work: work.path(),
    };
    let ran = sandbox.run(&script(request))?;
    files::write_atomic(request.log, ran.log.as_bytes())?;
    judge_ended(&ran, request.log)?;
    let made = |name: &str| work.path().join(format!("{}{name}", request.module));
    if [".ko", ".debug.ko"].iter().any(|name| !made(name).exists()) {
        return Err(KbuildError::Unexplained {
            what: format!("no {}.ko was made", request.module),
            log: request.log.into(),
        });
    }
    files::make_dir_atomic(place, |dir| {
        for name in [".ko", ".debug.ko"] {
            let bytes = files::read(&made(name))?;
            files::write_atomic(&dir.join(format!("{}{name}", request.module)), &bytes)?;
        }
        files::write_atomic(&dir.join("build.log"), ran.log.as_bytes())?;
        Ok(())
    })
}

/// Whether a build that ended is one to go on with: the code is at fault only where the log says
/// so, and nothing in it or in how the build ended says that the host was.
fn judge_ended(ran: &Ran, log: &Path) -> Result<(), KbuildError> {
    let unexplained = |what| KbuildError::Unexplained {
        what,
        log: log.into(),
    };
    if let Some(what) = ran.killed() {
        return Err(unexplained(what));
    }
    judge(&ran.log, log)?;
    if ran.status.success() {
        return Ok(());
    }
    let said = log::last_words(&ran.log);
    Err(unexplained(format!("{said} ({})", ran.status)))
}

/// What a log says of the build, whenever it was written.
fn judge(text: &str, log: &Path) -> Result<(), KbuildError> {
    if let Some(what) = infrastructure::sign(text) {
        return Err(KbuildError::Toolchain {
            what: what.into(),
            log: log.into(),
        });
    }
    match log::judge(text) {
        None => Ok(()),
        Some(failure) => Err(KbuildError::Build {
            failure,
            log: log.into(),
        }),
    }
}

/// Writes all that a build reads into a work folder.
pub(crate) fn populate(work: &Path, request: &CompileRequest<'_>) -> Result<(), KbuildError> {
    request.sources.write(work)?;
    let config = request.answers.config_header();
    files::write_atomic(&work.join(CONFIG), config.as_bytes())?;
    if let Some(core) = request.core {
        files::write_atomic(&work.join("core.o_shipped"), core.bytes)?;
    }
    Ok(())
}

/// The call of kbuild, without a target.
///
/// `-g1` is what a crash needs, lines and inlined functions, where the kernel's own `-g` makes the
/// compiler a quarter slower and the module seven times as large.
///
/// Nothing uses the module's BTF, and making it wants pahole and the kernel's vmlinux. Newer
/// kernels compare pahole's version with theirs and warn, though nothing calls it.
pub(crate) fn make(request: &CompileRequest<'_>) -> String {
    format!(
        "make -j2 --output-sync=target -C {} M=/work KCFLAGS='-Werror -g1' \
         CONFIG_DEBUG_INFO_BTF_MODULES= CONFIG_PAHOLE_VERSION=0 PAHOLE_VERSION=0 \
         TIDELOCK_VERSION={}",
        request.headers.build_dir(),
        request.version
    )
}

/// What runs in the sandbox.
fn script(request: &CompileRequest<'_>) -> String {
    let (make, module) = (make(request), request.module);
    format!(
        "set -e\n{make} modules\n\
         mv {module}.ko {module}.debug.ko\n\
         strip --strip-debug -o {module}.ko {module}.debug.ko\n"
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    /// Requests that differ in one input each.
    fn with_requests(log: &Path, mut with: impl FnMut(&CompileRequest<'_>)) {
        let root = |text: &str| Root {
            path: "/r".into(),
            key: Sha256::of(text.as_bytes()),
        };
        let headers = |text: &str| Headers {
            release: "6.1.0-56-amd64".parse().unwrap(),
            key: Sha256::of(text.as_bytes()),
            folders: Vec::new(),
        };
        let sources =
            |text: &str| Sources::of([("src/a.c".to_owned(), text.into())].into()).unwrap();
        let answers = |yes| Answers([("a".to_owned(), yes)].into());
        let cases = [
            ("r", "h", "s", true, None, "1"),
            ("R", "h", "s", true, None, "1"),
            ("r", "H", "s", true, None, "1"),
            ("r", "h", "S", true, None, "1"),
            ("r", "h", "s", false, None, "1"),
            ("r", "h", "s", true, Some("c"), "1"),
            ("r", "h", "s", true, Some("C"), "1"),
            ("r", "h", "s", true, None, "2"),
        ];
        for (r, h, s, yes, core, version) in cases {
            with(&CompileRequest {
                root: &root(r),
                headers: &headers(h),
                sources: &sources(s),
                answers: &answers(yes),
                core: core.map(|text: &str| CoreObject {
                    bytes: text.as_bytes(),
                    sha256: Sha256::of(text.as_bytes()),
                }),
                module: "tidelock",
                version,
                log,
            });
        }
    }

    #[test]
    fn the_module_is_blamed_for_nothing_but_what_the_log_says_of_it() {
        let error = "a.c:2:2: error: 'x' undeclared\nmake: *** [a.o] Error 1\n";
        let killed = "make[1]: *** [Makefile:1: a.o] Killed\n";
        let full = "a.c:1:1: error: cannot write\nas: a.o: No space left on device\n";
        // How it ended as wait(2) tells it, its log, and what is to be said.
        for (raw, text, verdict) in [
            (0, "  LD [M]  t.ko\n", None),
            (0, "a.c:1:1: warning: x\n", Some(("compile-warning", false))),
            (2 << 8, error, Some(("compile-error", false))),
            (
                2 << 8,
                "make: *** [a.o] Error 2\n",
                Some(("build-failed", true)),
            ),
            (2 << 8, "", Some(("build-failed", true))),
            (9, "  CC a.o\n", Some(("build-failed", true))),
            (137 << 8, error, Some(("build-failed", true))),
            (2 << 8, killed, Some(("broken-toolchain", true))),
            (2 << 8, full, Some(("broken-toolchain", true))),
        ] {
            let ran = Ran {
                status: std::process::ExitStatus::from_raw(raw),
                log: text.into(),
            };
            let told = judge_ended(&ran, Path::new("/log")).err();
            let told = told.map(|error| (error.verdict(), error.is_infrastructure()));
            assert_eq!(told, verdict, "{raw} {text:?}");
        }
    }

    #[test]
    fn a_kept_log_is_judged_again() {
        let cache = tempfile::tempdir().unwrap();
        let log = cache.path().join("build.log");
        with_requests(&log, |request| {
            let place = stage::place(cache.path(), "modules", &key(request));
            for name in ["tidelock.ko", "tidelock.debug.ko"] {
                files::write_atomic(&place.join(name), b"module").unwrap();
            }
            let keep = |text: &str| files::write_atomic(&place.join("build.log"), text.as_bytes());
            keep("  LD [M]  t.ko\n").unwrap();
            assert!(compile(cache.path(), request).unwrap().cached);
            keep("WARNING: modpost: something new\n").unwrap();
            let error = compile(cache.path(), request).unwrap_err();
            assert_eq!(error.verdict(), "compile-warning");
            assert!(files::read_text(&log).unwrap().contains("something new"));
        });
    }

    #[test]
    fn each_input_is_in_the_key() {
        let mut keys = Vec::new();
        with_requests(Path::new("/log"), |request| keys.push(key(request)));
        let count = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), count);
    }
}
