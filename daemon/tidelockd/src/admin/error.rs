// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is said when a request is not carried out.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::de::DeserializeOwned;
use tidelock_api::ErrorReport;

/// A request that is not carried out.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// It is not understood.
    #[error("the request is not understood: {0}")]
    Form(serde_json::Error),
    /// It cannot be done as it was asked for.
    #[error("{0}")]
    Refused(String),
    /// Who asks may not.
    #[error("only root may change things, and you are {0}: use sudo")]
    Forbidden(String),
    /// What was asked about is not there.
    #[error("{0}")]
    Missing(String),
    /// It cannot be told at present.
    #[error("{0}")]
    Unavailable(String),
    /// The daemon itself failed.
    #[error("{0}")]
    Internal(String),
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Form(_) => StatusCode::BAD_REQUEST,
            Self::Refused(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Missing(_) => StatusCode::NOT_FOUND,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let error = self.to_string();
        (status, Json(ErrorReport { error })).into_response()
    }
}

/// Reads a body.
pub(super) fn body<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(bytes).map_err(ApiError::Form)
}

/// Does what blocks on a thread that may.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(ApiError::Internal(error.to_string())))
}
