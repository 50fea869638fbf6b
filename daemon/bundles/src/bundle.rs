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
use tidelock_https::told;
use webpki::anchor_from_trusted_cert;
use x509_parser::{
    asn1_rs::Oid,
    certificate::X509Certificate,
    oid_registry::{OID_EC_P256, OID_NIST_EC_P384},
    prelude::FromDer as _,
    public_key::PublicKey,
};

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
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BundleError {
    /// It is too long.
    #[error("the bundle has {len} bytes, {MAX_BUNDLE} are allowed")]
    TooLong {
        /// How long it is.
        len: usize,
    },
    /// It is no JWK Set in JSON, or a field has another type.
    #[error("the bundle is no JWK Set: {0}")]
    Json(String),
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

impl From<serde_json::Error> for BundleError {
    /// It quotes the document, which may be anybody's.
    fn from(error: serde_json::Error) -> Self {
        Self::Json(told(&error.to_string()))
    }
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
    n: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    e: Option<String>,
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

    /// Writes it. Of authorities' keys those that we can check are written: P-256, P-384, RSA.
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
                    reason: "has a key that is neither P-256, P-384 nor RSA",
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

    /// The JWK of an authority (RFC 7518, 6): what its certificate says once more, as a JWK must.
    fn of(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let key = certificate.public_key();
        let mut jwk = match key.parsed().ok()? {
            PublicKey::EC(point) => {
                let curve = key.algorithm.parameters.as_ref()?.as_oid().ok()?;
                Self::of_point(&curve, point.data())?
            }
            PublicKey::RSA(key) => Self {
                kty: Some("RSA".into()),
                n: Some(unsigned(key.modulus)),
                e: Some(unsigned(key.exponent)),
                ..Self::default()
            },
            _ => return None,
        };
        jwk.usage = Some(X509_SVID.into());
        jwk.x5c = Some(vec![STANDARD.encode(der)]);
        Some(jwk)
    }

    /// SEC 1: an uncompressed point, two coordinates of the curve's length.
    fn of_point(curve: &Oid<'_>, point: &[u8]) -> Option<Self> {
        let (name, len) = if *curve == OID_EC_P256 {
            ("P-256", 32)
        } else if *curve == OID_NIST_EC_P384 {
            ("P-384", 48)
        } else {
            return None;
        };
        let (4, coordinates) = point.split_first()? else {
            return None;
        };
        let (x, y) = coordinates.split_at_checked(len)?;
        (y.len() == len).then(|| Self {
            kty: Some("EC".into()),
            crv: Some(name.into()),
            x: Some(URL_SAFE_NO_PAD.encode(x)),
            y: Some(URL_SAFE_NO_PAD.encode(y)),
            ..Self::default()
        })
    }
}

/// A number without the zeros in front of it (RFC 7518, 2: `Base64urlUInt`).
fn unsigned(integer: &[u8]) -> String {
    let zeros = integer.iter().take_while(|byte| **byte == 0).count();
    URL_SAFE_NO_PAD.encode(&integer[zeros..])
}

/// A signing certificate (X509-SVID, 3.2), in base64.
pub(crate) fn authority(text: &str) -> Result<CertificateDer<'static>, &'static str> {
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
    let der = CertificateDer::from(der);
    // One that cannot be an anchor would later be in the way of all others.
    anchor_from_trusted_cert(&der).map_err(|_| "cannot be an authority")?;
    Ok(der)
}
