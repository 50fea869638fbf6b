// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The two sides of a connection, before it exists.

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
    Expected, Identity, Platform, Session, TlsError, TrustBundle, platform::Ambient, provider,
    session::Unbuffered, verify::PeerVerifier,
};

/// Opens connections as one identity.
#[derive(Clone, Debug)]
pub struct Client(Arc<ClientConfig>);

impl Client {
    /// A client that is `identity` and talks to servers that are `expected` by `bundle`.
    ///
    /// # Errors
    /// When rustls refuses the configuration.
    #[inline(never)]
    pub fn new<P: Platform>(
        identity: &Identity,
        bundle: TrustBundle,
        expected: Expected,
    ) -> Result<Self, TlsError> {
        Self::with_provider::<P>(provider::provider::<P>(), identity, bundle, expected)
    }

    /// As [`Self::new`], over a given provider.
    pub(crate) fn with_provider<P: Platform>(
        provider: Arc<CryptoProvider>,
        identity: &Identity,
        bundle: TrustBundle,
        expected: Expected,
    ) -> Result<Self, TlsError> {
        let mut config =
            ClientConfig::builder_with_details(provider, Arc::new(Ambient::<P>(PhantomData)))
                .with_protocol_versions(&[&TLS13])?
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(PeerVerifier { bundle, expected }))
                .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified())));
        // The peer is a SPIFFE ID, not a host: there is no name to send, and a resumed
        // session would skip the certificate.
        config.enable_sni = false;
        config.resumption = Resumption::disabled();
        config.enable_secret_extraction = true;
        Ok(Self(Arc::new(config)))
    }

    /// A new session; its first flight is ready to be sent.
    ///
    /// # Errors
    /// When randomness is missing.
    #[inline(never)]
    pub fn connect(&self) -> Result<Box<dyn Session>, TlsError> {
        // rustls wants a name; the verifier does not look at it and SNI is off.
        let name = ServerName::IpAddress(rustls_pki_types::IpAddr::V4([0; 4].into()));
        let connection = UnbufferedClientConnection::new(Arc::clone(&self.0), name)?;
        Unbuffered::start(connection)
    }
}

/// Accepts connections as one identity.
#[derive(Clone, Debug)]
pub struct Server(Arc<ServerConfig>);

impl Server {
    /// A server that is `identity` and lets clients in that are `expected` by `bundle`. A
    /// client without a certificate is refused.
    ///
    /// # Errors
    /// When rustls refuses the configuration.
    #[inline(never)]
    pub fn new<P: Platform>(
        identity: &Identity,
        bundle: TrustBundle,
        expected: Expected,
    ) -> Result<Self, TlsError> {
        Self::with_provider::<P>(provider::provider::<P>(), identity, bundle, expected)
    }

    /// As [`Self::new`], over a given provider.
    pub(crate) fn with_provider<P: Platform>(
        provider: Arc<CryptoProvider>,
        identity: &Identity,
        bundle: TrustBundle,
        expected: Expected,
    ) -> Result<Self, TlsError> {
        let mut config =
            ServerConfig::builder_with_details(provider, Arc::new(Ambient::<P>(PhantomData)))
                .with_protocol_versions(&[&TLS13])?
                .with_client_cert_verifier(Arc::new(PeerVerifier { bundle, expected }))
                .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified())));
        // kTLS cannot read a record that is not data, so none may follow the handshake.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.enable_secret_extraction = true;
        Ok(Self(Arc::new(config)))
    }

    /// A new session; it waits for the client's first flight.
    ///
    /// # Errors
    /// When randomness is missing.
    #[inline(never)]
    pub fn accept(&self) -> Result<Box<dyn Session>, TlsError> {
        let connection = UnbufferedServerConnection::new(Arc::clone(&self.0))?;
        Unbuffered::start(connection)
    }
}
