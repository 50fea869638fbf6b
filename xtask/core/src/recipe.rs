// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How the core is built: flags and arguments, as plain data.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Toolchain, crates::CONFIG, rust_src::PARTS};

/// Raised when the same inputs are to give another object.
pub(crate) const VERSION: u32 = 4;

/// A target without an operating system: no vector registers, no red zone.
pub(crate) const TARGET: &str = "x86_64-unknown-none";
/// The profile in the workspace's manifest.
pub(crate) const PROFILE: &str = "kernel";

/// What the C shim calls (`kmod/include/tidelock_core.h`).
pub(crate) const EXPORTS: [&str; 14] = [
    "tdl_core_ask",
    "tdl_core_certify",
    "tdl_core_check",
    "tdl_core_frame",
    "tdl_core_free",
    "tdl_core_hello",
    "tdl_core_output",
    "tdl_core_receive",
    "tdl_core_records",
    "tdl_core_shake",
    "tdl_core_sign",
    "tdl_core_stamp",
    "tdl_core_status",
    "tdl_core_trust",
];

/// What the object may leave for others: the shim's functions, and the kernel's thunks.
pub(crate) const IMPORTS: [&str; 7] = [
    "__x86_indirect_thunk_r11",
    "__x86_return_thunk",
    "tdl_alloc",
    "tdl_core_panicked",
    "tdl_free",
    "tdl_random",
    "tdl_unix_time",
];

/// Sections that no kernel wants: LLVM's own copies, and a note on the instruction set that
/// makes linkers warn when the C side says something else.
const DROPPED_SECTIONS: [&str; 4] = [".comment", ".llvmbc", ".llvmcmd", ".note.gnu.property"];

/// Which core.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Variant {
    /// What ships.
    Shipping,
    /// With the frame that panics, for the tests of the panic policy.
    FaultInjection,
}

impl Variant {
    /// The name in files and keys.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shipping => "shipping",
            Self::FaultInjection => "fault-injection",
        }
    }

    /// The features of `tidelock-core` that make it.
    const fn features(self) -> &'static str {
        match self {
            Self::Shipping => "",
            Self::FaultInjection => "fault-injection",
        }
    }
}

/// Whether cargo may ask a registry for the crates in the lock file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Network {
    /// It may.
    Allowed,
    /// What is not in cargo's cache is an error.
    Offline,
}

/// Compiler flags that do not depend on this machine.
///
/// - Static relocation and the kernel code model: a module lives in the top 2 GiB.
/// - PLT and direct access: without them a call goes through a GOT, and a module has none
///   (the loader refuses: "Unknown rela relocation: 9").
/// - Branch targets are marked and returns and indirect jumps go through the kernel's own
///   thunks. The kernel patches these for the processor it runs on, where objtool has listed
///   them: it looks at this object, or at the module it is linked into (`kmod/Kbuild`).
/// - Cryptography stays off the vector registers, which a kernel must not touch.
pub(crate) const RUSTFLAGS: [&str; 13] = [
    "-Crelocation-model=static",
    "-Ccode-model=kernel",
    "-Zplt=yes",
    "-Zdirect-access-external-data=yes",
    "-Zcf-protection=branch",
    "-Zfunction-return=thunk-extern",
    "-Zretpoline-external-thunk",
    "--cfg=aes_backend=\"soft\"",
    "--cfg=chacha20_backend=\"soft\"",
    "--cfg=curve25519_dalek_backend=\"serial\"",
    "--cfg=poly1305_backend=\"soft\"",
    "--cfg=polyval_backend=\"soft\"",
    "--cfg=sha2_backend=\"soft\"",
];

/// Where everything is on this machine. None of it shows in the object, for the compiler sees
/// each under a fixed name ([`sandbox`]): cargo hashes the path of a crate outside of a registry
/// into every symbol, and no flag can change that.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// The core's own workspace (see `workspace`).
    pub(crate) workspace: PathBuf,
    /// The toolchain's own folder.
    pub(crate) sysroot: PathBuf,
    /// The files of the view of Rust's library source (see `overlay`).
    pub(crate) overlay: PathBuf,
    /// The source itself.
    pub(crate) library: PathBuf,
    /// The locked packages (see `crates`).
    pub(crate) crates: PathBuf,
    /// cargo's settings.
    pub(crate) config: PathBuf,
    pub(crate) target_dir: PathBuf,
}

