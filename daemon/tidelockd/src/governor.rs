// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who says what is in force: policy, generation, mode.
//!
//! A change is one after the other, on the disk first, then told to those who answer and to the
//! kernel. Whatever goes wrong on the way leaves what was in force before, and is told until it
//! is mended.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use chrono::DateTime;
use tidelock_api::{
    HistoryReport, Mode, ModeSource, PolicyReport, Revision, TestCase, TestOutcome, TestReport,
};
use tidelock_policy::{Bundle, EMBEDDED, Policy, PolicyError, Store};
use tidelock_wire::Settings;
use tokio::sync::watch;

use crate::{
    config::Config,
    decide::Ruling,
    generation::Generations,
    mode::Modes,
    state::{self, StateError},
};

/// What was asked for is not done; what was in force is in force still.
#[derive(Debug, thiserror::Error)]
pub enum GovernError {
    /// The policy cannot be used.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// Something cannot be kept.
    #[error(transparent)]
    State(#[from] StateError),
}

/// Where the policy in force came from.
const BUILT_IN: &str = "built in";
const ACTIVATED: &str = "activated";
const NOWHERE: &str = "nowhere: everything is refused";

/// Says what is in force.
#[derive(Debug)]
pub struct Governor {
    inner: Mutex<Inner>,
    rulings: watch::Sender<Arc<Ruling>>,
    settings: watch::Sender<Settings>,
    mode: watch::Sender<(Mode, ModeSource)>,
    trouble: watch::Sender<Option<String>>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    generations: Generations,
    modes: Modes,
    /// Holds the digest of what the configured folder or server had when it was taken last.
    taken: PathBuf,
}

impl Governor {
    /// Takes up what was in force, or what is configured. `default_file` is the mode by the
    /// packaged default file.
    ///
    /// # Errors
    /// When nothing can be kept: then nothing can be said safely. A policy that cannot be used
    /// is not an error here, but is told.
    pub fn start(config: &Config, default_file: Option<Mode>) -> Result<Self, GovernError> {
        state::make_dir(&config.state_dir)?;
        let inner = Inner {
            store: Store::open(config.state_dir.join("policy"))?,
            generations: Generations::new(config.state_dir.join("generation.json")),
            modes: Modes::load(config.runtime_dir.join("mode"), default_file, config.mode),
            taken: config.state_dir.join("configured-policy"),
        };
        let (policy, trouble) = inner.first(config);
        let ruling = inner.ruling(policy)?;
        let mode = inner.modes.now();
        let settings = Settings {
            mode: on_wire(mode.0),
            generation: ruling.generation,
            deadline_ms: config.deadline_ms,
            exempt: config.exempt,
        };
        tell(&ruling);
        if let Some(trouble) = &trouble {
            tracing::error!("{trouble}");
        }
        Ok(Self {
            inner: Mutex::new(inner),
            rulings: watch::Sender::new(Arc::new(ruling)),
            settings: watch::Sender::new(settings),
            mode: watch::Sender::new(mode),
            trouble: watch::Sender::new(trouble),
        })
    }

    /// What answers are given by.
    pub fn rulings(&self) -> watch::Receiver<Arc<Ruling>> {
        self.rulings.subscribe()
    }

    /// What answers are given by, now.
    pub fn ruling(&self) -> Arc<Ruling> {
        Arc::clone(&self.rulings.borrow())
    }

    /// What the kernel is to be told.
    pub fn settings(&self) -> watch::Receiver<Settings> {
        self.settings.subscribe()
    }

    /// The mode, and who says so.
    pub fn mode(&self) -> (Mode, ModeSource) {
        *self.mode.borrow()
    }

    /// Sets the mode; none: as configured again. Blocks.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub fn set_mode(&self, mode: Option<Mode>) -> Result<(), GovernError> {
        let mut inner = self.inner();
        inner.modes.set(mode)?;
        self.publish_mode(&inner);
        Ok(())
    }

    /// Puts the policy of a folder in force. Blocks.
    ///
    /// # Errors
    /// When it cannot be used, or its tests fail.
    pub fn activate(&self, folder: &Path) -> Result<(), GovernError> {
        let inner = self.inner();
        let policy = inner.store.activate(&bundle(folder)?)?;
        self.publish(&inner, Some((policy, ACTIVATED.into())))
    }

