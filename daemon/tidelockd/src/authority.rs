// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who signs the SVIDs of this node's workloads, and what must hold before anything is signed.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use tidelock_authority::{
    AuthorityError, Embedded, IssueError, Issuer, Lifetimes, Request, RequestError, Svid, Trust,
};
use tidelock_policy::{Decision, DecisionMode, SpiffeId};
use tidelock_tls::TrustDomain;
use tokio::{
    sync::watch,
    time::{sleep, timeout_at},
};

use crate::{
    config,
    decide::{JudgeError, name},
};

/// How often the intermediate is looked at.
const LOOK: Duration = Duration::from_mins(10);
/// How often what failed is tried again: the clock may have been wrong, or the disk.
const AGAIN: Duration = Duration::from_secs(10);

/// The folder of the embedded authority, below the daemon's.
const FOLDER: &str = "authority";

/// Who signs.
pub struct Authority {
    /// None: nobody signs.
    wanted: Option<Wanted>,
    state: Mutex<State>,
    /// What the kernel is to trust of it; none before it is open.
    bundle: watch::Sender<Option<Arc<Trust>>>,
}

/// What is configured.
#[derive(Clone)]
struct Wanted {
    dir: PathBuf,
    domain: TrustDomain,
    lifetimes: Lifetimes,
}

#[derive(Default)]
struct State {
    signer: Option<Signer>,
    trouble: Option<String>,
}

/// The node itself.
#[derive(Clone)]
struct Signer {
    embedded: Arc<Embedded>,
    trust: Arc<Trust>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

/// There is no SVID.
#[derive(Debug, thiserror::Error)]
pub enum CertifyError {
    /// There is no decision on the process.
    #[error("{detail}")]
    Undecided {
        /// As in a verdict.
        reason: &'static str,
        /// What went wrong.
        detail: String,
    },
    /// The decision gives the process no identity.
    #[error("policy decides {}, and an SVID is for mtls", name(*.0))]
    NoIdentity(DecisionMode),
    /// No trust domain is configured.
    #[error("no trust domain is configured: set svid.trust-domain")]
    Nobody,
    /// The authority cannot be used.
    #[error("the authority cannot be used: {0}")]
    Broken(String),
    /// What the kernel asks for is not what was decided.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// It could not be signed.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// Another policy is in force by now.
    #[error("another policy came into force meanwhile")]
    Superseded,
    /// There was no time.
    #[error("signing took longer than the kernel waits")]
    Late,
}

impl CertifyError {
    /// The reason that the kernel is told: one of a few.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Undecided { reason, .. } => reason,
            Self::NoIdentity(_) => "svid: policy gives the process no identity",
            Self::Nobody => "svid: no trust domain is configured",
            Self::Broken(_) => "svid: the authority cannot be used",
            Self::Request(_) => "svid: the request is not what was decided",
            Self::Issue(_) => "svid: it could not be signed",
            Self::Superseded => "svid: another policy came into force meanwhile",
            Self::Late => "svid: signing took too long",
        }
    }
}

impl Authority {
    /// Opens what is configured. What cannot be opened is told, signs nothing, and is tried again by
    /// [`Self::keep`]. May wait for the disk.
    pub fn open(config: &config::Svid, state_dir: &Path, now: SystemTime) -> Self {
        let wanted = config.trust_domain.clone().map(|domain| Wanted {
            dir: state_dir.join(FOLDER),
            domain,
            lifetimes: Lifetimes {
                svid: config.lifetime,
                ..Lifetimes::default()
            },
        });
        let authority = Self {
            wanted,
            state: Mutex::default(),
            bundle: watch::Sender::new(None),
        };
        if let Some(wanted) = &authority.wanted {
            authority.opened(wanted.open(now));
        }
        authority
    }

    /// The trust domain that is signed for.
    pub fn trust_domain(&self) -> Option<&str> {
        self.wanted.as_ref().map(|wanted| wanted.domain.as_str())
    }

    /// Who vouches for the trust domain, as the kernel is to know it, and whatever comes of that.
    pub fn bundle(&self) -> watch::Receiver<Option<Arc<Trust>>> {
        self.bundle.subscribe()
    }

