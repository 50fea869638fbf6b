// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The runtime of commands that wait, and what an interrupt does to them.

use std::{future::Future, time::Duration};

use anyhow::{Context as _, Result};
use tidelock_host::process;
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::Interrupted;

/// How long stages that compute may take to notice that they were stopped.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Runs `work` to its end, or to an interrupt.
///
/// On SIGINT, SIGTERM or SIGHUP the future is dropped, and with it every child it holds; then
/// the children that threads wait for are killed; then the threads are waited for, so that
/// each removes what it had half done.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let result = runtime.block_on(async {
        tokio::select! {
            result = work => result,
            interrupted = interrupted() => Err(interrupted),
        }
    });
    if result.as_ref().is_err_and(anyhow::Error::is::<Interrupted>) {
        process::cancel();
    }
    runtime.shutdown_timeout(PATIENCE);
    result
}

/// Ends with the first request to stop.
async fn interrupted() -> anyhow::Error {
    let on = |kind| signal(kind).context("listening for signals");
    let wait = async {
        let (mut interrupt, mut terminate, mut hangup) = (
            on(SignalKind::interrupt())?,
            on(SignalKind::terminate())?,
            on(SignalKind::hangup())?,
        );
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
        anyhow::Ok(())
    };
    match wait.await {
        Ok(()) => Interrupted.into(),
        Err(error) => error,
    }
}
