// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The one place that spawns processes, writes files and asks for host packages.
//!
//! Everything started here dies with the factory; everything written here is whole or absent.

pub mod files;
pub mod process;
pub mod tools;
