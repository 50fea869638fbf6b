// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is at the paths about policies.

use std::{path::Path, sync::Arc};

use axum::{
    Json,
    body::Bytes,
    extract::{ConnectInfo, State},
};
use tidelock_api::{ActivateRequest, HistoryReport, PolicyReport, TestReport, TestRequest};

use super::{
    ApiError, Peer,
    error::{blocking, body},
    routes::{Shared, may_change, reach_kernel},
};
use crate::governor::GovernError;

pub(super) async fn now(State(app): Shared) -> Json<PolicyReport> {
    Json(app.governor.policy_report())
}

pub(super) async fn activate(
    State(app): Shared,
    ConnectInfo(peer): ConnectInfo<Peer>,
    bytes: Bytes,
) -> Result<Json<PolicyReport>, ApiError> {
    let ActivateRequest { path } = body(&bytes)?;
    absolute(&path)?;
    may_change(peer, &format!("activating {}", path.display()))?;
    let inner = Arc::clone(&app);
    blocking(move || inner.governor.activate(&path).map_err(refused)).await?;
    reach_kernel(&app).await;
    Ok(now(State(app)).await)
}

pub(super) async fn rollback(
    State(app): Shared,
    ConnectInfo(peer): ConnectInfo<Peer>,
) -> Result<Json<PolicyReport>, ApiError> {
    may_change(peer, "rolling back the policy")?;
    let inner = Arc::clone(&app);
    blocking(move || inner.governor.rollback().map_err(refused)).await?;
    reach_kernel(&app).await;
    Ok(now(State(app)).await)
}

/// For root as well: the folder is read with the daemon's rights.
pub(super) async fn test(
    State(app): Shared,
    ConnectInfo(peer): ConnectInfo<Peer>,
    bytes: Bytes,
) -> Result<Json<TestReport>, ApiError> {
    let TestRequest { path } = body(&bytes)?;
    absolute(&path)?;
    may_change(peer, &format!("testing {}", path.display()))?;
    blocking(move || app.governor.test(&path).map(Json).map_err(refused)).await
}

pub(super) async fn history(State(app): Shared) -> Result<Json<HistoryReport>, ApiError> {
    blocking(move || app.governor.history().map(Json).map_err(refused)).await
}

fn absolute(path: &Path) -> Result<(), ApiError> {
    if path.is_absolute() {
        return Ok(());
    }
    let told = format!("`{}` is no absolute path", path.display());
    Err(ApiError::Refused(told))
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn refused(error: GovernError) -> ApiError {
    ApiError::Refused(error.to_string())
}
