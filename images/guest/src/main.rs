// SPDX-License-Identifier: Apache-2.0 OR MIT
//! PID 1 of the test guest: runs one end-to-end test and says its verdict as KTAP.
//!
//! The same binary has three roles: as PID 1 it serves the host (see `README.md` for the
//! protocol), and it starts itself again for each test and for the terminal of a shell, so that
//! whatever a test does to its own process, PID 1 is there to tell.

mod bench;
mod boot;
mod child;
mod control;
mod device;
mod failure;
mod init;
mod intercept;
mod kmsg;
mod ktap;
mod leaks;
mod module;
mod ports;
mod prng;
mod procfs;
mod reseed;
mod run;
mod shell;
mod tests;
mod userland;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    if rustix::process::getpid().is_init() {
        // The kernel hands words of its command line to PID 1: they are not for us.
        return init::main();
    }
    match (arguments.next().as_deref(), arguments.next()) {
        (Some(child::TEST), Some(name)) => child::test(&name),
        (Some(child::CHECK), Some(taint)) => child::check(&taint),
        (Some(intercept::ACT), Some(part)) => intercept::play(&part),
        (Some(bench::ROLE), Some(part)) => bench::play(&part),
        (Some(child::TERMINAL), Some(tty)) => child::terminal(&tty),
        // The factory asks before it boots anything.
        (Some("--list"), None) => {
            for line in tests::list() {
                println!("{line}");
            }
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!(
                "tidelock-guest is /init of the test guest, and starts its own children; it does \
                 nothing else"
            );
            ExitCode::from(2)
        }
    }
}
