// SPDX-License-Identifier: Apache-2.0 OR MIT
//! PID 1 of the test guest: runs one end-to-end test and says its verdict as KTAP.

fn main() {}
