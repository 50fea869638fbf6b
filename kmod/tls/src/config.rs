// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The two ends of a connection. Each session has a configuration of its own, for each has its own
//! idea of who may be at the other end.

use alloc::{boxed::Box, sync::Arc};
use core::marker::PhantomData;

use rustls::{
    ClientConfig, ServerConfig,
    client::{Resumption, UnbufferedClientConnection},
    crypto::CryptoProvider,
    server::{NoServerSessionStorage, UnbufferedServerConnection},
    sign::SingleCertAndKey,
    version::TLS13,
};
use rustls_pki_types::ServerName;

use crate::{
    Expected, Identity, Platform, Session, TlsError, Trust, platform::Ambient, provider::provider,
    session::Unbuffered, verify::PeerVerifier,
};

/// A session of a client that is `identity` and talks to servers that are `expected`, by `trust`;
/// its first flight is ready to be sent.
///
/// # Errors
/// When randomness is missing, or rustls refuses the configuration.
#[inline(never)]
pub fn connect<P: Platform>(
    identity: &Identity,
    trust: Arc<Trust>,
    expected: Expected,
) -> Result<Box<dyn Session>, TlsError> {
    connect_by::<P>(provider::<P>(), identity, trust, expected)
}

/// As [`connect`], over a given provider.
pub(crate) fn connect_by<P: Platform>(
    provider: Arc<CryptoProvider>,
    identity: &Identity,
    trust: Arc<Trust>,
    expected: Expected,
) -> Result<Box<dyn Session>, TlsError> {
    let verifier = Arc::new(PeerVerifier::new(trust, expected));
    let mut config =
        ClientConfig::builder_with_details(provider, Arc::new(Ambient::<P>(PhantomData)))
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier) as _)
            .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified())));
    // The peer is a SPIFFE ID, not a host: there is no name to send, and a resumed session would
    // skip the certificate.
    config.enable_sni = false;
    config.resumption = Resumption::disabled();
    config.enable_secret_extraction = true;
    // rustls wants a name; the verifier does not look at it and SNI is off.
    let name = ServerName::IpAddress(rustls_pki_types::IpAddr::V4([0; 4].into()));
    let connection = UnbufferedClientConnection::new(Arc::new(config), name)?;
    Unbuffered::start(connection, verifier)
}

/// A session of a server that is `identity` and lets clients in that are `expected`, by `trust`; it
/// waits for the client's first flight. A client without a certificate is refused.
///
/// # Errors
/// When randomness is missing, or rustls refuses the configuration.
#[inline(never)]
pub fn accept<P: Platform>(
    identity: &Identity,
    trust: Arc<Trust>,
    expected: Expected,
) -> Result<Box<dyn Session>, TlsError> {
    accept_by::<P>(provider::<P>(), identity, trust, expected)
}

/// As [`accept`], over a given provider.
pub(crate) fn accept_by<P: Platform>(
    provider: Arc<CryptoProvider>,
    identity: &Identity,
    trust: Arc<Trust>,
    expected: Expected,
) -> Result<Box<dyn Session>, TlsError> {
    let verifier = Arc::new(PeerVerifier::new(trust, expected));
    let mut config =
        ServerConfig::builder_with_details(provider, Arc::new(Ambient::<P>(PhantomData)))
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(Arc::clone(&verifier) as _)
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified())));
    // kTLS cannot read a record that is not data, so none may follow the handshake.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.enable_secret_extraction = true;
    let connection = UnbufferedServerConnection::new(Arc::new(config))?;
    Unbuffered::start(connection, verifier)
}
