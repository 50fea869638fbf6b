// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Whether the peer is who we expect: its SPIFFE ID, and its chain up to that domain's bundle.

use alloc::{boxed::Box, string::ToString as _, sync::Arc, vec::Vec};

use once_cell::race::OnceBox;

use crate::{
    Expected, Peer, SpiffeId, TlsError, Trust, provider,
    trust::{KeyDigest, key_digest},
    x509::{self, Subject, usage},
};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use rustls_pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage as ExtendedKeyUsage};

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
        usage: ExtendedKeyUsage,
        now: UnixTime,
    ) -> Result<(), Error> {
        let (id, until) = svid_of(certificate).map_err(|_| CertificateError::NotValidForName)?;
        let anchors = self.trust.anchors(id.trust_domain());
        let authorities = verify_chain(certificate, intermediates, &anchors, usage, now)?;
        if self.trust.is_void(&id, &authorities, now.as_secs()) {
            return Err(CertificateError::Revoked.into());
        }
        if !self.expected.allows(&id) {
            return Err(CertificateError::NotValidForName.into());
        }
        // A session has one peer, and TLS 1.3 shows its certificate once.
        (self.found.set(Box::new(Peer::new(id, authorities, until))))
            .map_err(|_| Error::General("a second certificate".to_string()))
    }
}

/// Apart from the rest, for its stack is the deepest of all: two signatures are checked, or more.
/// The keys of who vouches, the nearest first.
#[inline(never)]
fn verify_chain(
    certificate: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    anchors: &[TrustAnchor<'_>],
    usage: ExtendedKeyUsage,
    now: UnixTime,
) -> Result<Vec<KeyDigest>, Error> {
    let invalid = |error: webpki::Error| Error::from(certificate_error(&error));
    let certificate = EndEntityCert::try_from(certificate).map_err(invalid)?;
    let path = certificate
        .verify_for_usage(
            provider::ALGORITHMS.all,
            anchors,
            intermediates,
            now,
            usage,
            None,
            None,
        )
        .map_err(invalid)?;
    let mut keys: Vec<KeyDigest> = path
        .intermediate_certificates()
        .map(|issuer| x509::digest(&issuer.subject_public_key_info()))
        .collect();
    keys.push(key_digest(path.anchor()).map_err(|_| CertificateError::BadEncoding)?);
    Ok(keys)
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
    let (Some(uri), None) = (uris.next(), uris.next()) else {
        return Err(TlsError::Certificate("the SVID has not exactly one URI"));
    };
    let id = SpiffeId::parse(uri)?;
    if !id.has_path() {
        return Err(TlsError::Certificate("the SVID names no workload"));
    }
    let until = (subject.until).ok_or(TlsError::Certificate("the SVID has no end"))?;
    Ok((id, until))
}

fn certificate_error(error: &webpki::Error) -> CertificateError {
    match error {
        webpki::Error::CertExpired { .. } => CertificateError::Expired,
        webpki::Error::CertNotValidYet { .. } => CertificateError::NotValidYet,
        webpki::Error::UnknownIssuer => CertificateError::UnknownIssuer,
        webpki::Error::InvalidSignatureForPublicKey => CertificateError::BadSignature,
        webpki::Error::BadDer => CertificateError::BadEncoding,
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
        self.verify(
            end_entity,
            intermediates,
            ExtendedKeyUsage::server_auth(),
            now,
        )?;
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
        self.verify(
            end_entity,
            intermediates,
            ExtendedKeyUsage::client_auth(),
            now,
        )?;
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
