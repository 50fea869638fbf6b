// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Builds the Rust core of the module once per architecture.
//!
//! The crates of `kmod/` become a static library for a target without an operating system,
//! the library becomes one relocatable object, and the object is inspected before anybody may
//! link it into a module: what it calls, which relocations and registers it uses, how much
//! stack each function takes. The result is cached by everything it depends on.
//!
//! All tools are the pinned Rust toolchain's own (cargo, rustc, rust-lld, rust-objcopy): no
//! binutils of the host and none of their plugins take part, so that every host makes the
//! same bytes.

mod build;
mod crates;
mod error;
pub mod inspect;
mod locked;
mod overlay;
mod recipe;
mod record;
mod rust_src;
mod sources;
mod toolchain;
mod workspace;

pub use build::{CoreRequest, build};
pub use error::CoreError;
pub use recipe::{Network, Variant};
pub use record::{CoreArtifact, CoreRecord, Freshness};
pub use rust_src::{RustSrc, RustSrcOrigin};
pub use toolchain::Toolchain;
