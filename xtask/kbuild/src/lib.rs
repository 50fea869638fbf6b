// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Build roots, compile probes, the module's build and the verdict without booting.
//!
//! The stages, each a function from plain data to plain data whose result is cached by the
//! content it depends on:
//!
//! 1. [`ensure_root`] and [`ensure_headers`] unpack locked packages.
//! 2. [`run_probes`] answers the module's questions about one kernel.
//! 3. [`compile()`] builds the module for that kernel.
//! 4. [`check()`] says, without booting, whether the kernel will take it; [`abi()`] finds the first
//!    of many kernels that will not.
//!
//! [`ensure_userland`] makes what runs in guests beside the kernel.
//!
//! [`sparse`] and [`checkpatch`] look at the C sources for CI.

mod abi;
mod check;
mod code;
mod compile;
mod error;
mod headers;
mod infrastructure;
mod ko;
mod lint;
mod log;
mod modinfo;
mod packages;
mod probe;
mod relocation;
mod returns;
mod root;
mod sandbox;
mod sources;
mod stage;
mod symvers;
#[cfg(test)]
mod testing;
mod userland;

pub use abi::{AbiBreak, AbiReason, abi};
pub use check::{CheckPolicy, Finding, FindingKind, KernelFacts, StaticVerdict, check};
pub use code::{CodeFacts, Frame, VectorUse};
pub use compile::{CompileRequest, CoreObject, Module, compile};
pub use error::KbuildError;
pub use headers::{Headers, ensure_headers};
pub use ko::{KoError, KoFile};
pub use lint::{LintReport, checkpatch, ensure_checkpatch, sparse};
pub use log::BuildFailure;
pub use modinfo::{ModInfo, vermagic_of};
pub use packages::Package;
pub use probe::{Answers, Probe, ProbeRequest, run_probes};
pub use root::{Root, ensure_root};
pub use sandbox::{ENVIRONMENT, Ran, Sandbox, TOOLS};
pub use sources::Sources;
pub use stage::Stage;
pub use symvers::{Export, Symvers, SymversError};
pub use userland::{PACKER, Userland, UserlandRequest, ensure_userland};
