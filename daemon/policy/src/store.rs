// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The policies that were activated, on disk: what the daemon starts with, and goes back to.
//!
//! The folder holds `bundles/DIGEST.tar.gz` and `state.json`, which alone says which one is
//! current. It is replaced in one step, after the bundle it names is on the disk: at any moment
//! a crash leaves the old state or the new one.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::{bundle::Bundle, engine::Limits, error::PolicyError, policy::Policy, testing};

/// How many activations are remembered, the current one counted; older bundles are removed.
const REMEMBERED: usize = 16;
/// Policies are for the daemon alone.
const MODE: u32 = 0o600;
/// The largest state that is read, in bytes.
const MAX_STATE: u64 = 1 << 20;

/// One policy that was activated.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Activation {
    /// The SHA-256 of the bundle's content, in hexadecimal.
    pub digest: String,
    /// What its author calls it.
    pub revision: String,
    /// When it was activated, in seconds since 1970.
    pub activated: u64,
}

/// `state.json`: the activations, oldest first. The last is current.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    version: Version,
    activations: Vec<Activation>,
}

/// The layout of the state.
#[derive(Default, Serialize, Deserialize)]
enum Version {
    #[default]
    #[serde(rename = "1")]
    One,
}

/// The folder cannot be used as it is.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file or folder cannot be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The state is not one of ours.
    #[error("{}: {reason}; activate a policy anew after removing the file", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A bundle is not what it was.
    #[error(
        "{} has changed since it was activated: go back to the one before (rollback), or \
         activate a policy anew", path.display()
    )]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// There is nothing to go back to.
    #[error("there is no policy before the current one")]
    NoPrevious,
}

/// The activated policies, in a folder. Other processes may use the same folder.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    limits: Limits,
}

impl Store {
    /// Opens a folder; makes it if it is missing.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, PolicyError> {
        let store = Self {
            dir: dir.into(),
            limits: Limits::default(),
        };
        let bundles = store.dir.join("bundles");
        fs::create_dir_all(&bundles).map_err(failed("create the folder", &bundles))?;
        Ok(store)
    }

    /// Makes a bundle the current policy, if it loads and its tests pass. Otherwise everything
    /// stays as it is. The one that is current already is not activated again.
    pub fn activate(&self, bundle: &Bundle) -> Result<Arc<Policy>, PolicyError> {
        let policy = Policy::load_with(bundle, self.limits)?;
        let report = testing::run(&policy);
        if !report.passed() {
            return Err(PolicyError::Tests(Box::new(report)));
        }
        let _lock = self.lock()?;
        let mut state = self.state()?;
        let digest = hex::encode(policy.digest());
        let path = self.bundle_path(&digest);
        // Written even if it is there: what is there may be damaged.
        tidelock_durable::write(&path, &bundle.to_tar_gz()?, MODE)
            .map_err(failed("write", &path))?;
        if state
            .activations
            .last()
            .is_none_or(|last| last.digest != digest)
        {
            state.activations.push(Activation {
                digest,
                revision: policy.revision().into(),
                activated: now(),
            });
            self.save(state)?;
        }
        Ok(Arc::new(policy))
    }

    /// The current policy; none where none was ever activated.
    pub fn current(&self) -> Result<Option<Arc<Policy>>, PolicyError> {
        match self.state()?.activations.last() {
            Some(last) => self.load(last).map(Some),
            None => Ok(None),
        }
    }

    /// Goes back to the policy before the current one, and forgets the current one. It must
    /// still load; its tests passed when it was activated.
    pub fn rollback(&self) -> Result<Arc<Policy>, PolicyError> {
        let _lock = self.lock()?;
        let mut state = self.state()?;
        state.activations.pop();
        let previous = state.activations.last().ok_or(StoreError::NoPrevious)?;
        let policy = self.load(previous)?;
        self.save(state)?;
        Ok(policy)
    }

    /// What was activated, the current one first.
    pub fn history(&self) -> Result<Vec<Activation>, PolicyError> {
        let mut activations = self.state()?.activations;
        activations.reverse();
        Ok(activations)
    }

    fn load(&self, activation: &Activation) -> Result<Arc<Policy>, PolicyError> {
        let path = self.bundle_path(&activation.digest);
        let bytes = fs::read(&path).map_err(failed("read", &path))?;
        let changed = || StoreError::Changed { path: path.clone() };
        let bundle = Bundle::from_tar_gz(&bytes).map_err(|_| changed())?;
        if hex::encode(bundle.digest()) != activation.digest {
            return Err(changed().into());
        }
        Ok(Arc::new(Policy::load_with(&bundle, self.limits)?))
    }

    fn bundle_path(&self, digest: &str) -> PathBuf {
        self.dir.join("bundles").join(format!("{digest}.tar.gz"))
    }

    fn state_path(&self) -> PathBuf {
        self.dir.join("state.json")
    }

    fn state(&self) -> Result<State, PolicyError> {
        let path = self.state_path();
        let text = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::default()),
            opened => opened.and_then(|file| io::read_to_string(io::Read::take(file, MAX_STATE))),
        };
        let text = text.map_err(failed("read", &path))?;
        let bad = |reason: String| StoreError::State {
            path: path.clone(),
            reason,
        };
        let state: State = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
        // The digests become names of files.
        let digest = |text: &str| text.len() == 64 && hex::decode(text).is_ok();
        if state.activations.iter().all(|one| digest(&one.digest)) {
            Ok(state)
        } else {
            Err(bad("a digest is none".into()).into())
        }
    }

    /// Replaces the state, then removes the bundles that it does not name any more.
    fn save(&self, mut state: State) -> Result<(), PolicyError> {
        let superfluous = state.activations.len().saturating_sub(REMEMBERED);
        state.activations.drain(..superfluous);
        let path = self.state_path();
        let text = serde_json::to_vec_pretty(&state).map_err(|error| StoreError::State {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        tidelock_durable::write(&path, &text, MODE).map_err(failed("write", &path))?;
        self.prune(&state)
    }

    fn prune(&self, state: &State) -> Result<(), PolicyError> {
        let bundles = self.dir.join("bundles");
        for entry in fs::read_dir(&bundles).map_err(failed("read", &bundles))? {
            let path = entry.map_err(failed("read", &bundles))?.path();
            let kept = |one: &Activation| path == self.bundle_path(&one.digest);
            if !state.activations.iter().any(kept) {
                fs::remove_file(&path).map_err(failed("remove", &path))?;
            }
        }
        Ok(())
    }

    /// Keeps others from changing the state, until it is dropped.
    fn lock(&self) -> Result<File, PolicyError> {
        let path = self.dir.join("lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(failed("open", &path))?;
        flock(&file, FlockOperation::LockExclusive)
            .map_err(|error| failed("lock", &path)(error.into()))?;
        Ok(file)
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::File {
        action,
        path,
        source,
    }
}
