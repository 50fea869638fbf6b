// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! A certification authority in memory, for the self-test and for tests.
//!
//! In production the daemon's authority signs SVIDs; none lives in the kernel.

use alloc::{vec, vec::Vec};
use core::{str::FromStr as _, time::Duration};

use p256::ecdsa::DerSignature;
use x509_cert::{
    TbsCertificate,
    builder::{Builder as _, CertificateBuilder, profile::BuilderProfile},
    der::{
        Encode as _,
        asn1::{Ia5String, UtcTime},
        flagset::FlagSet,
        oid::db::rfc5280::{ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH},
    },
    ext::{
        Extension, ToExtension,
        pkix::{
            BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName,
            name::GeneralName,
        },
    },
    name::Name,
    serial_number::SerialNumber,
    spki::{SubjectPublicKeyInfoOwned, SubjectPublicKeyInfoRef},
    time::{Time, Validity},
};

use crate::{Identity, Platform, SecretKey, SpiffeId, TlsError, TrustBundle, TrustDomain};

/// What its certificates are good for, from a little before now.
const LIFETIME: Duration = Duration::from_hours(1);
const LEEWAY: Duration = Duration::from_mins(1);

/// An authority over one trust domain.
pub(crate) struct Authority {
    domain: TrustDomain,
    key: SecretKey,
    certificate: Vec<u8>,
}

impl Authority {
    /// A new authority with a new key.
    #[inline(never)]
    pub(crate) fn new<P: Platform>(domain: TrustDomain) -> Result<Self, TlsError> {
        let key = SecretKey::generate::<P>()?;
        let certificate = certificate::<P>(Profile::Authority, &key, &key)?;
        Ok(Self {
            domain,
            key,
            certificate,
        })
    }

    /// A new identity: a new key, certified for `id`.
    #[inline(never)]
    pub(crate) fn issue<P: Platform>(&self, id: &SpiffeId) -> Result<Identity, TlsError> {
        let key = SecretKey::generate::<P>()?;
        let certificate = certificate::<P>(Profile::Svid(vec![id.as_str()]), &key, &self.key)?;
        Identity::new(key, certificate)
    }

    /// What makes others trust it.
    #[inline(never)]
    pub(crate) fn bundle(&self) -> Result<TrustBundle, TlsError> {
        TrustBundle::new(self.domain.clone(), [self.certificate.as_slice()])
    }

    /// A certificate of another shape than [`Self::issue`] gives.
    #[cfg(test)]
    pub(crate) fn sign<P: Platform>(
        &self,
        profile: Profile<'_>,
        key: &SecretKey,
    ) -> Result<Vec<u8>, TlsError> {
        certificate::<P>(profile, key, &self.key)
    }
}

/// The shape of a certificate.
pub(crate) enum Profile<'a> {
    /// An authority's own.
    Authority,
    /// An X.509-SVID with these URIs; a true one has exactly one.
    Svid(Vec<&'a str>),
    /// An SVID that may sign certificates, which it must not.
    #[cfg(test)]
    SigningSvid(&'a str),
}

impl BuilderProfile for Profile<'_> {
    /// All authorities bear the same name: what tells them apart is the key alone.
    fn get_issuer(&self, _subject: &Name) -> Name {
        authority_name()
    }

    fn get_subject(&self) -> Name {
        match self {
            Self::Authority => authority_name(),
            Self::Svid(_) => Name::default(),
            #[cfg(test)]
            Self::SigningSvid(_) => Name::default(),
        }
    }

    fn build_extensions(
        &self,
        _key: SubjectPublicKeyInfoRef<'_>,
        _issuer_key: SubjectPublicKeyInfoRef<'_>,
        tbs: &TbsCertificate,
    ) -> x509_cert::builder::Result<Vec<Extension>> {
        let mut extensions = Vec::new();
        let mut add = |extension: Extension| extensions.push(extension);
        let subject = tbs.subject();
        let constraints = BasicConstraints {
            ca: matches!(self, Self::Authority),
            path_len_constraint: None,
        };
        add((true, &constraints).to_extension(subject, &[])?);
        let usage = KeyUsage(match self {
            Self::Authority => FlagSet::from(KeyUsages::KeyCertSign),
            Self::Svid(_) => KeyUsages::DigitalSignature.into(),
            #[cfg(test)]
            Self::SigningSvid(_) => KeyUsages::DigitalSignature | KeyUsages::KeyCertSign,
        });
        add((true, &usage).to_extension(subject, &[])?);
        let uris = match self {
            Self::Authority => return Ok(extensions),
            Self::Svid(uris) => uris.as_slice(),
            #[cfg(test)]
            Self::SigningSvid(uri) => core::slice::from_ref(uri),
        };
        let usages = ExtendedKeyUsage(vec![ID_KP_SERVER_AUTH, ID_KP_CLIENT_AUTH]);
        add((false, &usages).to_extension(subject, &[])?);
        let names = uris
            .iter()
            .map(|uri| Ia5String::new(uri).map(GeneralName::UniformResourceIdentifier))
            .collect::<Result<_, _>>()?;
        // Critical, for the subject is empty (RFC 5280, 4.2.1.6).
        add((true, &SubjectAltName(names)).to_extension(subject, &[])?);
        Ok(extensions)
    }
}

#[inline(never)]
fn certificate<P: Platform>(
    profile: Profile<'_>,
    key: &SecretKey,
    issuer: &SecretKey,
) -> Result<Vec<u8>, TlsError> {
    let mut serial = [0; 16];
    P::fill_random(&mut serial)?;
    let failed = |_| TlsError::Certificate("cannot be built");
    let public = SubjectPublicKeyInfoOwned::from_key(key.signing_key().verifying_key())
        .map_err(|_| TlsError::Certificate("the key cannot be encoded"))?;
    let serial = SerialNumber::new(&serial).map_err(encoding)?;
    CertificateBuilder::new(profile, serial, validity::<P>()?, public)
        .and_then(|builder| builder.build::<_, DerSignature>(issuer.signing_key()))
        .map_err(failed)?
        .to_der()
        .map_err(encoding)
}

fn validity<P: Platform>() -> Result<Validity, TlsError> {
    let now = Duration::from_secs(P::unix_time());
    let time = |since_1970| UtcTime::from_unix_duration(since_1970).map(Time::UtcTime);
    Ok(Validity::new(
        time(now.saturating_sub(LEEWAY)).map_err(encoding)?,
        time(now.saturating_add(LIFETIME)).map_err(encoding)?,
    ))
}

/// A name is only there because X.509 wants one; nobody looks at it but to find the issuer.
fn authority_name() -> Name {
    Name::from_str("O=SPIFFE").unwrap_or_default()
}

fn encoding(_: x509_cert::der::Error) -> TlsError {
    TlsError::Certificate("cannot be encoded")
}
