// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Whether the peer is who we expect: its chain up to a trust bundle, then its SPIFFE ID.

use alloc::{string::ToString as _, vec::Vec};

use crate::{
    SpiffeId, TlsError, TrustDomain, provider,
    x509::{self, Subject, usage},
};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use rustls_pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage as ExtendedKeyUsage, anchor_from_trusted_cert};

/// The authorities of one trust domain. They speak for that domain and for no other.
#[derive(Clone, Debug)]
pub struct TrustBundle {
    domain: TrustDomain,
    anchors: Vec<TrustAnchor<'static>>,
}

impl TrustBundle {
    /// The bundle of `domain` with its authorities' certificates in DER.
    ///
    /// # Errors
    /// When a certificate cannot be read.
    pub fn new<'a>(
        domain: TrustDomain,
        authorities: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Self, TlsError> {
        let anchors = authorities
            .into_iter()
            .map(|der| {
                anchor_from_trusted_cert(&CertificateDer::from(der))
                    .map(|anchor| anchor.to_owned())
                    .map_err(|_| TlsError::Certificate("an authority's cannot be read"))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { domain, anchors })
    }
}

/// Who may be at the other end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Expected {
    /// This workload only.
    Id(SpiffeId),
    /// Any workload of the trust bundle's domain.
    AnyOfDomain,
}

/// Checks the peer's certificate, for either side.
#[derive(Debug)]
pub(crate) struct PeerVerifier {
    pub(crate) bundle: TrustBundle,
    pub(crate) expected: Expected,
}

impl PeerVerifier {
    fn verify(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        usage: ExtendedKeyUsage,
        now: UnixTime,
    ) -> Result<(), Error> {
        self.verify_chain(certificate, intermediates, usage, now)?;
        let id = spiffe_id_of(certificate).map_err(|_| CertificateError::NotValidForName)?;
        // The bundle's authorities could sign a name of another domain; it would be void.
        let expected = match &self.expected {
            Expected::Id(expected) => id == *expected,
            Expected::AnyOfDomain => true,
        };
        if !expected || *id.trust_domain() != self.bundle.domain {
            return Err(CertificateError::NotValidForName.into());
        }
        Ok(())
    }

    /// Apart from the rest, for its stack is the deepest of all: two signatures are checked.
    #[inline(never)]
    fn verify_chain(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        usage: ExtendedKeyUsage,
        now: UnixTime,
    ) -> Result<(), Error> {
        let invalid = |error: webpki::Error| Error::from(certificate_error(&error));
        EndEntityCert::try_from(certificate)
            .map_err(invalid)?
            .verify_for_usage(
                provider::ALGORITHMS.all,
                &self.bundle.anchors,
                intermediates,
                now,
                usage,
                None,
                None,
            )
            .map_err(invalid)?;
        Ok(())
    }
}

/// The SPIFFE ID of an X.509-SVID (X509-SVID, 2 to 4): the one URI it names, with a path,
/// in a certificate that may sign data and must not sign certificates.
pub(crate) fn spiffe_id_of(certificate: &CertificateDer<'_>) -> Result<SpiffeId, TlsError> {
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
    Ok(id)
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
