// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What was signed, by whomever, before the kernel is given it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::PublicKeyData as _;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use tidelock_tls::SpiffeId;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer as _};

use crate::{
    Request,
    profile::Validity,
    signer::{is_signed, seconds, validity},
};

/// The most certificates of a chain, the leaf counted.
const MAX_CHAIN: usize = 4;
/// The most bytes of a chain.
pub const MAX_CHAIN_BYTES: usize = 12 << 10;
/// An SVID that ends sooner than this is of no use: it would have to be renewed at once.
const SHORTEST: Duration = Duration::from_mins(1);

/// An X.509-SVID.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Svid {
    /// The leaf, then who signed it, and so on, in DER. The root is in the trust bundle alone.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's number, its greatest byte first.
    pub serial: Vec<u8>,
    /// The leaf's.
    pub validity: Validity,
}

/// What an authority answered is not the SVID that was asked for, or nobody would take it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SvidError {
    /// There is no certificate, or there are too many, or they are too long.
    #[error(
        "the chain has {count} certificates of {bytes} bytes; 1 to {MAX_CHAIN} of {MAX_CHAIN_BYTES} are taken"
    )]
    Length {
        /// How many.
        count: usize,
        /// How long they are together.
        bytes: usize,
    },
    /// A certificate cannot be decoded.
    #[error("a certificate of the chain cannot be decoded")]
    Encoding,
    /// It certifies another key than the one that was asked for.
    #[error("it certifies another key")]
    Key,
    /// It names another, several, or nobody.
    #[error("it names {found}, and {wanted} was asked for")]
    Name {
        /// Whom it names.
        found: String,
        /// Whom it should.
        wanted: String,
    },
    /// It may do what no workload may, or not what each must.
    #[error("it is no X.509-SVID of a workload: {what}")]
    Profile {
        /// What is wrong.
        what: &'static str,
    },
    /// It is not valid now, or not long enough.
    #[error("it is valid from {from} to {to}, and it is {now} by our clock (seconds since 1970)")]
    Validity {
        /// In seconds since 1970.
        from: u64,
        /// In seconds since 1970.
        to: u64,
        /// In seconds since 1970.
        now: u64,
    },
    /// It does not lead to an authority of the trust domain.
    #[error("it leads to no authority of the trust domain: {reason}")]
    Path {
        /// Why not.
        reason: String,
    },
}

impl Svid {
    /// Takes what an authority answered to `request`: the leaf first. It must be what was asked
    /// for, by the X.509-SVID standard, and verify as peers that trust `authorities` verify it.
    ///
    /// Authorities in the chain are left out: peers have them, and trust no other.
    ///
    /// # Errors
    /// When the kernel or its peers would refuse it.
    pub fn take(
        mut chain: Vec<CertificateDer<'static>>,
        request: &Request,
        authorities: &[CertificateDer<'_>],
        now: SystemTime,
    ) -> Result<Self, SvidError> {
        chain.retain(|certificate| !authorities.contains(certificate));
        let bytes = chain.iter().map(|certificate| certificate.len()).sum();
        let count = chain.len();
        if !(1..=MAX_CHAIN).contains(&count) || bytes > MAX_CHAIN_BYTES {
            return Err(SvidError::Length { count, bytes });
        }
        let Ok((&[], leaf)) = X509Certificate::from_der(&chain[0]) else {
            return Err(SvidError::Encoding);
        };
        if leaf.public_key().raw != request.key().subject_public_key_info() {
            return Err(SvidError::Key);
        }
        check_name(&leaf, request.spiffe_id())?;
        check_profile(&leaf).map_err(|what| SvidError::Profile { what })?;
        let serial = leaf.raw_serial().to_vec();
        let validity = validity(&leaf).ok_or(SvidError::Encoding)?;
        if now < validity.from || now + SHORTEST > validity.to {
            let (from, to) = (seconds(validity.from), seconds(validity.to));
            let now = seconds(now);
            return Err(SvidError::Validity { from, to, now });
        }
        drop(leaf);
        check_path(&chain, authorities, now)?;
        Ok(Self {
            chain,
            serial,
            validity,
        })
    }
}

/// A leaf, and of `pool` what leads from it towards an authority, in the order of signing.
pub(crate) fn in_order(
    leaf: CertificateDer<'static>,
    pool: &[CertificateDer<'static>],
) -> Vec<CertificateDer<'static>> {
    let mut chain = vec![leaf];
    while chain.len() <= MAX_CHAIN {
        let signed = |by: &&CertificateDer<'static>| {
            let last = chain.last().map(|last| X509Certificate::from_der(last));
            !chain.contains(by) && matches!(last, Some(Ok((_, last))) if is_signed(&last, by))
        };
        let Some(next) = pool.iter().find(signed).cloned() else {
            break;
        };
        chain.push(next);
    }
    chain
}

fn check_name(leaf: &X509Certificate<'_>, wanted: &SpiffeId) -> Result<(), SvidError> {
    let names = leaf.subject_alternative_name();
    let names = names.map_err(|_| SvidError::Encoding)?;
    let uris: Vec<&str> = names
        .iter()
        .flat_map(|names| &names.value.general_names)
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        })
        .collect();
    if uris == [wanted.as_str()] {
        return Ok(());
    }
    Err(SvidError::Name {
        found: match uris.as_slice() {
            [] => "nobody".into(),
            uris => uris.join(" and "),
        },
        wanted: wanted.to_string(),
    })
}

/// X509-SVID, 4: what a leaf may be used for.
fn check_profile(leaf: &X509Certificate<'_>) -> Result<(), &'static str> {
    const TWICE: &str = "an extension is there twice";
    if leaf.is_ca() {
        return Err("it is an authority");
    }
    let usage = leaf.key_usage().map_err(|_| TWICE)?;
    let usage = usage.ok_or("it has no key usage")?;
    if !usage.critical {
        return Err("its key usage is not critical");
    }
    if !usage.value.digital_signature() || usage.value.key_cert_sign() || usage.value.crl_sign() {
        return Err("its key usage is not a leaf's");
    }
    match leaf.extended_key_usage().map_err(|_| TWICE)? {
        Some(extended) if !extended.value.server_auth || !extended.value.client_auth => {
            Err("its extended key usage lacks serverAuth or clientAuth")
        }
        _ => Ok(()),
    }
}

/// For either side of a connection.
fn check_path(
    chain: &[CertificateDer<'_>],
    authorities: &[CertificateDer<'_>],
    now: SystemTime,
) -> Result<(), SvidError> {
    let path = |reason: String| SvidError::Path { reason };
    let because = |error: webpki::Error| path(format!("{error:?}"));
    let anchors: Vec<TrustAnchor<'_>> = authorities
        .iter()
        .map(anchor_from_trusted_cert)
        .collect::<Result<_, _>>()
        .map_err(because)?;
    let (leaf, intermediates) = chain.split_first().ok_or(SvidError::Encoding)?;
    let leaf = EndEntityCert::try_from(leaf).map_err(because)?;
    let now = now
        .duration_since(UNIX_EPOCH)
        .map_err(|_| path("the clock is before 1970".into()))?;
    for usage in [KeyUsage::server_auth(), KeyUsage::client_auth()] {
        leaf.verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &anchors,
            intermediates,
            UnixTime::since_unix_epoch(now),
            usage,
            None,
            None,
        )
        .map_err(because)?;
    }
    Ok(())
}
