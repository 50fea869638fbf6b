// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Builds the Rust core of the module once per architecture.
