// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is real here: processes, their executables, the daemon, curl. What is not: the module,
//! whose place a fake takes.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests fail by panicking"
)]

mod admin;
mod attest;
mod daemon;
mod fake;
mod home;
mod https;
mod server;
mod subjects;
mod svids;
