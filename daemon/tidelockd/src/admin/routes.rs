// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is at which path, but for what is about policies.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{ConnectInfo, State},
    http::{Method, Uri},
    routing::{get, post},
};
use tidelock_api::{
    AuthorityReport, ConnectionsReport, DeniedReport, DeviceReport, ExplainReport, ExplainRequest,
    KernelReport, ModeReport, ModeRequest, ModuleReport, ReasonsReport, StatusReport, connections,
    paths,
};
use tidelock_wire::{Capabilities, EngineState, Hello, Request, Status};

use super::{
    ApiError, App, Peer,
    error::{blocking, body},
    policy,
};
use crate::{audit::rfc3339, device::View, explain, serve::mode};

/// How many of the refused are told.
const TOP: usize = 100;
/// How long the kernel may take to tell how it goes.
const PATIENCE: Duration = Duration::from_secs(2);

type Answer<T> = Result<Json<T>, ApiError>;
pub(super) type Shared = State<Arc<App>>;

pub(super) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route(paths::STATUS, get(status))
        .route(paths::MODE, get(get_mode).put(set_mode))
        .route(paths::CONNECTIONS, get(table))
        .route(paths::EXPLAIN, post(explain))
        .route(paths::DENIED, get(denied))
        .route(paths::REASONS, get(reasons))
        .route(paths::POLICY, get(policy::now))
        .route(paths::ACTIVATE, post(policy::activate))
        .route(paths::ROLLBACK, post(policy::rollback))
        .route(paths::TEST, post(policy::test))
        .route(paths::HISTORY, get(policy::history))
        .fallback(nothing)
        .method_not_allowed_fallback(other_method)
        .with_state(app)
}

async fn nothing(uri: Uri) -> ApiError {
    ApiError::Missing(format!("there is nothing at {}", uri.path()))
}

async fn other_method(method: Method, uri: Uri) -> ApiError {
    ApiError::Refused(format!("{} does not take {method}", uri.path()))
}

/// Refuses who may not change things; tells who does.
pub(super) fn may_change(peer: Peer, what: &str) -> Result<(), ApiError> {
    if !peer.may_change() {
        tracing::warn!("{what} was refused to {peer}");
        return Err(ApiError::Forbidden(peer.to_string()));
    }
    tracing::info!("{what} by {peer}");
    Ok(())
}

async fn status(State(app): Shared) -> Answer<StatusReport> {
    let view = app.views.now();
    let kernel = kernel(&view).await;
    Ok(Json(StatusReport {
        version: env!("CARGO_PKG_VERSION").into(),
        started: rfc3339(app.started),
        mode: mode_report(&app, kernel.as_ref()),
        policy: app.governor.policy_report(),
        device: DeviceReport {
            path: app.place.clone(),
            state: view.state,
            trouble: view.trouble,
            module: view.hello.as_ref().map(module),
            opened: view.opened,
        },
        authority: authority(&app),
        kernel,
        counts: app
            .metrics
            .counts(app.hasher.computed(), app.audit.suppressed()),
    }))
}

fn authority(app: &App) -> AuthorityReport {
    let (issued, refused) = app.metrics.svids();
    AuthorityReport {
        trust_domain: app.authority.trust_domain().map(str::to_owned),
        trouble: app.authority.trouble(),
        issued,
        refused,
    }
}

async fn get_mode(State(app): Shared) -> Answer<ModeReport> {
    let kernel = kernel(&app.views.now()).await;
    Ok(Json(mode_report(&app, kernel.as_ref())))
}

async fn set_mode(
    State(app): Shared,
    ConnectInfo(peer): ConnectInfo<Peer>,
    bytes: Bytes,
) -> Answer<ModeReport> {
    let ModeRequest { mode } = body(&bytes)?;
    let word = mode.map_or("as configured", |mode| mode.name());
    may_change(peer, &format!("setting the mode to {word}"))?;
    let inner = Arc::clone(&app);
    blocking(move || {
        let set = inner.governor.set_mode(mode);
        set.map_err(|error| ApiError::Internal(error.to_string()))
    })
    .await?;
    reach_kernel(&app).await;
    get_mode(State(app)).await
}

