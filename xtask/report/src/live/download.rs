// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The downloads of a run, as a terminal and as a file see them.

use std::{
    sync::{Arc, Mutex},
    time::Instant,
};

use super::{Live, Output, lock};
use crate::text;

/// One fetch: some files of one cell, or of the run. What downloads tells it how it goes.
///
/// On a terminal the bytes of all fetches are in the table; anywhere else a fetch that has to
/// download has a line when it begins, with the size of all it wants, and one when it ends, with
/// what was downloaded of it. What the cache has is not worth a word.
pub struct DownloadProgress {
    live: Arc<Live>,
    label: String,
    state: Mutex<State>,
}

/// Of one fetch.
#[derive(Clone, Copy, Default)]
struct State {
    files: usize,
    wanted: u64,
    arrived: usize,
    downloaded: u64,
    /// What is there, as it was told to the table.
    counted: i64,
    /// When the first download began.
    since: Option<Instant>,
}

impl DownloadProgress {
    /// That of the fetch called `label`, such as a kernel's release.
    pub fn new(live: Arc<Live>, label: impl Into<String>) -> Self {
        Self {
            live,
            label: label.into(),
            state: Mutex::default(),
        }
    }

    /// So many files, and so many bytes, are wanted, and more of them when it is called again.
    pub fn expect(&self, files: usize, bytes: u64) {
        {
            let mut state = lock(&self.state);
            state.files += files;
            state.wanted += bytes;
        }
        self.live.downloads(0, signed(bytes));
    }

    /// So many bytes are there now; negative when an attempt was thrown away.
    pub fn advance(&self, bytes: i64) {
        lock(&self.state).counted += bytes;
        self.live.downloads(bytes, 0);
    }

    /// A file is not in the cache, and is downloaded now.
    pub fn downloading(&self) {
        let wanted = {
            let mut state = lock(&self.state);
            if state.since.is_some() {
                return;
            }
            state.since = Some(Instant::now());
            text::bytes(state.wanted)
        };
        self.live.line(&format!("fetch {}: {wanted}", self.label));
    }

    /// A file is whole: of so many bytes when it was downloaded, of none from the cache.
    pub fn arrived(&self, downloaded: u64) {
        let state = {
            let mut state = lock(&self.state);
            state.arrived += 1;
            state.downloaded += downloaded;
            *state
        };
        let ended = (state.arrived == state.files).then_some(state.since);
        let Some(since) = ended.flatten() else { return };
        let took = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (bytes, took) = (text::bytes(state.downloaded), text::duration(took));
        self.live
            .line(&format!("fetched {}: {bytes} in {took}", self.label));
    }

    /// An attempt failed for a reason that may pass.
    pub fn retrying(&self, what: &str, reason: &str) {
        let (what, reason) = (text::one_line(what), text::one_line(reason));
        self.live
            .message(&format!("fetch {}: {what}: {reason}; again", self.label));
    }
}

/// What did not come is not waited for any more.
impl Drop for DownloadProgress {
    fn drop(&mut self) {
        let state = *lock(&self.state);
        let left = signed(state.wanted).saturating_sub(state.counted);
        self.live.downloads(0, left.saturating_neg());
    }
}

impl Live {
    /// Adds to what has come in of all fetches, and to what is wanted.
    pub(super) fn downloads(&self, done: i64, wanted: i64) {
        lock(&self.shared.board).downloads(done, wanted);
    }

    /// A line for those who see no table.
    fn line(&self, line: &str) {
        if let Output::Lines(_) = self.shared.output {
            self.message(line);
        }
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

impl std::fmt::Debug for DownloadProgress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DownloadProgress")
            .field("label", &self.label)
            .finish_non_exhaustive()
    }
}
