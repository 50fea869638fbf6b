// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Debian archives: signed chain, indexes, packages, and the content-addressed store.

pub mod deb;
pub mod deb822;
mod unpack;
