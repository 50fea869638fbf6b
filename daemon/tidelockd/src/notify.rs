// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What systemd is told (sd_notify(3)); nothing where it did not start us.

use std::time::Duration;

use sd_notify::NotifyState;
use tidelock_api::DeviceState;
use tokio::{sync::watch, time::interval};

use crate::device::View;

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!("systemd cannot be told anything: {error}");
    }
}

/// It answers, or will as soon as the module is there.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The configuration is being read again; [`ready`] ends it.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!("the clock cannot be read: {error}"),
    }
}

/// It stops.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Feeds the watchdog, where there is one, for as long as this is polled: a runtime that is stuck
/// does not, and systemd starts the daemon anew.
pub async fn watchdog() {
    let Some(period) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    let mut ticks = interval((period / 2).max(Duration::from_millis(1)));
    loop {
        ticks.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

/// Shows in `systemctl status` how it stands with the device.
pub async fn status(mut views: watch::Receiver<View>) {
    loop {
        let text = text_of(&views.borrow_and_update());
        tell(&[NotifyState::Status(&text)]);
        if views.changed().await.is_err() {
            return;
        }
    }
}

fn text_of(view: &View) -> String {
    match (view.state, &view.trouble) {
        (DeviceState::Serving, _) => "Answering the kernel".into(),
        (DeviceState::Opening, _) => "The device is open".into(),
        (DeviceState::Waiting, Some(trouble)) => format!("Not answering: {trouble}"),
        (DeviceState::Waiting, None) => "Opening the device".into(),
    }
}
