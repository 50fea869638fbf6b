// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Keeps the device open, for as long as the daemon runs.

use std::sync::Arc;

use tidelock_wire::{MAX_FRAME, Request, Settings};
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{Backoff, Place, Session, SessionError, Views};
use crate::serve::Server;

/// What the keeper works with.
#[derive(Debug)]
pub struct Keeper {
    /// Where the device is.
    pub place: Place,
    /// What is to be in force.
    pub settings: watch::Receiver<Settings>,
    /// Who answers.
    pub server: Arc<Server>,
    /// Where it is told how it stands.
    pub views: Arc<Views>,
}

impl Keeper {
    /// Opens the device, again and again if need be, until `stop`. What it has been asked by then
    /// is answered before this returns.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut backoff = Backoff::new();
        loop {
            let session = tokio::select! {
                () = stop.cancelled() => break,
                opened = Session::open(&self.place) => opened,
            };
            let error = match session {
                Ok((session, hello)) => {
                    tracing::info!(
                        device = %self.place,
                        module = %format_args!(
                            "{}.{}.{}", hello.module.major, hello.module.minor, hello.module.patch
                        ),
                        "the device is open"
                    );
                    let session = Arc::new(session);
                    self.views.opened(&session, hello);
                    tokio::select! {
                        () = stop.cancelled() => {
                            // Listening has ended; what was taken on is answered.
                            self.server.drain().await;
                            break;
                        }
                        error = self.serve(&session, &mut backoff) => error,
                    }
                }
                Err(error) => error,
            };
            if self.views.lost(error.to_string()) {
                tracing::error!(
                    device = %self.place,
                    "{error}; trying again until it answers. Meanwhile the kernel decides by \
                     what was in force, and refuses what it cannot ask about"
                );
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = sleep(backoff.step()) => {}
            }
        }
    }

    /// Serves until the device is lost.
    async fn serve(&mut self, session: &Arc<Session>, backoff: &mut Backoff) -> SessionError {
        let server = Arc::clone(&self.server);
        let mut buffer = Box::new([0; MAX_FRAME]);
        let listening = async {
            loop {
                match session.asked(&mut buffer).await {
                    Ok(asked) => server.take(session, asked).await,
                    Err(error) => break error,
                }
            }
        };
        tokio::select! {
            error = listening => error,
            error = self.configure(session, backoff) => error,
        }
    }

    /// Puts the settings in force, and again whenever they change.
    async fn configure(&mut self, session: &Session, backoff: &mut Backoff) -> SessionError {
        loop {
            let settings = *self.settings.borrow_and_update();
            match session.request(Request::Configure(settings)).await {
                Ok(status) => tracing::info!(
                    mode = ?status.mode,
                    generation = status.generation,
                    "the settings are in force"
                ),
                Err(error) => return error,
            }
            self.views.serving(&settings);
            *backoff = Backoff::new();
            if self.settings.changed().await.is_err() {
                // Nobody can change them any more: what remains is to listen.
                std::future::pending::<()>().await;
            }
        }
    }
}
