// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The daemon: attests the process that wants a connection, decides by policy, answers the
//! kernel.
#![forbid(unsafe_code)]

pub mod attest;
pub mod audit;
pub mod config;
pub mod denied;
pub mod generation;
pub mod reasons;
pub mod state;
