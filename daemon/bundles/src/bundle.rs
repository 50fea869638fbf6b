// SPDX-License-Identifier: Apache-2.0 OR MIT
//! SPIFFE bundles: a trust domain's authorities, as a JWK Set (SPIFFE Trust Domain and Bundle, 4;
//! X509-SVID, 6).

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use x509_parser::{certificate::X509Certificate, prelude::FromDer as _, public_key::PublicKey};

/// The longest bundle that is read, in bytes.
pub const MAX_BUNDLE: usize = 1 << 20;
/// The most authorities that a bundle may have.
const MAX_AUTHORITIES: usize = 64;
/// `use` of an authority for X.509-SVIDs (X509-SVID, 6.1).
const X509_SVID: &str = "x509-svid";

/// The authorities of a trust domain. The name of the domain is not in it: whoever fetches it
/// knows whose it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bundle {
    /// Grows with each change; absent where its publisher does not say.
    pub sequence: Option<u64>,
    /// When to look again; a hint.
    pub refresh_hint: Option<Duration>,
    /// Certificates in DER. None: nobody of the domain is to be trusted any more.
    pub authorities: Vec<CertificateDer<'static>>,
}

/// A document is no bundle. Nothing of it is used.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// It is too long.
    #[error("the bundle has {len} bytes, {MAX_BUNDLE} are allowed")]
    TooLong {
        /// How long it is.
        len: usize,
    },
    /// It is no JWK Set in JSON, or a field has another type.
    #[error("the bundle is no JWK Set: {0}")]
    Json(#[from] serde_json::Error),
    /// It has too many authorities.
    #[error("the bundle has {count} authorities, {MAX_AUTHORITIES} are allowed")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// An authority cannot be used.
    #[error("keys[{index}].x5c[0] {reason}")]
    Authority {
        /// Which one, from 0.
        index: usize,
        /// What is wrong.
        reason: &'static str,
    },
}

#[derive(Serialize, Deserialize)]
struct Set {
    #[serde(skip_serializing_if = "Option::is_none")]
    spiffe_sequence: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spiffe_refresh_hint: Option<u64>,
    keys: Vec<Key>,
}

#[derive(Default, Serialize, Deserialize)]
struct Key {
    #[serde(skip_serializing_if = "Option::is_none")]
    kty: Option<String>,
    #[serde(rename = "use", skip_serializing_if = "Option::is_none")]
    usage: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    crv: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x5c: Option<Vec<String>>,
}

impl Bundle {
    /// Reads a bundle.
    ///
    /// Keys of other uses and kinds are passed over, as the standard demands (4.1.3, 4.2). An
    /// authority that is meant and cannot be used is an error: without it, half of the domain
    /// would be refused and nobody told.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(json: &[u8]) -> Result<Self, BundleError> {
        if json.len() > MAX_BUNDLE {
            return Err(BundleError::TooLong { len: json.len() });
        }
        let set: Set = serde_json::from_slice(json)?;
        let mut authorities = Vec::new();
        for (index, key) in set.keys.iter().enumerate() {
            let first = key.x5c.as_ref().and_then(|chain| chain.first());
            let (Some(text), true) = (first, key.is_x509_svid()) else {
                continue;
            };
            let wrong = |reason| BundleError::Authority { index, reason };
            authorities.push(authority(text).map_err(wrong)?);
        }
        if authorities.len() > MAX_AUTHORITIES {
            let count = authorities.len();
            return Err(BundleError::TooMany { count });
        }
        Ok(Self {
            sequence: set.spiffe_sequence,
            refresh_hint: set.spiffe_refresh_hint.map(Duration::from_secs),
            authorities,
        })
    }

    /// Writes it. Authorities with P-256 keys are written, for our own have no others.
    ///
    /// # Errors
    /// When an authority cannot be read or has another key.
    pub fn to_json(&self) -> Result<String, BundleError> {
        let keys = self
            .authorities
            .iter()
            .enumerate()
            .map(|(index, der)| {
                Key::of(der).ok_or(BundleError::Authority {
                    index,
                    reason: "is no authority with a P-256 key",
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(serde_json::to_string_pretty(&Set {
            spiffe_sequence: self.sequence,
            spiffe_refresh_hint: self.refresh_hint.map(|hint| hint.as_secs()),
            keys,
        })?)
    }
}

impl Key {
    fn is_x509_svid(&self) -> bool {
        let known = |kind: &str| ["EC", "RSA", "OKP"].contains(&kind);
        self.usage.as_deref() == Some(X509_SVID) && self.kty.as_deref().is_some_and(known)
    }

    fn of(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let Ok(PublicKey::EC(point)) = certificate.public_key().parsed() else {
            return None;
        };
        // SEC 1: an uncompressed point, two times 32 bytes.
        let (4, coordinates) = point.data().split_first()? else {
            return None;
        };
        let (x, y) = coordinates.split_at_checked(32)?;
        (y.len() == 32).then(|| Self {
            kty: Some("EC".into()),
            usage: Some(X509_SVID.into()),
            crv: Some("P-256".into()),
            x: Some(URL_SAFE_NO_PAD.encode(x)),
            y: Some(URL_SAFE_NO_PAD.encode(y)),
            x5c: Some(vec![STANDARD.encode(der)]),
        })
    }
}

fn authority(text: &str) -> Result<CertificateDer<'static>, &'static str> {
    let der = STANDARD.decode(text).map_err(|_| "is no base64")?;
    let Ok((&[], certificate)) = X509Certificate::from_der(&der) else {
        return Err("is no certificate in DER");
    };
    let signs = certificate
        .key_usage()
        .map_err(|_| "has its key usage twice")?
        .is_some_and(|usage| usage.value.key_cert_sign());
    if !certificate.is_ca() || !signs {
        return Err("is not a signing certificate");
    }
    drop(certificate);
    Ok(der.into())
}
