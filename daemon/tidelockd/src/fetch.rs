// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The policy of a server: asked for again and again, and offered to the governor.
//!
//! What fails leaves what is in force, is told, and is tried again sooner than usual.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc, time::Duration};

use tidelock_https::pause;
use tidelock_policy::remote::{Algorithm, Remote, RemoteConfig, RemoteError, Verifier};
use tokio::{sync::watch, time::sleep};

use crate::{
    config::{Server, Signed},
    governor::Governor,
};

/// After the first failure; twice as long after each further one, up to the interval.
const FIRST: Duration = Duration::from_secs(1);

/// There is nothing to take.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    /// A file that the configuration names cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        path: String,
        source: std::io::Error,
    },
    /// A secret that is none.
    #[error("{path} may be read by others, and whoever knows it can sign: chmod o= {path}")]
    Shared { path: String },
    /// The server has nothing that is good.
    #[error(transparent)]
    Remote(#[from] RemoteError),
}

/// Asks for as long as this is polled: whatever server is configured now, anew when that was read
/// again.
pub async fn run(mut servers: watch::Receiver<Option<Server>>, governor: Arc<Governor>) {
    loop {
        let server = servers.borrow_and_update().clone();
        let changed = tokio::select! {
            changed = servers.changed() => changed,
            () = ask(server.as_ref(), &governor) => return,
        };
        if changed.is_err() {
            return;
        }
    }
}

async fn ask(server: Option<&Server>, governor: &Arc<Governor>) {
    let Some(server) = server else {
        return std::future::pending().await;
    };
    let mut remote = None;
    let mut again = FIRST;
    loop {
        let wait = match once(&mut remote, server, governor).await {
            Ok(()) => {
                again = FIRST;
                server.interval
            }
            Err(error) => {
                governor.complain(&server.shown, &error.to_string());
                let wait = again.min(server.interval);
                again = wait * 2;
                wait
            }
        };
        sleep(pause(wait, fastrand::f64())).await;
    }
}

/// Asks once; makes what asks, where that has not been possible yet.
async fn once(
    remote: &mut Option<Remote>,
    server: &Server,
    governor: &Arc<Governor>,
) -> Result<(), FetchError> {
    let remote = match remote {
        Some(remote) => remote,
        None => remote.insert(Remote::new(config(server)?)?),
    };
    let (taker, source) = (Arc::clone(governor), server.shown.clone());
    let taken = remote.poll(move |bundle| {
        taker
            .offer(&bundle, &source)
            .map_err(|error| RemoteError::NotTaken(error.to_string()))
    });
    if taken.await?.is_none() {
        governor.settled();
    }
    Ok(())
}

/// With what is in the files that the configuration names.
fn config(server: &Server) -> Result<RemoteConfig, FetchError> {
    Ok(RemoteConfig {
        url: server.url.clone(),
        timeout: server.timeout,
        authorities: server.authorities.as_deref().map(read).transpose()?,
        verifier: server.signed.as_ref().map(verifier).transpose()?,
    })
}

fn verifier(signed: &Signed) -> Result<Verifier, FetchError> {
    if signed.algorithm == Algorithm::Hs256 {
        let mode = fs::metadata(&signed.key).map(|of| of.permissions().mode());
        if mode.map_err(unreadable(&signed.key))? & 0o007 != 0 {
            let path = signed.key.display().to_string();
            return Err(FetchError::Shared { path });
        }
    }
    let key = read(&signed.key)?;
    let made = Verifier::new(signed.algorithm, &key, signed.scope.clone());
    Ok(made.map_err(RemoteError::from)?)
}

fn read(path: &Path) -> Result<Vec<u8>, FetchError> {
    fs::read(path).map_err(unreadable(path))
}

fn unreadable(path: &Path) -> impl FnOnce(std::io::Error) -> FetchError {
    let path = path.display().to_string();
    move |source| FetchError::Read { path, source }
}
