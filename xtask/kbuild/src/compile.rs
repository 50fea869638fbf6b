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
    infrastructure,
    log::{self, BuildFailure},
    probe::Answers,
    root::Root,
    sandbox::Sandbox,
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
        files::write_atomic(request.log, &files::read(&place.join("build.log"))?)?;
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
        .text("version", request.version);
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
    if let Some(what) = infrastructure::sign(&ran.log) {
        return Err(KbuildError::Toolchain {
            what: what.into(),
            log: request.log.into(),
        });
    }
    let made = |name: &str| work.path().join(format!("{}{name}", request.module));
    let failure = log::judge(&ran.log, ran.status.success()).or_else(|| {
        let missing = [".ko", ".debug.ko"].iter().any(|name| !made(name).exists());
        missing.then(|| BuildFailure::BuildFailed(format!("no {}.ko was made", request.module)))
    });
    if let Some(failure) = failure {
        return Err(KbuildError::Build {
            failure,
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
    use super::*;

    fn keys() -> Vec<Sha256> {
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
        cases
            .iter()
            .map(|(r, h, s, yes, core, version)| {
                key(&CompileRequest {
                    root: &root(r),
                    headers: &headers(h),
                    sources: &sources(s),
                    answers: &answers(*yes),
                    core: core.map(|text: &str| CoreObject {
                        bytes: text.as_bytes(),
                        sha256: Sha256::of(text.as_bytes()),
                    }),
                    module: "tidelock",
                    version,
                    log: Path::new("/log"),
                })
            })
            .collect()
    }

    #[test]
    fn each_input_is_in_the_key() {
        let mut keys = keys();
        let count = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), count);
    }
}
