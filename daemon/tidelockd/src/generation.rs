// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The number that the kernel knows the policy by.
//!
//! The kernel keeps verdicts for as long as the number stays. So another policy must never get a
//! number that was in use before, not after a crash and not when the state was lost, and the same
//! policy keeps its number over a restart of the daemon. The number is on the disk before it is
//! used.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::state::{self, StateError};

/// Where the number is kept.
#[derive(Clone, Debug)]
pub struct Generations {
    path: PathBuf,
}

/// What is kept.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    generation: u64,
    digest: String,
}

impl Generations {
    /// Kept in this file.
    pub const fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The number for the policy with this digest; `now` is the time since 1970.
    ///
    /// # Errors
    /// When it cannot be kept: then it must not be used.
    pub fn of(&self, digest: &str, now: Duration) -> Result<u64, StateError> {
        let kept = state::read(&self.path)?.and_then(|text| {
            serde_json::from_str::<Kept>(&text)
                .inspect_err(|error| {
                    tracing::error!(
                        file = %self.path.display(),
                        "not understood: {error}; numbering policies anew, from the clock"
                    );
                })
                .ok()
        });
        let generation = match kept {
            Some(kept) if kept.digest == digest => return Ok(kept.generation),
            Some(kept) => kept.generation.saturating_add(1),
            None => fresh(now),
        };
        let kept = Kept {
            generation,
            digest: digest.to_owned(),
        };
        state::write(&self.path, &format!("{}\n", serde_json::json!(kept)))?;
        Ok(generation)
    }
}

/// Larger than any number that was reached by counting from an earlier time: nobody activates a
/// million policies a second.
fn fresh(now: Duration) -> u64 {
    now.as_secs().max(1) << 20
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1000);

    #[test]
    fn a_number_is_never_used_for_two_policies() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("generation.json");
        let restart = || Generations::new(path.clone());
        let first = restart().of("a", NOW).unwrap();
        assert_eq!(restart().of("a", NOW * 2).unwrap(), first);
        assert_eq!(restart().of("b", NOW).unwrap(), first + 1);
        // Back again is another one still: verdicts of the first may be kept somewhere.
        assert_eq!(restart().of("a", NOW).unwrap(), first + 2);
        // What is lost or damaged is not counted on from.
        for text in ["", "{}", "{\"generation\":1,\"digest\":\"a\",\"x\":1}"] {
            state::write(&path, text).unwrap();
            let found = restart().of("a", NOW + Duration::from_secs(1)).unwrap();
            assert!(found > first + (1 << 19), "{text}: {found}");
        }
    }

    #[test]
    fn what_cannot_be_kept_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        // A folder in the way of the file.
        let error = Generations::new(dir.path().to_owned()).of("a", NOW);
        assert!(error.is_err());
    }
}