    /// Goes back to the policy before. Blocks.
    ///
    /// # Errors
    /// When there is none, or it cannot be used any more.
    pub fn rollback(&self) -> Result<(), GovernError> {
        let inner = self.inner();
        let policy = inner.store.rollback()?;
        self.publish(&inner, Some((policy, ACTIVATED.into())))
    }

    /// The configuration was read again. A policy that cannot be used is told, and the last one
    /// stays. Blocks.
    ///
    /// # Errors
    /// When the policy cannot be used; all else has been taken over.
    pub fn reload(&self, config: &Config) -> Result<(), GovernError> {
        let mut inner = self.inner();
        inner.modes.configured(config.mode);
        self.settings.send_if_modified(|settings| {
            let before = *settings;
            settings.exempt = config.exempt;
            settings.deadline_ms = config.deadline_ms;
            *settings != before
        });
        self.publish_mode(&inner);
        let Some(folder) = &config.bundle else {
            return Ok(());
        };
        let source = folder.display().to_string();
        let taken = bundle(folder)
            .map_err(GovernError::from)
            .and_then(|bundle| self.take(&inner, &bundle, &source));
        if let Err(error) = &taken {
            let told = trouble(&source, &error.to_string());
            self.trouble.send_replace(Some(told));
        }
        taken
    }

    /// Puts a bundle that came from `source` in force, unless it was taken from there before:
    /// what was activated or rolled back since stays. Blocks.
    ///
    /// # Errors
    /// When it cannot be used, or its tests fail.
    pub fn offer(&self, bundle: &Bundle, source: &str) -> Result<(), GovernError> {
        self.take(&self.inner(), bundle, source)
    }

    /// The place that policies come from has nothing new, and nothing is wrong with it.
    pub fn settled(&self) {
        self.trouble.send_replace(None);
    }

    /// No policy can be had from `source`: this is told until one can.
    pub fn complain(&self, source: &str, error: &str) {
        let told = trouble(source, error);
        tracing::error!("{told}");
        self.trouble.send_replace(Some(told));
    }

    /// Tests the policy of a folder. Blocks.
    ///
    /// # Errors
    /// When it is no policy.
    pub fn test(&self, folder: &Path) -> Result<TestReport, GovernError> {
        Ok(report(tidelock_policy::test(&bundle(folder)?)?))
    }

