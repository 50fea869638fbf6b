// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Whether the peer is who we expect: its SPIFFE ID, and its chain up to that domain's bundle.

use alloc::{boxed::Box, string::ToString as _, sync::Arc, vec::Vec};

use once_cell::race::OnceBox;

use crate::{
    Expected, Peer, SpiffeId, TlsError, Trust, provider,
    trust::{KeyDigest, anchor_digest, key_digest},
    x509::{self, Subject, usage},
};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use rustls_pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use webpki::{
    EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeId, KeyPurposeIdIter, KeyUsage,
    RequiredEkuNotFoundContext, VerifiedPath,
};

/// Checks the peer's certificate, for either side and for one session.
#[derive(Debug)]
pub(crate) struct PeerVerifier {
    trust: Arc<Trust>,
    expected: Expected,
    found: OnceBox<Peer>,
}

impl PeerVerifier {
    pub(crate) const fn new(trust: Arc<Trust>, expected: Expected) -> Self {
        Self {
            trust,
            expected,
            found: OnceBox::new(),
        }
    }

    /// Who was found and accepted.
    pub(crate) fn found(&self) -> Option<&Peer> {
        self.found.get()
    }

    /// The name first, for it says whose authorities count; it is nobody's before they have
    /// vouched for it.
    fn verify(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        purpose: Purpose,
        now: UnixTime,
    ) -> Result<(), Error> {
        let bytes: usize = intermediates.iter().map(|der| der.len()).sum();
        if intermediates.len() > MAX_INTERMEDIATES || bytes + certificate.len() > MAX_CHAIN_BYTES {
            return Err(Error::General(
                "the peer shows too many certificates".to_string(),
            ));
        }
        let (id, until) = svid_of(certificate).map_err(|_| CertificateError::NotValidForName)?;
        let anchors = self.trust.anchors(id.trust_domain());
        if anchors.is_empty() {
            return Err(CertificateError::UnknownIssuer.into());
        }
        let chain = Chain {
            trust: &self.trust,
            id: &id,
            purpose,
            now,
        };
        let vouched = chain.verify(certificate, intermediates, &anchors)?;
        if !self.expected.allows(&id) {
            return Err(CertificateError::NotValidForName.into());
        }
        let until = until.min(vouched.until);
        // A session has one peer, and TLS 1.3 shows its certificate once.
        (self.found.set(Box::new(Peer::new(id, vouched, until))))
            .map_err(|_| Error::General("a second certificate".to_string()))
    }
}

/// What a peer may show beside its leaf, as much as the daemon gives a workload of ours: more only
/// makes us work.
const MAX_INTERMEDIATES: usize = 3;
const MAX_CHAIN_BYTES: usize = 12 * 1024;

/// Who vouches for a leaf.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Vouched {
    /// Their keys, the nearest first, an authority of the trust bundle last.
    pub(crate) keys: Vec<KeyDigest>,
    /// The last one's name and key.
    pub(crate) anchor: KeyDigest,
    /// Until when all between are valid, in seconds since 1970.
    until: u64,
}

/// What a chain must be.
struct Chain<'a> {
    trust: &'a Trust,
    id: &'a SpiffeId,
    purpose: Purpose,
    now: UnixTime,
}

impl Chain<'_> {
    /// Apart from the rest, for its stack is the deepest of all: two signatures are checked, or
    /// more.
    #[inline(never)]
    fn verify(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        anchors: &[TrustAnchor<'_>],
    ) -> Result<Vouched, Error> {
        let invalid = |error: webpki::Error| Error::from(certificate_error(&error));
        let certificate = EndEntityCert::try_from(certificate).map_err(invalid)?;
        let path = certificate
            .verify_for_usage(
                provider::ALGORITHMS.all,
                anchors,
                intermediates,
                self.now,
                self.purpose,
                None,
                // Of several paths one that may be: the others are gone on to.
                Some(&|path| self.vouch(path).map(|_| ())),
            )
            .map_err(invalid)?;
        self.vouch(&path).map_err(invalid)
    }

    /// What a path that leads to an authority must hold beside its signatures.
    #[inline(never)]
    fn vouch(&self, path: &VerifiedPath<'_>) -> Result<Vouched, webpki::Error> {
        let mut vouched = Vouched {
            keys: Vec::new(),
            anchor: anchor_digest(path.anchor()).map_err(|_| webpki::Error::BadDer)?,
            until: u64::MAX,
        };
        for issuer in path.intermediate_certificates() {
            let until = check_issuer(&issuer.der(), self.id)?;
            vouched.until = vouched.until.min(until);
            let key = x509::digest(&issuer.subject_public_key_info());
            vouched.keys.push(key);
        }
        let key = key_digest(path.anchor()).map_err(|_| webpki::Error::BadDer)?;
        vouched.keys.push(key);
        if self
            .trust
            .is_void(self.id, &vouched.keys, self.now.as_secs())
        {
            return Err(webpki::Error::CertRevoked);
        }
        Ok(vouched)
    }
}

const SCHEME: &str = "spiffe:";

