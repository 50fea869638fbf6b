// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What everybody may know of the device.

use std::sync::Arc;

use tidelock_api::DeviceState;
use tidelock_wire::{Hello, Settings};
use tokio::sync::watch;

use super::session::Session;

/// How it stands with the device.
#[derive(Clone, Debug)]
pub struct View {
    /// How far it is open.
    pub state: DeviceState,
    /// What went wrong last, while it is not open.
    pub trouble: Option<String>,
    /// The last hello.
    pub hello: Option<Hello>,
    /// How often it was opened.
    pub opened: u64,
    /// What to ask it by, while it is open.
    pub session: Option<Arc<Session>>,
    /// What the kernel has said is in force; none before it has, and while it is not open.
    pub in_force: Option<Settings>,
}

/// Where the view is kept.
#[derive(Debug)]
pub struct Views(watch::Sender<View>);

impl Views {
    /// Of a device that has not been opened.
    pub fn new() -> Self {
        Self(watch::Sender::new(View {
            state: DeviceState::Waiting,
            trouble: None,
            hello: None,
            opened: 0,
            session: None,
            in_force: None,
        }))
    }

    /// How it stands now.
    pub fn now(&self) -> View {
        self.0.borrow().clone()
    }

    /// To wait for changes.
    pub fn watch(&self) -> watch::Receiver<View> {
        self.0.subscribe()
    }

    /// It was opened.
    pub(super) fn opened(&self, session: &Arc<Session>, hello: Hello) {
        self.0.send_modify(|view| {
            view.state = DeviceState::Opening;
            view.trouble = None;
            view.hello = Some(hello);
            view.opened += 1;
            view.session = Some(Arc::clone(session));
        });
    }

    /// These settings are in force.
    pub(super) fn serving(&self, settings: &Settings) {
        self.0.send_modify(|view| {
            view.state = DeviceState::Serving;
            view.in_force = Some(*settings);
        });
    }

    /// It is closed, or cannot be opened. Returns whether that is news.
    pub(super) fn lost(&self, trouble: String) -> bool {
        let mut news = false;
        self.0.send_modify(|view| {
            news = view.trouble.as_deref() != Some(&trouble);
            view.state = DeviceState::Waiting;
            view.trouble = Some(trouble);
            view.session = None;
            view.in_force = None;
        });
        news
    }
}

impl Default for Views {
    fn default() -> Self {
        Self::new()
    }
}
