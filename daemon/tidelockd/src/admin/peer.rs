// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who is at the other end of the socket, by the kernel's word.

use axum::{extract::connect_info::Connected, serve::IncomingStream};
use tokio::net::UnixListener;

use crate::bounded::Bounded;

/// The credentials of who connected; none where the kernel does not tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer {
    uid: Option<u32>,
    pid: Option<i32>,
}

impl Peer {
    /// Whether it may change things: root, or the daemon's own user.
    pub fn may_change(self) -> bool {
        may_change(self.uid, rustix::process::geteuid().as_raw())
    }
}

/// The socket's mode says who may come at all; a change wants more than that.
fn may_change(peer: Option<u32>, own: u32) -> bool {
    peer.is_some_and(|uid| uid == 0 || uid == own)
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.uid, self.pid) {
            (Some(uid), Some(pid)) => write!(f, "uid {uid} (pid {pid})"),
            (Some(uid), None) => write!(f, "uid {uid}"),
            (None, _) => write!(f, "nobody known"),
        }
    }
}

impl Connected<IncomingStream<'_, Bounded<UnixListener>>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Bounded<UnixListener>>) -> Self {
        let credentials = stream.io().get().peer_cred().ok();
        Self {
            uid: credentials.map(|of| of.uid()),
            pid: credentials.and_then(|of| of.pid()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_root_and_the_daemon_itself_change_things() {
        assert!(may_change(Some(0), 990));
        assert!(may_change(Some(990), 990));
        assert!(!may_change(Some(1000), 990));
        assert!(!may_change(Some(1000), 0));
        assert!(!may_change(None, 0));
    }
}
