// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What was signed, by whomever, before the kernel is given it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::PublicKeyData as _;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use tidelock_https::told;
use tidelock_tls::{SpiffeId, TrustDomain};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer as _};

use crate::{
    Request,
    profile::Validity,
    signer::{seconds, validity},
};

/// The most certificates of a chain, the leaf counted.
pub const MAX_CHAIN: usize = 4;
/// The most bytes of a chain: with their lengths they fit into a frame to the kernel.
pub const MAX_CHAIN_BYTES: usize = 12_000;
/// The most certificates that an answer may have beside the leaf.
const MAX_POOL: usize = 16;
/// An SVID that ends sooner than this is of no use: it would have to be renewed at once.
pub(crate) const SHORTEST: Duration = Duration::from_mins(1);
/// One that is valid longer is no SVID of this sort: it is revoked by not being renewed.
const LONGEST: Duration = Duration::from_hours(90 * 24);
/// What the kernel checks signatures by (`kmod/tls`), and so what its peers can be shown.
static ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[webpki::ring::ECDSA_P256_SHA256];

/// Who vouches for a trust domain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trust {
    /// Whose.
    pub domain: TrustDomain,
    /// The certificates, in DER.
    pub authorities: Vec<CertificateDer<'static>>,
}

/// An X.509-SVID.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Svid {
    /// The leaf, then who signed it, and so on, in DER. The root is in the trust bundle alone.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's number, its greatest byte first.
    pub serial: Vec<u8>,
    /// In which all of the chain is valid.
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
    /// It was asked for a name that the trust domain does not give.
    #[error("{id} is no workload of {domain}")]
    Domain {
        /// What was asked for.
        id: String,
        /// The trust domain.
        domain: String,
    },
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
    /// It is not valid now, or not long enough, or for too long.
    #[error(
        "it is valid from {from} to {to}, and it is {now} by our clock (seconds since 1970); a \
         minute is the least, 90 days are the most"
    )]
    Validity {
        /// In seconds since 1970.
        from: u64,
        /// In seconds since 1970.
        to: u64,
        /// In seconds since 1970.
        now: u64,
    },
    /// It does not lead to an authority of the trust domain.
    #[error(
        "it leads to no authority of the trust domain by ECDSA on P-256 with SHA-256: {reason}"
    )]
    Path {
        /// Why not.
        reason: String,
    },
}

impl Svid {
    /// Takes what an authority answered to `request`: the leaf first, then whatever came with it,
    /// in any order. It must be what was asked for, by the X.509-SVID standard, and verify as the
    /// kernel of a peer verifies it. Of what came with it the path to an authority is kept.
    ///
    /// # Errors
    /// When the kernel or its peers would refuse it.
    pub fn take(
        answered: &[CertificateDer<'static>],
        request: &Request,
        trust: &Trust,
        now: SystemTime,
    ) -> Result<Self, SvidError> {
        let count = answered.len();
        let Some((leaf, pool)) = answered.split_first().filter(|_| count <= 1 + MAX_POOL) else {
            return Err(SvidError::Length { count, bytes: 0 });
        };
        check_domain(request.spiffe_id(), &trust.domain)?;
        let serial = check_leaf(leaf, request)?;
        let chain = path(leaf, pool, trust, now)?;
        let bytes = chain.iter().map(|certificate| certificate.len()).sum();
        let count = chain.len();
        if count > MAX_CHAIN || bytes > MAX_CHAIN_BYTES {
            return Err(SvidError::Length { count, bytes });
        }
        Ok(Self {
            validity: common_validity(&chain, now)?,
            chain,
            serial,
        })
    }
}

fn check_domain(id: &SpiffeId, domain: &TrustDomain) -> Result<(), SvidError> {
    if id.trust_domain() == domain && id.has_path() {
        return Ok(());
    }
    Err(SvidError::Domain {
        id: id.as_str().into(),
        domain: domain.as_str().into(),
    })
}

/// Everything that is said of the leaf alone; its serial.
fn check_leaf(leaf: &CertificateDer<'_>, request: &Request) -> Result<Vec<u8>, SvidError> {
    let Ok((&[], leaf)) = X509Certificate::from_der(leaf) else {
        return Err(SvidError::Encoding);
    };
    if leaf.public_key().raw != request.key().subject_public_key_info() {
        return Err(SvidError::Key);
    }
    check_name(&leaf, request.spiffe_id())?;
    check_profile(&leaf).map_err(|what| SvidError::Profile { what })?;
    Ok(leaf.raw_serial().to_vec())
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
            uris => told(&uris.join(" and ")),
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

/// The leaf and what is between it and an authority, in the order of signing, by a path that
/// holds for either side of a connection.
fn path(
    leaf: &CertificateDer<'static>,
    pool: &[CertificateDer<'static>],
    trust: &Trust,
    now: SystemTime,
) -> Result<Vec<CertificateDer<'static>>, SvidError> {
    let because = |error: webpki::Error| SvidError::Path {
        reason: format!("{error:?}"),
    };
    let anchors: Vec<TrustAnchor<'_>> = trust
        .authorities
        .iter()
        .map(anchor_from_trusted_cert)
        .collect::<Result<_, _>>()
        .map_err(because)?;
    let end = EndEntityCert::try_from(leaf).map_err(because)?;
    let now = now
        .duration_since(UNIX_EPOCH)
        .map(UnixTime::since_unix_epoch)
        .map_err(|_| SvidError::Path {
            reason: "the clock is before 1970".into(),
        })?;
    let mut chain = Vec::new();
    for usage in [KeyUsage::server_auth(), KeyUsage::client_auth()] {
        let path = end
            .verify_for_usage(ALGORITHMS, &anchors, pool, now, usage, None, None)
            .map_err(because)?;
        chain = vec![leaf.clone()];
        let between = path.intermediate_certificates();
        chain.extend(between.map(|certificate| certificate.der().into_owned()));
    }
    Ok(chain)
}

/// When all of a chain is valid: now, and for a while, but not for ever.
fn common_validity(chain: &[CertificateDer<'_>], now: SystemTime) -> Result<Validity, SvidError> {
    let mut common = Validity {
        from: UNIX_EPOCH,
        to: UNIX_EPOCH + Duration::from_secs(u32::MAX.into()) * 2,
    };
    for certificate in chain {
        let parsed = X509Certificate::from_der(certificate);
        let (_, parsed) = parsed.map_err(|_| SvidError::Encoding)?;
        let own = validity(&parsed).ok_or(SvidError::Encoding)?;
        common.from = common.from.max(own.from);
        common.to = common.to.min(own.to);
    }
    let Validity { from, to } = common;
    let lifetime = to.duration_since(from).unwrap_or_default();
    // Certificates know no less than seconds: what was signed for a minute just now is one.
    let whole = UNIX_EPOCH + Duration::from_secs(seconds(now));
    if now < from || whole + SHORTEST > to || lifetime > LONGEST {
        let (from, to, now) = (seconds(from), seconds(to), seconds(now));
        return Err(SvidError::Validity { from, to, now });
    }
    Ok(common)
}
