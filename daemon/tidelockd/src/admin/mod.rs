// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The administrators' interface: HTTP/1 over a Unix socket. What is said stands in
//! `tidelock-api`; what it means, in `docs/daemon.md`.

mod error;
mod peer;
mod policy;
mod routes;
pub mod socket;

use std::{io, os::unix::net::UnixListener, sync::Arc, time::SystemTime};

use tokio_util::sync::CancellationToken;

pub(crate) use self::routes::kernel;
pub use self::{error::ApiError, peer::Peer, socket::SocketError};
use crate::{
    attest::{Attestors, Hasher},
    audit::Audit,
    authority::Authority,
    bounded::Bounded,
    denied::Table,
    device::Views,
    governor::Governor,
    metrics::Metrics,
    reasons::Reasons,
};

/// How many administrators are heard at once.
const CONNECTIONS: usize = 64;

/// What questions are answered from.
#[derive(Debug)]
#[expect(missing_docs, reason = "each is documented as a type")]
pub struct App {
    /// When the daemon started.
    pub started: SystemTime,
    /// Where the device is, for people.
    pub place: String,
    pub governor: Arc<Governor>,
    pub views: Arc<Views>,
    pub authority: Arc<Authority>,
    pub attestors: Attestors,
    pub hasher: Arc<Hasher>,
    pub reasons: Arc<Reasons>,
    pub denied: Arc<Table>,
    pub audit: Audit,
    pub metrics: Arc<Metrics>,
}

/// Serves until `stop`; requests that have begun are answered.
///
/// # Errors
/// When the socket cannot be listened on.
pub async fn serve(
    listener: UnixListener,
    app: Arc<App>,
    stop: CancellationToken,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::UnixListener::from_std(listener)?;
    let listener = Bounded::new(listener, CONNECTIONS);
    let service = routes::router(app).into_make_service_with_connect_info::<Peer>();
    axum::serve(listener, service)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}
