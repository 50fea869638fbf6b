// SPDX-License-Identifier: Apache-2.0 OR MIT
//! matrix.toml, matrix.lock, discovery and the plan of cells.

mod closure;
mod diff;
mod find;
mod list;
mod lock;
mod lockfile;
mod ops;
mod plan;
mod relation;
mod resolve;
mod serve;
mod spec;
mod strict;
mod verify;

pub use closure::{Need, Unmet, closure};
pub use diff::{Change, Diff, Mention, diff};
pub use find::{Found, FoundKernel, Offer, Skipped, find, kind};
pub use list::{Listed, list};
pub use lock::{
    Lock, LockedKernel, LockedPackage, LockedRoot, LockedSuite, LockedUserland, MissingKernel,
    files,
};
pub use ops::{Locking, MatrixError, discover, lock, read_lock, read_matrix};
pub use plan::{Cell, Place, PlanError, missing, plan};
pub use resolve::{Discovery, ResolveError, resolve};
pub use spec::{
    Capability, Matrix, RootSpec, Rule, RustSrcSpec, Selection, Selector, SeriesSpec, SuiteSpec,
    TestProfile, Tiers, UserlandSpec,
};
pub use strict::SpecError;
pub use verify::{Depth, Fault, Standing, Verification, verify};
