// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The daemon: attests the process that wants a connection, decides by policy, answers the
//! kernel.
#![forbid(unsafe_code)]

pub mod admin;
pub mod attest;
pub mod audit;
pub mod authority;
pub mod bounded;
pub mod cli;
pub mod config;
pub mod decide;
pub mod denied;
pub mod device;
pub mod explain;
pub mod fetch;
pub mod generation;
pub mod governor;
pub mod input;
pub mod log;
pub mod metrics;
pub mod mode;
pub mod notify;
pub mod privileges;
pub mod reasons;
pub mod run;
pub mod scrape;
pub mod serve;
pub mod state;
