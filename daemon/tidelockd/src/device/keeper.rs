// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Keeps the device open, for as long as the daemon runs.

use std::sync::Arc;

use tidelock_authority::Trust;
use tidelock_wire::{
    Bundle, Certificate, Certificates, EncodeError, MAX_FRAME, MAX_LIST, Request, Settings,
    TrustDomainRef,
};
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{Backoff, Place, Session, SessionError, Views};
use crate::serve::Server;

/// What the keeper works with.
#[derive(Debug)]
pub struct Keeper {
    /// Where the device is.
    pub place: Place,
    /// What is to be in force.
    pub settings: watch::Receiver<Settings>,
    /// Who is to be trusted.
    pub bundle: watch::Receiver<Option<Arc<Trust>>>,
    /// Who answers.
    pub server: Arc<Server>,
    /// Where it is told how it stands.
    pub views: Arc<Views>,
}

impl Keeper {
    /// Opens the device, again and again if need be, until `stop`. What it has been asked by then
    /// is answered before this returns.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut backoff = Backoff::new();
        loop {
            let session = tokio::select! {
                () = stop.cancelled() => break,
                opened = Session::open(&self.place) => opened,
            };
            let error = match session {
                Ok((session, hello)) => {
                    tracing::info!(
                        device = %self.place,
                        module = %format_args!(
                            "{}.{}.{}", hello.module.major, hello.module.minor, hello.module.patch
                        ),
                        "the device is open"
                    );
                    let session = Arc::new(session);
                    self.views.opened(&session, hello);
                    tokio::select! {
                        () = stop.cancelled() => {
                            // Listening has ended; what was taken on is answered.
                            self.server.drain().await;
                            break;
                        }
                        error = self.serve(&session, &mut backoff) => error,
                    }
                }
                Err(error) => error,
            };
            if self.views.lost(error.to_string()) {
                tracing::error!(
                    device = %self.place,
                    "{error}; trying again until it answers. Meanwhile the kernel decides by \
                     what was in force, and refuses what it cannot ask about"
                );
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = sleep(backoff.step()) => {}
            }
        }
    }

    /// Serves until the device is lost.
    async fn serve(&mut self, session: &Arc<Session>, backoff: &mut Backoff) -> SessionError {
        let server = Arc::clone(&self.server);
        let mut buffer = Box::new([0; MAX_FRAME]);
        let listening = async {
            loop {
                match session.asked(&mut buffer).await {
                    Ok(asked) => server.take(session, asked).await,
                    Err(error) => break error,
                }
            }
        };
        tokio::select! {
            error = listening => error,
            error = self.configure(session, backoff) => error,
        }
    }

    /// Tells who is trusted, then puts the settings in force; and each again whenever it changes.
    async fn configure(&mut self, session: &Session, backoff: &mut Backoff) -> SessionError {
        self.bundle.mark_changed();
        loop {
            if self.bundle.has_changed().unwrap_or(false) {
                let trust = self.bundle.borrow_and_update().clone();
                if let Some(error) = tell(session, trust).await {
                    return error;
                }
            }
            let settings = *self.settings.borrow_and_update();
            match session.request(Request::Configure(settings)).await {
                Ok(status) => tracing::info!(
                    mode = ?status.mode,
                    generation = status.generation,
                    "the settings are in force"
                ),
                Err(error) => return error,
            }
            self.views.serving(&settings);
            *backoff = Backoff::new();
            tokio::select! {
                changed = self.settings.changed() => if changed.is_err() {
                    // Nobody can change them any more: what remains is to listen.
                    std::future::pending::<()>().await;
                },
                Ok(()) = self.bundle.changed() => self.bundle.mark_changed(),
            }
        }
    }
}

/// Tells the module who is trusted, or why it is not: that costs mTLS, and nothing else.
async fn tell(session: &Session, trust: Option<Arc<Trust>>) -> Option<SessionError> {
    let trust = trust?;
    let domain = trust.domain.as_str();
    let mut buffer = Box::new([0; MAX_LIST]);
    let bundle = match bundle(&trust, buffer.as_mut_slice()) {
        Ok(bundle) => bundle,
        Err(error) => {
            tracing::error!(domain, "the trust bundle cannot be told: {error}");
            return None;
        }
    };
    match session.trust(bundle).await {
        Ok(Ok(())) => tracing::info!(domain, "the module trusts the trust domain"),
        Ok(Err(refused)) => {
            tracing::error!(domain, "the module does not take the bundle: {refused}");
        }
        Err(error) => return Some(error),
    }
    None
}

/// As a frame has it.
fn bundle<'a>(trust: &'a Trust, buffer: &'a mut [u8]) -> Result<Bundle<'a>, EncodeError> {
    // All or none: with one left out the domain would be trusted by fewer, and by none withdrawn.
    let authorities = trust.authorities.iter().map(|der| {
        Certificate::new(der).ok_or(EncodeError::Value {
            field: "the length of an authority's certificate",
            value: der.len() as u64,
        })
    });
    let authorities = authorities.collect::<Result<Vec<_>, _>>()?;
    Ok(Bundle {
        domain: TrustDomainRef::parse(trust.domain.as_str().as_bytes())?,
        authorities: Certificates::encode(authorities, buffer)?,
    })
}

#[cfg(test)]
mod tests {
    use rustls_pki_types::CertificateDer;
    use tidelock_tls::TrustDomain;

    use super::*;

    fn trust(lengths: &[usize]) -> Trust {
        let der = |length: &usize| CertificateDer::from(vec![0x30; *length]);
        Trust {
            domain: TrustDomain::parse("a.test").unwrap(),
            authorities: lengths.iter().map(der).collect(),
        }
    }

    #[test]
    fn a_bundle_is_told_whole_or_not_at_all() {
        let mut buffer = [0; MAX_LIST];
        let whole = trust(&[5, 9]);
        assert_eq!(bundle(&whole, &mut buffer).unwrap().authorities.count(), 2);
        for lengths in [&[5, 0][..], &[5, MAX_LIST + 1]] {
            let broken = trust(lengths);
            bundle(&broken, &mut buffer).unwrap_err();
        }
    }
}
