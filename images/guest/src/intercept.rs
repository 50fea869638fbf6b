// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the tests of interception are made of: somebody who decides, and somebody who connects.

mod actor;
mod capture;
mod cgroup;
mod decider;
mod echo;
mod heir;
mod load;
mod peer;
mod race;
mod raw;
mod registrar;
mod script;
mod smc;
mod traffic;

pub(crate) use actor::{ACT, Actor, play, within};
pub(crate) use capture::{ACK, Capture, SYN, Segment};
pub(crate) use cgroup::refusing;
pub(crate) use decider::{Decider, Keep, Seen, configure, mtls};
pub(crate) use peer::{TlsPeer, dial, is_ended};
pub(crate) use registrar::{Line, Registrar, Wanted, await_svids, svids};

use crate::{
    failure::{Checked, ensure},
    module, procfs,
    userland::net,
};

/// The table of connections.
pub(crate) const TABLE: &str = "/proc/tidelock/connections";

/// Loads the module in a guest whose loopback is up.
pub(crate) fn begin() -> Checked<()> {
    net::bring_up_loopback()?;
    module::load()
}

/// The lines of the table, split in columns, without the first.
pub(crate) fn table() -> Checked<Vec<Vec<String>>> {
    columns(TABLE)
}

/// The same of a table of ours.
fn columns(path: &str) -> Checked<Vec<Vec<String>>> {
    let text = procfs::read(path)?;
    let mut lines = text
        .lines()
        .map(|line| line.split('\t').map(str::to_owned).collect::<Vec<String>>());
    let names = lines.next().unwrap_or_default();
    let rest: Vec<Vec<String>> = lines.collect();
    let odd = rest.iter().find(|line| line.len() != names.len());
    ensure(odd.is_none(), || {
        format!("{path} has the columns {names:?} and the line {odd:?}")
    })?;
    Ok(rest)
}