    /// The policies that were activated. Blocks.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn history(&self) -> Result<HistoryReport, GovernError> {
        let activations = self.inner().store.history()?;
        let current = self.ruling();
        let revisions = activations
            .into_iter()
            .enumerate()
            .map(|(at, one)| Revision {
                current: at == 0 && one.digest == current.digest,
                activated: i64::try_from(one.activated)
                    .ok()
                    .and_then(|seconds| DateTime::from_timestamp(seconds, 0))
                    .map_or_else(String::new, |time| time.to_rfc3339()),
                revision: one.revision,
                digest: one.digest,
            });
        Ok(HistoryReport {
            revisions: revisions.collect(),
        })
    }

    /// The policy in force, for people.
    pub fn policy_report(&self) -> PolicyReport {
        let ruling = self.ruling();
        PolicyReport {
            revision: ruling.revision.clone(),
            digest: ruling.digest.clone(),
            source: ruling.source.clone(),
            generation: ruling.generation,
            trouble: self.trouble.borrow().clone(),
        }
    }

    fn take(&self, inner: &Inner, bundle: &Bundle, source: &str) -> Result<(), GovernError> {
        match inner.take(bundle)? {
            Taken::Known => self.trouble.send_replace(None),
            Taken::New(policy) => return self.publish(inner, Some((policy, source.into()))),
        };
        Ok(())
    }

    fn publish(
        &self,
        inner: &Inner,
        policy: Option<(Arc<Policy>, String)>,
    ) -> Result<(), GovernError> {
        let ruling = inner.ruling(policy)?;
        tell(&ruling);
        let generation = ruling.generation;
        self.rulings.send_replace(Arc::new(ruling));
        self.trouble.send_replace(None);
        self.settings.send_if_modified(|settings| {
            std::mem::replace(&mut settings.generation, generation) != generation
        });
        Ok(())
    }

    fn publish_mode(&self, inner: &Inner) {
        let (mode, source) = inner.modes.now();
        self.mode.send_replace((mode, source));
        let mode = on_wire(mode);
        self.settings
            .send_if_modified(|settings| std::mem::replace(&mut settings.mode, mode) != mode);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Everything in it is on the disk, and whole there.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The policy of the configured folder or server.
enum Taken {
    /// Taken before: what was activated or rolled back since stays.
    Known,
    /// Not seen before.
    New(Arc<Policy>),
}

impl Inner {
    /// The policy to begin with, and what is wrong.
    fn first(&self, config: &Config) -> (Option<(Arc<Policy>, String)>, Option<String>) {
        let mut wrong = None;
        if let Some(folder) = &config.bundle {
            let source = folder.display().to_string();
            let taken = bundle(folder).map_err(GovernError::from);
            match taken.and_then(|bundle| self.take(&bundle)) {
                Ok(Taken::New(policy)) => return (Some((policy, source)), None),
                Ok(Taken::Known) => {}
                Err(error) => wrong = Some(trouble(&source, &error.to_string())),
            }
        }
        match self.store.current() {
            Ok(Some(policy)) => (Some((policy, ACTIVATED.into())), wrong),
            // Who configured another one does not get the built-in one in its place.
            Ok(None) if wrong.is_some() => (None, wrong),
            Ok(None) => match (&config.server, built_in()) {
                (Some(server), _) => {
                    let told = format!("no policy has come from {} yet", server.shown);
                    (None, Some(told))
                }
                (None, Ok(policy)) => (Some((policy, BUILT_IN.into())), None),
                (None, Err(error)) => (None, Some(format!("the built-in policy: {error}"))),
            },
            Err(error) => (None, Some(error.to_string())),
        }
    }

    fn take(&self, bundle: &Bundle) -> Result<Taken, GovernError> {
        let digest = hex::encode(bundle.digest());
        let taken = state::read(&self.taken)?;
        if taken.as_deref().map(str::trim_end) == Some(&digest) && self.store.current()?.is_some() {
            return Ok(Taken::Known);
        }
        let policy = self.store.activate(bundle)?;
        state::write(&self.taken, &format!("{digest}\n"))?;
        Ok(Taken::New(policy))
    }

    fn ruling(&self, policy: Option<(Arc<Policy>, String)>) -> Result<Ruling, GovernError> {
        let (policy, source) = match policy {
            Some((policy, source)) => (Some(policy), source),
            None => (None, NOWHERE.to_owned()),
        };
        let digest = policy
            .as_ref()
            .map_or_else(|| "none".to_owned(), |policy| hex::encode(policy.digest()));
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Ok(Ruling {
            generation: self
                .generations
                .of(&digest, now.unwrap_or(Duration::ZERO))?,
            revision: policy
                .as_ref()
                .map_or_else(|| "none".to_owned(), |policy| policy.revision().to_owned()),
            digest,
            source,
            policy,
        })
    }
}

fn bundle(folder: &Path) -> Result<Bundle, PolicyError> {
    Ok(Bundle::from_dir(folder)?)
}

fn built_in() -> Result<Arc<Policy>, PolicyError> {
    Ok(Arc::new(Policy::load(&EMBEDDED.bundle()?)?))
}

fn trouble(source: &str, error: &str) -> String {
    format!("the policy in {source} is not taken, and the last one stays: {error}")
}

fn tell(ruling: &Ruling) {
    tracing::info!(
        revision = ruling.revision,
        digest = ruling.digest,
        generation = ruling.generation,
        source = ruling.source,
        "the policy in force"
    );
}

/// The mode, as the kernel is told.
pub const fn on_wire(mode: Mode) -> tidelock_wire::Mode {
    match mode {
        Mode::Off => tidelock_wire::Mode::Off,
        Mode::Permissive => tidelock_wire::Mode::Permissive,
        Mode::Enforce => tidelock_wire::Mode::Enforce,
    }
}

/// A report of tests, as the interface words it.
pub fn report(report: tidelock_policy::TestReport) -> TestReport {
    let test = |case: tidelock_policy::TestCase| {
        let (outcome, reason) = match case.outcome {
            tidelock_policy::TestOutcome::Pass => (TestOutcome::Pass, None),
            tidelock_policy::TestOutcome::Fail => (TestOutcome::Fail, None),
            tidelock_policy::TestOutcome::Error(reason) => (TestOutcome::Error, Some(reason)),
            tidelock_policy::TestOutcome::Skipped => (TestOutcome::Skipped, None),
        };
        TestCase {
            name: case.name,
            file: case.location.file,
            line: case.location.line,
            outcome,
            reason,
        }
    };
    TestReport {
        tests: report.cases.into_iter().map(test).collect(),
    }
}
