// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What certificates say: the X.509-SVID standard, sections 2 to 4, and nothing beside it.

use std::time::SystemTime;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyUsagePurpose, SanType, SerialNumber, string::Ia5String,
};
use ring::rand::{SecureRandom as _, SystemRandom};
use tidelock_tls::{SpiffeId, TrustDomain};

use crate::AuthorityError;

/// A certificate's number: 127 random bits behind a one, so that it is positive, not zero, and
/// as long as any other (RFC 5280, 4.1.2.2).
#[derive(Clone, Copy)]
pub(crate) struct Serial([u8; 16]);

impl Serial {
    pub(crate) fn random() -> Result<Self, AuthorityError> {
        let mut bytes = [0; 16];
        SystemRandom::new()
            .fill(&mut bytes)
            .map_err(|_| AuthorityError::Entropy)?;
        bytes[0] = bytes[0] & 0x7f | 0x40;
        Ok(Self(bytes))
    }

    /// The number, its greatest byte first.
    pub(crate) const fn bytes(self) -> [u8; 16] {
        self.0
    }
}

/// From when to when, in whole seconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Validity {
    /// The first moment.
    pub from: SystemTime,
    /// The last.
    pub to: SystemTime,
}

/// Which of the two authorities.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rank {
    /// Trusted by itself; signs intermediates.
    Root,
    /// Signs SVIDs, and no authorities.
    Intermediate,
}

impl Rank {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Intermediate => "intermediate",
        }
    }
}

/// A signing certificate. It is an SVID too, whose SPIFFE ID is the trust domain's (3.2).
pub(crate) fn authority(
    domain: &TrustDomain,
    rank: Rank,
    serial: Serial,
    validity: Validity,
) -> Result<CertificateParams, AuthorityError> {
    let mut params = common(serial, validity);
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, domain.as_str());
    // For people, who must tell one intermediate from the next.
    let [a, b, c, d, ..] = serial.bytes();
    let tag = u32::from_be_bytes([a, b, c, d]);
    name.push(DnType::CommonName, format!("{} {tag:08x}", rank.name()));
    params.distinguished_name = name;
    params.subject_alt_names = vec![uri(&domain_id(domain))?];
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(match rank {
        Rank::Root => 1,
        Rank::Intermediate => 0,
    }));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

/// A leaf: it names one workload, signs data and nothing else, for both sides of a connection.
/// Its subject is empty, so that its name is critical (3.1).
pub(crate) fn svid(
    id: &SpiffeId,
    serial: Serial,
    validity: Validity,
) -> Result<CertificateParams, AuthorityError> {
    let mut params = common(serial, validity);
    params.subject_alt_names = vec![uri(id.as_str())?];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    Ok(params)
}

/// The SPIFFE ID of a trust domain itself.
pub(crate) fn domain_id(domain: &TrustDomain) -> String {
    format!("spiffe://{}", domain.as_str())
}

fn common(serial: Serial, validity: Validity) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.serial_number = Some(SerialNumber::from_slice(&serial.bytes()));
    params.not_before = validity.from.into();
    params.not_after = validity.to.into();
    params.distinguished_name = DistinguishedName::new();
    params.use_authority_key_identifier_extension = true;
    params
}

fn uri(text: &str) -> Result<SanType, AuthorityError> {
    Ok(SanType::URI(Ia5String::try_from(text)?))
}
