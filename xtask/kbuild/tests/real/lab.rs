// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Real kernels to build for.
//!
//! `TIDELOCK_LAB` names a JSON file: a list of kernels, each with its `release`, the `vermagic`
//! of a module that came with it, and the packages of its `root` and `headers` (`name`, `path`,
//! `sha256`). `cargo xtask test` writes it out of the lock and the store.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use serde::Deserialize;
use tidelock_kbuild::{
    Answers, CheckPolicy, CompileRequest, Headers, KbuildError, KernelFacts, LintReport, Module,
    Package, Root, Sources, Stage, StaticVerdict, Symvers, check, compile, ensure_headers,
    ensure_root, sparse,
};
use tidelock_model::{Release, Series, Sha256};

#[derive(Deserialize)]
struct LabPackage {
    name: String,
    path: PathBuf,
    sha256: Sha256,
}

#[derive(Deserialize)]
struct LabKernel {
    release: Release,
    vermagic: String,
    root: Vec<LabPackage>,
    headers: Vec<LabPackage>,
}

/// A kernel that is ready to be built for.
pub(crate) struct Kernel {
    pub(crate) release: Release,
    pub(crate) vermagic: String,
    pub(crate) root: Root,
    pub(crate) headers: Headers,
    pub(crate) symvers: Symvers,
}

/// The cache that all tests share: what is in it is named by its content.
pub(crate) fn cache() -> PathBuf {
    tidelock_host::files::cache_dir().unwrap()
}

/// Every kernel of the lab, unpacked.
pub(crate) fn kernels() -> &'static [Kernel] {
    static KERNELS: OnceLock<Vec<Kernel>> = OnceLock::new();
    KERNELS.get_or_init(|| {
        let path = std::env::var_os("TIDELOCK_LAB")
            .expect("TIDELOCK_LAB names no lab: run these tests with `cargo xtask test`");
        let text = std::fs::read_to_string(path).unwrap();
        let lab: Vec<LabKernel> = serde_json::from_str(&text).unwrap();
        assert!(!lab.is_empty(), "the lab has no kernel");
        lab.into_iter().map(prepare).collect()
    })
}

/// The first kernel of the lab.
pub(crate) fn kernel() -> &'static Kernel {
    &kernels()[0]
}

fn prepare(kernel: LabKernel) -> Kernel {
    let packages = |packages: Vec<LabPackage>| -> Vec<Package> {
        let package = |package: LabPackage| Package {
            name: package.name,
            path: package.path,
            sha256: package.sha256,
        };
        packages.into_iter().map(package).collect()
    };
    let root = ensure_root(&cache(), &packages(kernel.root)).unwrap();
    let headers = ensure_headers(&cache(), &kernel.release, &packages(kernel.headers)).unwrap();
    let symvers = Symvers::parse(&headers.result.module_symvers().unwrap()).unwrap();
    Kernel {
        release: kernel.release,
        vermagic: kernel.vermagic,
        root: root.result,
        headers: headers.result,
        symvers,
    }
}

/// The sources of a module that is one file of the corpus.
pub(crate) fn corpus(name: &str) -> Sources {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/corpus/{name}.c"));
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Sources::of(BTreeMap::from([
        ("Kbuild".to_owned(), b"obj-m := corpus.o\n".to_vec()),
        ("corpus.c".to_owned(), text),
    ]))
    .unwrap()
}

impl Kernel {
    pub(crate) fn series(&self) -> Series {
        self.release.series()
    }

    /// Hands over what it takes to build a module of the corpus.
    fn with_request<T>(&self, name: &str, act: impl FnOnce(&CompileRequest<'_>) -> T) -> T {
        let log = tempfile::tempdir().unwrap();
        act(&CompileRequest {
            root: &self.root,
            headers: &self.headers,
            sources: &corpus(name),
            answers: &Answers::default(),
            core: None,
            module: "corpus",
            version: "0.0.0",
            log: &log.path().join("build.log"),
        })
    }

    /// Builds a module of the corpus in a cache of the test's own.
    pub(crate) fn build_in(&self, cache: &Path, name: &str) -> Result<Stage<Module>, KbuildError> {
        self.with_request(name, |request| compile(cache, request))
    }

    /// What sparse says of a module of the corpus.
    pub(crate) fn sparse(&self, name: &str) -> Result<LintReport, KbuildError> {
        self.with_request(name, |request| sparse(&cache(), request))
    }

    pub(crate) fn build(&self, name: &str) -> Result<Stage<Module>, KbuildError> {
        self.build_in(&cache(), name)
    }

    /// The bytes of a module of the corpus that must build.
    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        let module = self
            .build(name)
            .unwrap_or_else(|error| panic!("{name} for {}: {error}", self.release));
        std::fs::read(module.result.stripped).unwrap()
    }

    /// The verdict on a module of the corpus.
    pub(crate) fn check(&self, module: &[u8]) -> StaticVerdict {
        let facts = KernelFacts {
            vermagic: &self.vermagic,
            symvers: &self.symvers,
        };
        let policy = CheckPolicy {
            module: "corpus",
            ..CheckPolicy::TIDELOCK
        };
        check(module, &facts, &policy).unwrap()
    }

    /// The names of the findings.
    pub(crate) fn findings(&self, module: &[u8]) -> Vec<&'static str> {
        let verdict = self.check(module);
        verdict.findings.iter().map(|f| f.kind.as_str()).collect()
    }
}