/// The call that brings the packages of the core's own workspace, with the user's settings, and
/// reduces its lock file to them. For all targets: what cargo resolves it must have.
pub(crate) fn fetch(network: Network) -> Vec<String> {
    let mut arguments = vec!["fetch".into()];
    arguments.extend((network == Network::Offline).then(|| "--offline".into()));
    arguments
}

/// Arguments of bubblewrap: everything under fixed names, read-only but for the target folder;
/// no network, no environment, no capability, nothing of the user's. cargo's own arguments follow.
pub(crate) fn sandbox(places: &Places) -> Vec<String> {
    let mut arguments: Vec<String> = [
        "--unshare-all",
        "--die-with-parent",
        "--new-session",
        "--cap-drop",
        "ALL",
        // cargo's own notes on what it has used.
        "--tmpfs",
        "/cargo",
    ]
    .map(String::from)
    .into();
    let mut mount = |kind: &str, from: &Path, to: &str| {
        arguments.extend([kind.into(), from.display().to_string(), to.into()]);
    };
    // A linker and the C library, for build scripts and procedural macros.
    for dir in ["/bin", "/etc", "/lib", "/lib64", "/usr"] {
        mount("--ro-bind-try", Path::new(dir), dir);
    }
    mount("--ro-bind", &places.sysroot, "/toolchain");
    mount("--ro-bind", &places.workspace, "/tidelock");
    for file in ["Cargo.toml", "sysroot"] {
        mount(
            "--ro-bind",
            &places.overlay.join(file),
            &format!("/rust/{file}"),
        );
    }
    for part in PARTS {
        mount(
            "--ro-bind",
            &places.library.join(part),
            &format!("/rust/{part}"),
        );
    }
    mount("--ro-bind", &places.crates, "/crates");
    mount("--ro-bind", &places.config, "/cargo/config.toml");
    mount("--bind", &places.target_dir, "/target");
    let fixed = [
        "--proc",
        "/proc",
        "--dev",
        "/dev",
        "--tmpfs",
        "/tmp",
        "--chdir",
        "/tidelock",
        "--clearenv",
    ];
    arguments.extend(fixed.map(String::from));
    for (name, value) in environment() {
        arguments.extend(["--setenv".into(), name.into(), value]);
    }
    arguments.push("/toolchain/bin/cargo".into());
    arguments
}

fn environment() -> Vec<(&'static str, String)> {
    let flags = RUSTFLAGS.map(String::from).into_iter();
    let flags: Vec<String> = flags.chain(remappings()).collect();
    vec![
        ("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}")),
        ("CARGO_HOME", "/cargo".into()),
        ("CARGO_INCREMENTAL", "0".into()),
        ("CARGO_TARGET_DIR", "/target".into()),
        ("HOME", "/tmp".into()),
        ("PATH", "/toolchain/bin:/usr/bin:/bin".into()),
        // A stable compiler with the few unstable flags above.
        ("RUSTC_BOOTSTRAP", "1".into()),
        // Named for cargo's own tests, and the one way to build core from a source that is not
        // in the sysroot.
        ("__CARGO_TESTS_ONLY_SRC_ROOT", "/rust".into()),
    ]
}

fn remappings() -> Vec<String> {
    ["crates", "tidelock", "rust"]
        .map(|name| format!("--remap-path-prefix=/{name}={name}"))
        .into()
}

