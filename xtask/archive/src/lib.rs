// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Debian archives: signed chain, indexes, packages, and the content-addressed store.

mod address;
pub mod deb;
pub mod deb822;
mod fetch;
mod fetch_error;
mod file;
mod http;
pub mod index;
mod mirror;
mod openpgp;
mod part;
mod progress;
pub mod release;
mod store;
mod suite;
mod unpack;
pub mod version;

pub use address::Address;
pub use fetch::{Fetcher, Mode, Presence};
pub use fetch_error::{FetchError, FetchErrors, Kind};
pub use file::FileRef;
pub use http::Retry;
pub use mirror::{DEBIAN, DEBIAN_SECURITY, MirrorError, Mirrors};
pub use openpgp::Keyring;
pub use progress::{Arrival, NoProgress, Progress};
pub use store::{Store, hash_file};
pub use suite::{ArchiveError, Suite, SuiteQuery, fetch_suite};