/// An intermediate (X509-SVID, 3.2 and 4.3; RFC 5280, 6.1.4): where it says what its key is for, that
/// is certificates; where it is a trust domain's, it is that of `id`. Until when it is valid.
fn check_issuer(der: &[u8], id: &SpiffeId) -> Result<u64, webpki::Error> {
    let subject = Subject::of(der).map_err(|_| webpki::Error::BadDer)?;
    if subject
        .usage
        .is_some_and(|bits| bits & usage::KEY_CERT_SIGN == 0)
    {
        return Err(webpki::Error::EndEntityUsedAsCa);
    }
    for name in subject.names.iter().flatten() {
        let Some(uri) = x509::uri(name) else {
            continue;
        };
        let uri = uri.map_err(|_| webpki::Error::BadDer)?;
        // One that is spelled amiss is nobody's, and not passed over.
        let is_spiffe = uri
            .get(..SCHEME.len())
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME));
        let own = id.trust_domain().as_str();
        if is_spiffe && uri.strip_prefix("spiffe://") != Some(own) {
            return Err(webpki::Error::NameConstraintViolation);
        }
    }
    subject.until.ok_or(webpki::Error::BadDer)
}

/// What a certificate must be for, where it says what it is for (RFC 5280, 4.2.1.12). As webpki's own,
/// which remembers each purpose of a certificate that has not the right one: a peer could fill
/// memory with that.
#[derive(Clone, Copy, Debug)]
enum Purpose {
    /// It belongs to a server.
    Server,
    /// It belongs to a client.
    Client,
}

impl Purpose {
    /// `id-kp-serverAuth` and `id-kp-clientAuth`.
    const fn oid(self) -> KeyPurposeId<'static> {
        match self {
            Self::Server => KeyPurposeId::new(&[0x2b, 6, 1, 5, 5, 7, 3, 1]),
            Self::Client => KeyPurposeId::new(&[0x2b, 6, 1, 5, 5, 7, 3, 2]),
        }
    }
}

impl ExtendedKeyUsageValidator for Purpose {
    fn validate(&self, purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        let mut none = true;
        for purpose in purposes {
            none = false;
            if purpose? == self.oid() {
                return Ok(());
            }
        }
        if none {
            return Ok(());
        }
        Err(webpki::Error::RequiredEkuNotFoundContext(
            RequiredEkuNotFoundContext {
                required: match self {
                    Self::Server => KeyUsage::server_auth(),
                    Self::Client => KeyUsage::client_auth(),
                },
                present: Vec::new(),
            },
        ))
    }
}

/// The SPIFFE ID of an X.509-SVID (X509-SVID, 2 to 4): the one URI it names, with a path,
/// in a certificate that may sign data and must not sign certificates. And until when it is valid,
/// in seconds since 1970.
pub(crate) fn svid_of(certificate: &CertificateDer<'_>) -> Result<(SpiffeId, u64), TlsError> {
    let subject = Subject::of(certificate)
        .map_err(|_| TlsError::Certificate("the SVID cannot be decoded"))?;
    let bits = subject
        .usage
        .ok_or(TlsError::Certificate("the SVID says no key usage"))?;
    if bits & usage::DIGITAL_SIGNATURE == 0 || bits & (usage::KEY_CERT_SIGN | usage::CRL_SIGN) != 0
    {
        return Err(TlsError::Certificate(
            "the SVID's key usage is not a leaf's",
        ));
    }
    let names = subject
        .names
        .ok_or(TlsError::Certificate("the SVID names nobody"))?;
    let mut uris = names.iter().filter_map(x509::uri);
    let (Some(Ok(uri)), None) = (uris.next(), uris.next()) else {
        return Err(TlsError::Certificate("the SVID has not exactly one URI"));
    };
    let id = SpiffeId::parse(uri)?;
    if !id.has_path() {
        return Err(TlsError::Certificate("the SVID names no workload"));
    }
    let until = (subject.until).ok_or(TlsError::Certificate("the SVID has no end"))?;
    Ok((id, until))
}

/// Until when a certificate is valid, in seconds since 1970.
pub(crate) fn until(certificate: &CertificateDer<'_>) -> Result<u64, TlsError> {
    let subject = Subject::of(certificate).ok();
    let until = subject.and_then(|subject| subject.until);
    until.ok_or(TlsError::Certificate(
        "a certificate of the chain cannot be decoded",
    ))
}

fn certificate_error(error: &webpki::Error) -> CertificateError {
    match error {
        webpki::Error::CertExpired { .. } => CertificateError::Expired,
        webpki::Error::CertNotValidYet { .. } => CertificateError::NotValidYet,
        webpki::Error::UnknownIssuer => CertificateError::UnknownIssuer,
        webpki::Error::InvalidSignatureForPublicKey => CertificateError::BadSignature,
        webpki::Error::BadDer => CertificateError::BadEncoding,
        webpki::Error::CertRevoked => CertificateError::Revoked,
        webpki::Error::RequiredEkuNotFoundContext(_) => CertificateError::InvalidPurpose,
        _ => CertificateError::ApplicationVerificationFailure,
    }
}

/// TLS 1.2 is not spoken here; its hooks exist in rustls' traits all the same.
fn no_tls12() -> Result<HandshakeSignatureValid, Error> {
    Err(Error::General("TLS 1.2 is not spoken".to_string()))
}

fn tls13_signature(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    verify_tls13_signature(message, certificate, signed, algorithms)
}

impl ServerCertVerifier for PeerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verify(end_entity, intermediates, Purpose::Server, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        tls13_signature(message, certificate, signed, &provider::ALGORITHMS)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider::ALGORITHMS.supported_schemes()
    }
}

impl ClientCertVerifier for PeerVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verify(end_entity, intermediates, Purpose::Client, now)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        tls13_signature(message, certificate, signed, &provider::ALGORITHMS)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider::ALGORITHMS.supported_schemes()
    }
}
