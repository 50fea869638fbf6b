// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Steps that keep the socket where no table of files shows it.

use rustix::io::Errno;

use super::{
    Step,
    others::{give, pair, take},
};

pub(super) const STEPS: &[(&str, Step)] = &[
    // In flight over a Unix socket.
    ("hide", |me, _| {
        let (here, there) = pair()?;
        give(&here, me.at()?)?;
        me.socket = None;
        me.hidden = Some((here, there));
        Ok("ok".into())
    }),
    ("find", |me, _| {
        let (_, there) = me.hidden.take().ok_or(Errno::BADF)?;
        me.socket = Some(take(&there)?);
        Ok("ok".into())
    }),
];