/// Waits until the kernel has what is to be in force: who has changed something counts on it from
/// then on. Not where the kernel cannot be told, and not for long.
pub(super) async fn reach_kernel(app: &App) {
    let wanted = app.governor.settings();
    let mut views = app.views.watch();
    let reached = views.wait_for(|view| {
        view.session.is_none() || view.in_force.as_ref() == Some(&*wanted.borrow())
    });
    if tokio::time::timeout(PATIENCE, reached).await.is_err() {
        tracing::warn!("the kernel has not said yet that what was changed is in force");
    }
}

fn mode_report(app: &App, kernel: Option<&KernelReport>) -> ModeReport {
    let (mode, source) = app.governor.mode();
    ModeReport {
        mode,
        source,
        kernel: kernel.map(|kernel| kernel.mode),
    }
}

async fn table(State(app): Shared) -> Answer<ConnectionsReport> {
    blocking(move || {
        let text = std::fs::read_to_string(connections::TABLE).map_err(|error| {
            let told = format!("cannot read {}: {error}", connections::TABLE);
            match error.kind() {
                io::ErrorKind::NotFound => {
                    ApiError::Unavailable(format!("{told}: is the module loaded?"))
                }
                _ => ApiError::Internal(told),
            }
        })?;
        let mut all =
            connections::parse(&text).map_err(|error| ApiError::Internal(error.to_string()))?;
        for connection in &mut all {
            connection.reason_text = app.reasons.text(connection.reason);
        }
        Ok(Json(ConnectionsReport { connections: all }))
    })
    .await
}

async fn explain(State(app): Shared, bytes: Bytes) -> Answer<ExplainReport> {
    let request: ExplainRequest = body(&bytes)?;
    blocking(move || {
        let ruling = app.governor.ruling();
        let settings = *app.governor.settings().borrow();
        let deadline = Instant::now() + PATIENCE * 5;
        explain::explain(&app.attestors, &ruling, &settings, &request, deadline)
            .map(Json)
            .map_err(|error| match error {
                explain::ExplainError::Gone(_) => ApiError::Missing(error.to_string()),
                _ => ApiError::Refused(error.to_string()),
            })
    })
    .await
}

async fn denied(State(app): Shared) -> Answer<DeniedReport> {
    Ok(Json(app.denied.top(TOP)))
}

async fn reasons(State(app): Shared) -> Answer<ReasonsReport> {
    Ok(Json(ReasonsReport {
        reasons: app.reasons.all(),
    }))
}

/// Asks the kernel how it goes; none where it does not say.
pub(crate) async fn kernel(view: &View) -> Option<KernelReport> {
    let session = view.session.as_ref()?;
    let status = tokio::time::timeout(PATIENCE, session.request(Request::Status)).await;
    match status {
        Ok(Ok(status)) => Some(report(&status)),
        Ok(Err(error)) => {
            tracing::warn!("the kernel does not tell how it goes: {error}");
            None
        }
        Err(_) => None,
    }
}

fn report(status: &Status) -> KernelReport {
    let counters = status.counters;
    KernelReport {
        mode: mode(status.mode),
        generation: status.generation,
        deadline_ms: status.deadline_ms,
        waiting: status.waiting,
        kept: status.kept,
        connects: counters.connects,
        accepts: counters.accepts,
        hits: counters.hits,
        asks: counters.asks,
        allowed: counters.allowed,
        denied: counters.denied,
        would_deny: counters.would_deny,
        timeouts: counters.timeouts,
        overflows: counters.overflows,
        late: counters.late,
        stale: counters.stale,
        dropped: counters.dropped,
    }
}

fn module(hello: &Hello) -> ModuleReport {
    let of = hello.module;
    let known = Capabilities::all().iter_names();
    ModuleReport {
        version: format!("{}.{}.{}", of.major, of.minor, of.patch),
        abi: hello.abi,
        capabilities: known
            .filter(|(_, capability)| hello.capabilities.contains(*capability))
            .map(|(name, _)| name.to_ascii_lowercase().replace('_', "-"))
            .collect(),
        ready: hello.engine == EngineState::Ready,
        panics: hello.panics,
        frames_refused: hello.frames_refused,
    }
}
