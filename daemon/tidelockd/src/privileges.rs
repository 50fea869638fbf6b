// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the daemon may do, given up but for what it needs.
//!
//! It runs as root, for `/dev/tidelock` is root's, with two capabilities: `CAP_SYS_PTRACE` to look
//! into processes of others below `/proc`, and `CAP_DAC_READ_SEARCH` to read executables that
//! only their users may. It can change no file but root's own, and systemd's unit makes nearly
//! all of those read-only.

use std::io;

use rustix::{
    process::{DumpableBehavior, set_dumpable_behavior},
    thread::{
        CapabilitySet, CapabilitySets, capabilities, remove_capability_from_bounding_set,
        set_capabilities, set_no_new_privs,
    },
};

/// What is kept.
const KEPT: CapabilitySet = CapabilitySet::SYS_PTRACE.union(CapabilitySet::DAC_READ_SEARCH);

/// Neither core dumps nor debuggers of the same user see what is in memory.
///
/// # Errors
/// When the kernel refuses.
pub fn no_dumps() -> io::Result<()> {
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// Gives up all but what is needed, for good. Before any thread is started: each has its own.
///
/// Returns what is missing of what is needed.
///
/// # Errors
/// When the kernel refuses.
pub fn drop_all_but_needed() -> io::Result<CapabilitySet> {
    let had = capabilities(None)?;
    // Only who may change the bounding set can, and who may not is bounded already.
    if had.effective.contains(CapabilitySet::SETPCAP) {
        for capability in CapabilitySet::all().iter() {
            if KEPT.contains(capability) {
                continue;
            }
            match remove_capability_from_bounding_set(capability) {
                // A kernel that does not know it.
                Ok(()) | Err(rustix::io::Errno::INVAL) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
    let kept = had.permitted & KEPT;
    set_capabilities(
        None,
        CapabilitySets {
            effective: kept,
            permitted: kept,
            inheritable: CapabilitySet::empty(),
        },
    )?;
    set_no_new_privs(true)?;
    Ok(KEPT - kept)
}
