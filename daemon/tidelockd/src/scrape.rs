// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `GET /metrics`, on the loopback.

use std::{io, net::TcpListener, sync::Arc};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio_util::sync::CancellationToken;

use crate::{
    admin::{App, kernel},
    bounded::Bounded,
    metrics::Scrape,
};

/// What the text is, as OpenMetrics 1.0 wants it said.
const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How many readers there may be at once. Anybody on the host can come by.
const CONNECTIONS: usize = 8;

/// Serves until `stop`; only waits for that where metrics are not wanted.
///
/// # Errors
/// When the socket cannot be listened on.
pub async fn serve(
    listener: Option<TcpListener>,
    app: Arc<App>,
    stop: CancellationToken,
) -> io::Result<()> {
    let Some(listener) = listener else {
        stop.cancelled().await;
        return Ok(());
    };
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let listener = Bounded::new(listener, CONNECTIONS);
    let router = Router::new()
        .route("/metrics", get(metrics))
        .with_state(app);
    axum::serve(listener, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    let view = app.views.now();
    let policy = app.governor.policy_report();
    let scrape = Scrape {
        device: view.state,
        opened: view.opened,
        hashed: app.hasher.computed(),
        suppressed: app.audit.suppressed(),
        generation: policy.generation,
        trouble: policy.trouble.is_some(),
        authority_trouble: app.authority.trouble().is_some(),
        kernel: kernel(&view).await,
    };
    match app.metrics.text(&scrape) {
        Ok(text) => ([(header::CONTENT_TYPE, TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
