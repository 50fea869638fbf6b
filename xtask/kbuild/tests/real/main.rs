// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Builds for real kernels. Not run by default: they want a lab of kernels, see [`lab`].
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a helper of tests fails the test that called it"
)]

mod caching;
mod lab;
mod misbehaviour;
