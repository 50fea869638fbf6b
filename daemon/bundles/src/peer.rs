// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whether a server is the workload that it must be: TLS by X.509-SVIDs, without names of hosts.

use std::sync::Arc;

use rustls_pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls_ring::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
};
use tidelock_tls::SpiffeId;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer as _};

use crate::Bundle;

/// A client that talks to `id` alone, as `bundle` vouches for it.
///
/// # Errors
/// When an authority of the bundle cannot be read.
pub(crate) fn client(id: SpiffeId, bundle: &Bundle) -> Result<ClientConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let anchors = bundle
        .authorities
        .iter()
        .map(|der| anchor_from_trusted_cert(der).map(|anchor| anchor.to_owned()))
        .collect::<Result<_, _>>()
        .map_err(|error| Error::General(format!("an authority of the bundle: {error:?}")))?;
    let verifier = Workload {
        id,
        anchors,
        provider: Arc::clone(&provider),
    };
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

/// X509-SVID, 5: the path, then whom the leaf names.
#[derive(Debug)]
struct Workload {
    id: SpiffeId,
    anchors: Vec<TrustAnchor<'static>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Workload {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let invalid = |error: webpki::Error| match error {
            webpki::Error::CertExpired { .. } => CertificateError::Expired,
            webpki::Error::CertNotValidYet { .. } => CertificateError::NotValidYet,
            webpki::Error::UnknownIssuer => CertificateError::UnknownIssuer,
            _ => CertificateError::BadSignature,
        };
        EndEntityCert::try_from(end_entity)
            .map_err(invalid)?
            .verify_for_usage(
                self.provider.signature_verification_algorithms.all,
                &self.anchors,
                intermediates,
                now,
                KeyUsage::server_auth(),
                None,
                None,
            )
            .map_err(invalid)?;
        if is_workload(end_entity, &self.id) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::NotValidForName.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

/// Whether a leaf names this workload and no other (X509-SVID, 2 and 5.2).
fn is_workload(leaf: &CertificateDer<'_>, id: &SpiffeId) -> bool {
    let Ok((&[], leaf)) = X509Certificate::from_der(leaf) else {
        return false;
    };
    let is_leafs = match leaf.key_usage() {
        Ok(Some(usage)) => {
            let usage = usage.value;
            usage.digital_signature() && !usage.key_cert_sign() && !usage.crl_sign()
        }
        Ok(None) | Err(_) => return false,
    };
    let Ok(Some(names)) = leaf.subject_alternative_name() else {
        return false;
    };
    let uris = names
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        });
    !leaf.is_ca() && is_leafs && uris.eq([id.as_str()])
}
