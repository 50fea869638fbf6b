// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Builds for real kernels. Not run by default: they want a lab of kernels, see [`lab`].

mod caching;
mod lab;
mod misbehaviour;