    /// What is wrong with it.
    pub fn trouble(&self) -> Option<String> {
        self.state().trouble.clone()
    }

    /// Signs what a process asks for, when that is what was decided for it.
    ///
    /// # Errors
    /// When it must not have it, or nobody can sign.
    pub async fn certify(
        &self,
        decision: &Result<Decision, JudgeError>,
        csr: &[u8],
        now: SystemTime,
        deadline: Instant,
    ) -> Result<Svid, CertifyError> {
        let id = decided(decision)?;
        if self.wanted.is_none() {
            return Err(CertifyError::Nobody);
        }
        let signer = self.signer()?;
        let request = Request::check(csr, id)?;
        let issued = signer.embedded.issue(&request, &signer.trust, now);
        let issued = timeout_at(deadline.into(), issued).await;
        Ok(issued.map_err(|_| CertifyError::Late)??)
    }

    /// Replaces the intermediate before it is old, and opens what could not be opened before, for
    /// as long as the daemon runs.
    pub async fn keep(self: Arc<Self>) {
        let Some(wanted) = self.wanted.clone() else {
            return;
        };
        loop {
            let good = match self.signer() {
                Ok(signer) => self.renew(signer).await,
                Err(_) => self.open_again(wanted.clone()).await,
            };
            sleep(if good { LOOK } else { AGAIN }).await;
        }
    }

    /// Whether nothing is wrong.
    async fn renew(&self, signer: Signer) -> bool {
        let renewing = move || signer.embedded.renew(SystemTime::now());
        let trouble = match tokio::task::spawn_blocking(renewing).await {
            Ok(Ok(new)) => {
                if new {
                    tracing::info!("SVIDs are signed by a new intermediate");
                }
                None
            }
            Ok(Err(error)) => Some(error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        let mut state = self.state();
        if let Some(trouble) = trouble.as_ref().filter(|_| state.trouble != trouble) {
            tracing::error!("SVIDs cannot be signed, or soon cannot: {trouble}; trying again");
        }
        state.trouble = trouble;
        state.trouble.is_none()
    }

    /// Whether it is open now.
    async fn open_again(&self, wanted: Wanted) -> bool {
        let opening = move || wanted.open(SystemTime::now());
        if let Ok(opened) = tokio::task::spawn_blocking(opening).await {
            self.opened(opened);
        }
        self.signer().is_ok()
    }

    fn opened(&self, opened: Result<Signer, AuthorityError>) {
        let mut state = self.state();
        match opened {
            Ok(signer) => {
                let domain = signer.embedded.trust_domain().as_str();
                tracing::info!(trust_domain = domain, "SVIDs are signed");
                self.bundle.send_replace(Some(Arc::clone(&signer.trust)));
                *state = State {
                    signer: Some(signer),
                    trouble: None,
                };
            }
            Err(error) => {
                let trouble = error.to_string();
                if state.trouble.as_ref() != Some(&trouble) {
                    tracing::error!("no SVIDs are signed: {trouble}; trying again");
                }
                state.trouble = Some(trouble);
            }
        }
    }

    fn signer(&self) -> Result<Signer, CertifyError> {
        let state = self.state();
        let trouble = || state.trouble.clone().unwrap_or_default();
        (state.signer.clone()).ok_or_else(|| CertifyError::Broken(trouble()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // It is whole after every statement that changes it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wanted {
    fn open(&self, now: SystemTime) -> Result<Signer, AuthorityError> {
        let (domain, lifetimes) = (self.domain.clone(), self.lifetimes);
        let embedded = Embedded::open(&self.dir, domain, lifetimes, now)?;
        Ok(Signer {
            trust: Arc::new(embedded.trust()),
            embedded: Arc::new(embedded),
        })
    }
}

/// Who the process is, by the decision.
fn decided(decision: &Result<Decision, JudgeError>) -> Result<&SpiffeId, CertifyError> {
    match decision {
        Ok(Decision {
            mode: DecisionMode::Mtls,
            spiffe_id: Some(id),
            ..
        }) => Ok(id),
        Ok(decision) => Err(CertifyError::NoIdentity(decision.mode)),
        Err(error) => Err(CertifyError::Undecided {
            reason: error.reason(),
            detail: error.to_string(),
        }),
    }
}
