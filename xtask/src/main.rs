// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The factory: builds, boots, tests and packages the module for every kernel.

fn main() {}