/// cargo's arguments for the static library.
pub(crate) fn cargo(variant: Variant) -> Vec<String> {
    let mut arguments: Vec<String> = [
        "build",
        "--package=tidelock-core",
        "--lib",
        "--locked",
        "--offline",
        "--no-default-features",
        "-Zbuild-std=core,alloc,compiler_builtins",
        "-Zbuild-std-features=compiler-builtins-mem",
    ]
    .map(String::from)
    .into();
    arguments.push(format!("--profile={PROFILE}"));
    arguments.push(format!("--target={TARGET}"));
    if !variant.features().is_empty() {
        arguments.push(format!("--features={}", variant.features()));
    }
    arguments
}

/// Arguments of rust-lld: one object of what the exports need, its sections joined.
pub(crate) fn link(archive: &Path, script: &Path, object: &Path) -> Vec<String> {
    let mut arguments: Vec<String> = ["-flavor", "gnu", "-r", "--gc-sections", "--build-id=none"]
        .map(String::from)
        .into();
    arguments.extend(EXPORTS.iter().map(|name| format!("--undefined={name}")));
    arguments.push(format!("--script={}", script.display()));
    arguments.push(format!("--output={}", object.display()));
    arguments.push(archive.display().to_string());
    arguments
}

/// The names of compilation units. With more than one of them objtool up to 6.1 takes the object
/// for a linked one.
const UNITS: &str = "*-cgu.*";

/// Arguments of rust-objcopy: hides everything but the exports.
pub(crate) fn objcopy(linked: &Path, object: &Path) -> Vec<String> {
    let keep = EXPORTS
        .iter()
        .map(|name| format!("--keep-global-symbol={name}"));
    let drop = DROPPED_SECTIONS
        .iter()
        .map(|name| format!("--remove-section={name}"));
    let units = ["--wildcard".to_owned(), format!("--strip-symbol={UNITS}")];
    keep.chain(drop)
        .chain(units)
        .chain([linked, object].map(|path| path.display().to_string()))
        .collect()
}

/// Mergeable constants keep sections of their own: their entries have a size.
pub(crate) const LINKER_SCRIPT: &str = "SECTIONS {
  .text : { *(.text .text.*) }
  .rodata : { *(.rodata .rodata..* .rodata._*) }
  .data : { *(.data .data.*) }
  .bss : { *(.bss .bss.*) }
}
";

/// All that decides the object besides sources and tools, for the content key.
pub(crate) fn fingerprint(variant: Variant) -> String {
    let path = Path::new;
    let places = Places {
        workspace: "workspace".into(),
        sysroot: "sysroot".into(),
        overlay: "overlay".into(),
        library: "library".into(),
        crates: "crates".into(),
        config: "config".into(),
        target_dir: "target".into(),
    };
    format!(
        "{:?}\n{:?}\n{:?}\n{:?}\n{LINKER_SCRIPT}{CONFIG}",
        sandbox(&places),
        cargo(variant),
        link(path("archive"), path("script"), path("object")),
        objcopy(path("linked"), path("object")),
    )
}

/// Libraries that the toolchain's programs load lie beside it, where the loader does not look.
pub(crate) fn library_path(toolchain: &Toolchain) -> PathBuf {
    toolchain.sysroot.join("lib")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calls_are_these() {
        let places = Places {
            workspace: "/w/target/core/t/workspace".into(),
            sysroot: "/s".into(),
            overlay: "/w/target/core/rust".into(),
            library: "/l/library".into(),
            crates: "/w/target/core/t/crates".into(),
            config: "/w/target/core/t/config.toml".into(),
            target_dir: "/w/target/core/shipping".into(),
        };
        let [archive, script, linked, object] = ["a", "s", "l", "o"].map(Path::new);
        insta::assert_debug_snapshot!((
            fetch(Network::Offline),
            sandbox(&places),
            cargo(Variant::Shipping),
            link(archive, script, linked),
            objcopy(linked, object),
        ));
    }

    #[test]
    fn a_variant_has_its_own_features_and_its_own_key() {
        assert_ne!(
            fingerprint(Variant::Shipping),
            fingerprint(Variant::FaultInjection)
        );
        let shipping = fingerprint(Variant::Shipping);
        assert!(!shipping.contains("fault-injection"), "{shipping}");
    }
}
