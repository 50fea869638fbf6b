// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who signs the SVIDs of this node's workloads, and what must hold before anything is signed.

use std::{
    fmt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use tidelock_authority::{
    AuthorityError, Embedded, IssueError, Issuer, Lifetimes, Request, RequestError, Svid, Trust,
};
use tidelock_policy::{Decision, DecisionMode, SpiffeId};
use tokio::time::{interval, timeout_at};

use crate::{
    config,
    decide::{JudgeError, name},
};

/// How often the intermediate is looked at.
const LOOK: Duration = Duration::from_mins(10);

/// The folder of the embedded authority, below the daemon's.
const FOLDER: &str = "authority";

/// Who signs.
pub struct Authority {
    signer: Signer,
    trouble: Mutex<Option<String>>,
}

enum Signer {
    /// Nobody: no trust domain is configured.
    Nobody,
    /// Nobody, for it cannot be used; why.
    Broken(AuthorityError),
    /// The node itself.
    Embedded(Arc<Embedded>, Trust),
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
            Self::Late => "svid: signing took too long",
        }
    }
}

impl Authority {
    /// Opens what is configured. What cannot be opened is told, and signs nothing. May wait for the
    /// disk.
    pub fn open(config: &config::Svid, state_dir: &Path, now: SystemTime) -> Self {
        let signer = match &config.trust_domain {
            None => Signer::Nobody,
            Some(domain) => {
                let lifetimes = Lifetimes {
                    svid: config.lifetime,
                    ..Lifetimes::default()
                };
                match Embedded::open(&state_dir.join(FOLDER), domain.clone(), lifetimes, now) {
                    Ok(embedded) => {
                        let trust = embedded.trust();
                        Signer::Embedded(Arc::new(embedded), trust)
                    }
                    Err(error) => {
                        tracing::error!("no SVIDs are signed: {error}");
                        Signer::Broken(error)
                    }
                }
            }
        };
        let trouble = match &signer {
            Signer::Broken(error) => Some(error.to_string()),
            Signer::Nobody | Signer::Embedded(..) => None,
        };
        Self {
            signer,
            trouble: Mutex::new(trouble),
        }
    }

    /// The trust domain that is signed for.
    pub fn trust_domain(&self) -> Option<&str> {
        match &self.signer {
            Signer::Embedded(embedded, _) => Some(embedded.trust_domain().as_str()),
            Signer::Nobody | Signer::Broken(_) => None,
        }
    }

    /// What is wrong with it.
    pub fn trouble(&self) -> Option<String> {
        let trouble = self.trouble.lock();
        trouble.unwrap_or_else(PoisonError::into_inner).clone()
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
        let (embedded, trust) = match &self.signer {
            Signer::Nobody => return Err(CertifyError::Nobody),
            Signer::Broken(error) => return Err(CertifyError::Broken(error.to_string())),
            Signer::Embedded(embedded, trust) => (embedded, trust),
        };
        let request = Request::check(csr, id)?;
        let issued = embedded.issue(&request, trust, now);
        let issued = timeout_at(deadline.into(), issued).await;
        Ok(issued.map_err(|_| CertifyError::Late)??)
    }

    /// Replaces the intermediate before it is old, for as long as the daemon runs.
    pub async fn keep(self: Arc<Self>) {
        let mut ticks = interval(LOOK);
        loop {
            ticks.tick().await;
            let Signer::Embedded(embedded, _) = &self.signer else {
                return;
            };
            let embedded = Arc::clone(embedded);
            let renewed =
                tokio::task::spawn_blocking(move || embedded.renew(SystemTime::now())).await;
            let trouble = match renewed {
                Ok(Ok(new)) => {
                    if new {
                        tracing::info!("SVIDs are signed by a new intermediate");
                    }
                    None
                }
                Ok(Err(error)) => Some(error.to_string()),
                Err(error) => Some(error.to_string()),
            };
            if let Some(trouble) = &trouble {
                tracing::error!("there is no new intermediate, and the old one ages: {trouble}");
            }
            let mut place = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
            *place = trouble;
        }
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
