// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A certificate that signs others, with its key.

use std::{
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rcgen::{Certificate, CertificateParams, Issuer, PublicKeyData};
use rustls_pki_types::CertificateDer;
use tidelock_tls::TrustDomain;
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer as _};

use crate::{
    AuthorityError,
    key::Key,
    keyfile::Held,
    profile::{Rank, Validity, domain_id},
};

/// A root or an intermediate, ready to sign. Its key goes nowhere else.
pub(crate) struct Signer {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) validity: Validity,
    issuer: Issuer<'static, Key>,
}

impl Signer {
    /// What a file holds, when it is an authority of `rank` over `domain`; signed by `by`, or by
    /// itself. Whether it is valid now is not looked at.
    pub(crate) fn of(
        held: Held,
        rank: Rank,
        domain: &TrustDomain,
        by: Option<&Self>,
        path: &Path,
    ) -> Result<Self, AuthorityError> {
        let damaged = |reason: &str| AuthorityError::Damaged {
            path: path.to_owned(),
            reason: format!("its {} {reason}", rank.name()),
        };
        let Held { key, certificate } = held;
        let Ok((&[], parsed)) = X509Certificate::from_der(&certificate) else {
            return Err(damaged("cannot be decoded"));
        };
        if parsed.public_key().raw != key.subject_public_key_info() {
            return Err(damaged("has another key"));
        }
        if !parsed.is_ca() {
            return Err(damaged("is no authority"));
        }
        let signed = match by {
            None => parsed.verify_signature(None).is_ok(),
            Some(by) => is_signed(&parsed, &by.certificate),
        };
        if !signed {
            return Err(damaged("was not signed by its root"));
        }
        let found = name(&parsed).ok_or_else(|| damaged("names no trust domain"))?;
        if found != domain_id(domain) {
            return Err(AuthorityError::Domain {
                path: path.to_owned(),
                found: found.trim_start_matches("spiffe://").into(),
                wanted: domain.as_str().into(),
            });
        }
        let validity = validity(&parsed).ok_or_else(|| damaged("has no readable validity"))?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key)?;
        Ok(Self {
            certificate,
            validity,
            issuer,
        })
    }

    /// A certificate for another's key.
    pub(crate) fn sign(
        &self,
        params: &CertificateParams,
        key: &impl PublicKeyData,
    ) -> Result<Certificate, AuthorityError> {
        Ok(params.signed_by(key, &self.issuer)?)
    }

    /// Whether half of its life is over.
    pub(crate) fn is_past_half(&self, now: SystemTime) -> bool {
        let Validity { from, to } = self.validity;
        let half = to.duration_since(from).unwrap_or_default() / 2;
        now >= from + half
    }

    /// Refuses to sign by what is not valid.
    pub(crate) fn check(&self, rank: Rank, now: SystemTime) -> Result<(), AuthorityError> {
        let Validity { from, to } = self.validity;
        let cure = if now < from {
            "set the clock"
        } else if now > to && rank == Rank::Root {
            "if the clock is right, the trust domain has ended: begin a new one in another folder"
        } else if now > to {
            "roll the intermediate"
        } else {
            return Ok(());
        };
        Err(AuthorityError::Validity {
            which: rank.name(),
            from: seconds(from),
            to: seconds(to),
            now: seconds(now),
            cure,
        })
    }
}

/// Whether `by` signed this.
fn is_signed(certificate: &X509Certificate<'_>, by: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(by).is_ok_and(|(_, by)| {
        certificate.issuer().as_raw() == by.subject().as_raw()
            && certificate.verify_signature(Some(by.public_key())).is_ok()
    })
}

/// The one URI that a signing certificate names.
fn name<'a>(certificate: &X509Certificate<'a>) -> Option<&'a str> {
    let names = certificate.subject_alternative_name().ok()??.value;
    match names.general_names.as_slice() {
        [GeneralName::URI(uri)] => Some(uri),
        _ => None,
    }
}

pub(crate) fn validity(certificate: &X509Certificate<'_>) -> Option<Validity> {
    let time = |seconds: i64| {
        let since = Duration::from_secs(u64::try_from(seconds).ok()?);
        UNIX_EPOCH.checked_add(since)
    };
    let of = certificate.validity();
    Some(Validity {
        from: time(of.not_before.timestamp())?,
        to: time(of.not_after.timestamp())?,
    })
}

pub(crate) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}
