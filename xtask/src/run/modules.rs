// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The kernel's own modules that the guest gets, and what a crash's addresses mean.

use std::path::Path;

use tidelock_host::files;
use tidelock_model::Crash;
use tidelock_vm::{kernel::modinfo::Wanted, spec, symbolise::Symbols};

/// What the guest needs: the ports it speaks through, its disk of programs and the file systems
/// for that, networks to put between namespaces, and kTLS where the kernel has it as a module.
///
/// All are loaded before the machine is saved: no test pays for them.
pub(crate) fn wanted() -> Vec<Wanted> {
    let mut wanted = spec::drivers();
    let userland = ["virtio_blk", "squashfs", "overlay"];
    wanted.extend(userland.map(Wanted::required));
    let networks = ["veth", "dummy", "bridge", "tcp_diag"];
    wanted.extend(networks.map(Wanted::required));
    wanted.extend(["tls", "smc"].map(Wanted::optional));
    wanted
}

/// Gives the module's own frames their file and line, where its debug information tells them.
pub(crate) fn symbolise(crash: &mut Crash, unstripped: &Path) {
    // The frames as the kernel printed them are worth showing when this cannot be read.
    let Ok(module) = files::read(unstripped) else {
        return;
    };
    if let Ok(symbols) = Symbols::read(&module) {
        let _ = symbols.annotate(crash, "tidelock");
    }
}
