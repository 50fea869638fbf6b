// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A bundle endpoint, and how it is asked (SPIFFE Federation, 5).

use std::time::Duration;

use tidelock_https::{
    Asking, HttpsError, Redirects,
    reqwest::{Client, StatusCode, Url, header::ACCEPT},
};
use tidelock_tls::{SpiffeId, TrustDomain};

use crate::{Bundle, BundleError, MAX_BUNDLE, peer};

/// How often a bundle is asked for when it does not say (SPIFFE Trust Domain and Bundle, 6.1).
const REFRESH: Duration = Duration::from_mins(5);
/// No hint makes it more often than this, nor less often than that.
const REFRESH_LIMITS: [Duration; 2] = [Duration::from_secs(10), Duration::from_hours(24)];

/// When to ask for this bundle again. A hint is only one, within limits of ours.
pub fn refresh_after(bundle: &Bundle) -> Duration {
    let [least, most] = REFRESH_LIMITS;
    bundle.refresh_hint.unwrap_or(REFRESH).clamp(least, most)
}

/// How the server shows that it is the right one.
#[derive(Clone, Debug)]
pub enum Profile {
    /// `https_web`: by a certificate for the name of its host. The authorities that may vouch for
    /// it are in PEM; none: those of the system.
    Web(Option<Vec<u8>>),
    /// `https_spiffe`: by the X.509-SVID of this workload, which need not be of the trust domain
    /// that is asked for.
    Spiffe(SpiffeId),
}

/// A relationship: whose bundle, from where.
#[derive(Clone, Debug)]
pub struct EndpointConfig {
    /// Whose. A bundle does not say it.
    pub trust_domain: TrustDomain,
    /// The `https` address.
    pub url: String,
    /// How the server is told from others.
    pub profile: Profile,
    /// How long an answer may take.
    pub timeout: Duration,
}

/// A bundle could not be fetched. The last one stays.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The configuration makes no sense, or the server cannot be asked.
    #[error("the bundle endpoint of {domain}: {source}")]
    Https {
        /// Whose bundle it is.
        domain: String,
        /// Why not.
        source: HttpsError,
    },
    /// There is no bundle of the domain that the server's own identity is of.
    #[error(
        "the bundle endpoint of {domain} is {id}, and there is no bundle of its trust domain yet: \
         configure one to begin with"
    )]
    Unknown {
        /// Whose bundle it is.
        domain: String,
        /// Who serves it.
        id: SpiffeId,
    },
    /// It answers with something else.
    #[error("the bundle endpoint of {domain} answers with status {status}")]
    Status {
        /// Whose bundle it is.
        domain: String,
        /// The HTTP status.
        status: u16,
    },
    /// What it sends is no bundle.
    #[error("the bundle endpoint of {domain}: {source}")]
    Bundle {
        /// Whose bundle it is.
        domain: String,
        /// What is wrong with it.
        source: BundleError,
    },
}

/// Asks one endpoint.
#[derive(Debug)]
pub struct Endpoint {
    config: EndpointConfig,
    url: Url,
}

impl Endpoint {
    /// Checks the configuration; asks nobody yet.
    ///
    /// # Errors
    /// When it makes no sense.
    pub fn new(config: EndpointConfig) -> Result<Self, EndpointError> {
        let of_domain = https(&config.trust_domain);
        let url = tidelock_https::parse(&config.url).map_err(&of_domain)?;
        match &config.profile {
            Profile::Web(authorities) => {
                web(authorities.as_deref(), config.timeout).map_err(&of_domain)?;
            }
            Profile::Spiffe(id) if !id.has_path() => {
                return Err(of_domain(HttpsError::Config {
                    field: "the endpoint's SPIFFE ID",
                    reason: "it names no workload".into(),
                }));
            }
            Profile::Spiffe(_) => {}
        }
        Ok(Self { config, url })
    }

    /// Whose bundle it is.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.config.trust_domain
    }

    /// Asks once. `known` has the newest bundle of a trust domain: of the server's own, by
    /// `https_spiffe`.
    ///
    /// # Errors
    /// When there is no whole bundle to be had from the right server.
    pub async fn fetch(
        &self,
        known: impl Fn(&TrustDomain) -> Option<Bundle>,
    ) -> Result<Bundle, EndpointError> {
        let of_domain = https(&self.config.trust_domain);
        let domain = || self.config.trust_domain.as_str().to_owned();
        let client = match &self.config.profile {
            Profile::Web(authorities) => web(authorities.as_deref(), self.config.timeout),
            Profile::Spiffe(id) => {
                let bundle = known(id.trust_domain()).ok_or_else(|| EndpointError::Unknown {
                    domain: domain(),
                    id: id.clone(),
                })?;
                spiffe(id, &bundle, self.config.timeout)
            }
        }
        .map_err(&of_domain)?;
        let ask = client
            .get(self.url.clone())
            .header(ACCEPT, "application/json");
        let response = ask.send().await.map_err(|error| of_domain(error.into()))?;
        if response.status() != StatusCode::OK {
            return Err(EndpointError::Status {
                domain: domain(),
                status: response.status().as_u16(),
            });
        }
        let bytes = tidelock_https::body(response, MAX_BUNDLE)
            .await
            .map_err(&of_domain)?;
        Bundle::parse(&bytes).map_err(|source| EndpointError::Bundle {
            domain: domain(),
            source,
        })
    }
}

fn https(domain: &TrustDomain) -> impl Fn(HttpsError) -> EndpointError + use<> {
    let domain = domain.as_str().to_owned();
    move |source| EndpointError::Https {
        domain: domain.clone(),
        source,
    }
}

/// Redirections are for the standard to allow (5.2.1.4): by TLS to where the same is shown.
fn web(authorities: Option<&[u8]>, timeout: Duration) -> Result<Client, HttpsError> {
    tidelock_https::client(&Asking {
        authorities,
        identity: None,
        timeout,
        redirects: Redirects::Followed,
    })
}

/// As [`web`]; whoever we are sent to must be the same workload (5.2.2.4).
fn spiffe(id: &SpiffeId, bundle: &Bundle, timeout: Duration) -> Result<Client, HttpsError> {
    let tls = peer::client(id.clone(), bundle).map_err(|error| HttpsError::Config {
        field: "the bundle",
        reason: error.to_string(),
    })?;
    tidelock_https::client_by(tls, timeout, Redirects::Followed)
}
