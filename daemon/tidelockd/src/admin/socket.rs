// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The socket that administrators come by: systemd's, or one that is made here.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::{fs::PermissionsExt as _, net::UnixListener},
    path::{Path, PathBuf},
};

use rustix::fs::{Gid, chown};

use crate::state;

/// There is no socket to listen on.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// systemd hands over what cannot be used.
    #[error("the socket that systemd hands over cannot be used: {0}: see tidelockd.socket")]
    Activation(io::Error),
    /// Another daemon listens there.
    #[error("{}: another tidelockd listens there", .0.display())]
    InUse(PathBuf),
    /// It cannot be made.
    #[error("cannot {action} {}: {source}", path.display())]
    Make {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Its folder cannot be made.
    #[error(transparent)]
    Folder(#[from] state::StateError),
}

/// The listener that systemd hands over; none when it hands over nothing.
///
/// # Errors
/// When it hands over something else.
pub fn activated() -> Result<Option<UnixListener>, SocketError> {
    listenfd::ListenFd::from_env()
        .take_unix_listener(0)
        .map_err(SocketError::Activation)
}

/// Makes the socket, for root and the members of `group`; for root alone where there is no such
/// group.
///
/// # Errors
/// When it cannot be made, or another daemon has it.
pub fn make(path: &Path, group: &str) -> Result<UnixListener, SocketError> {
    let failed = |action| {
        move |source| SocketError::Make {
            action,
            path: path.to_owned(),
            source,
        }
    };
    if let Some(parent) = path.parent() {
        state::make_dir(parent)?;
    }
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(SocketError::InUse(path.to_owned()));
    }
    // Nobody listens on what is left there.
    state::remove(path)?;
    // Made under another name first: nobody may come by it before its mode is right.
    let hidden = path.with_extension("new");
    state::remove(&hidden)?;
    let listener = UnixListener::bind(&hidden).map_err(failed("make"))?;
    fs::set_permissions(&hidden, Permissions::from_mode(0o600)).map_err(failed("restrict"))?;
    if let Some(gid) = group_id(group) {
        chown(&hidden, None, Some(gid))
            .map_err(|errno| failed("give to its group")(errno.into()))?;
        fs::set_permissions(&hidden, Permissions::from_mode(0o660))
            .map_err(failed("open to its group"))?;
    } else {
        tracing::warn!(
            group,
            "there is no such group: the socket is for root alone (groupadd --system {group})"
        );
    }
    fs::rename(&hidden, path).map_err(failed("name"))?;
    Ok(listener)
}

/// By `/etc/group`: what is asked for is a system group of this host.
fn group_id(name: &str) -> Option<Gid> {
    let text = fs::read_to_string("/etc/group").ok()?;
    group_in(&text, name).map(Gid::from_raw)
}

fn group_in(text: &str, name: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let found = fields.next()? == name;
        let gid = fields.nth(1)?.parse().ok()?;
        found.then_some(gid)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_by_its_whole_name() {
        let text = "root:x:0:\ntidelock-old:x:5:\ntidelock:x:7:ann,bob\n";
        assert_eq!(group_in(text, "tidelock"), Some(7));
        assert_eq!(group_in(text, "tide"), None);
    }

    #[test]
    fn a_socket_that_is_left_over_is_replaced_and_one_in_use_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/api.sock");
        drop(make(&path, "no-such-group").unwrap());
        let second = make(&path, "no-such-group").unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let error = make(&path, "no-such-group").unwrap_err();
        assert!(matches!(error, SocketError::InUse(_)), "{error}");
        drop(second);
    }
}
