// SPDX-License-Identifier: Apache-2.0 OR MIT
//! PID 1: boots, says that it is ready, and does what the host says.

use std::{convert::Infallible, fs::File, process::ExitCode};

use crate::{
    boot,
    control::{Command, Ear, VERSION, Voice, parse},
    failure::{Checked, Failure},
    kmsg::{self, Level, Stream},
    ktap::Ktap,
    ports, reseed,
    run::Stage,
    shell, tests,
};

/// Serves the host for as long as the machine runs. A return is a failure: the kernel then
/// panics, having been told why.
pub(crate) fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        let _ = kmsg::write(Level::Emergency, &format!("PID 1 panicked: {panic}"));
    }));
    let Err(failure) = serve();
    // The console is the last resort of a guest that failed before it had a log.
    if kmsg::write(Level::Emergency, &format!("PID 1 gives up: {failure}")).is_err() {
        eprintln!("tidelock-guest: PID 1 gives up: {failure}");
    }
    ExitCode::FAILURE
}

fn serve() -> Checked<Infallible> {
    boot::mount_all()?;
    boot::tune();
    let drivers = boot::load_drivers()?;
    let control = ports::open(ports::CONTROL)?;
    let voice = Voice::new(duplicate(&control)?);
    let Err(failure) = attend(&control, voice.clone(), drivers);
    // The kernel's panic tells it too, should the port be what failed.
    let _ = voice.say(&format!(
        "FATAL {}",
        crate::ktap::one_line(&failure.to_string())
    ));
    Err(failure)
}

fn attend(control: &File, voice: Voice, drivers: usize) -> Checked<Infallible> {
    let mut stage = Stage {
        voice,
        ktap: Ktap::new(ports::open(ports::KTAP)?),
        stream: Stream::start(ports::open(ports::KMSG)?)?,
    };
    // Whatever booting had to say has reached the host when it hears READY.
    stage.stream.mark(&format!("ready, {drivers} drivers"))?;
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    stage.say(&format!("READY {VERSION} {release}"))?;
    let mut ear = Ear::new(duplicate(control)?);
    loop {
        let line = ear
            .line()
            .map_err(Failure::system("read the control port"))?;
        match parse(&line) {
            Ok(Command::List) => stage.say(&format!("TESTS {}", tests::names().join(" ")))?,
            Ok(Command::Clock) => stage.say(&format!("CLOCK {}", reseed::monotonic()))?,
            Ok(Command::Run(run)) => stage.run(&run)?,
            Ok(Command::Shell(size)) => match shell::serve(control, size) {
                Ok(()) => stage.say("SHELL ended")?,
                Err(failure) => stage.say(&format!("REFUSED {failure}"))?,
            },
            Err(bad) => stage.say(&format!("REFUSED {bad}"))?,
        }
    }
}

fn duplicate(file: &File) -> Checked<File> {
    file.try_clone()
        .map_err(Failure::system("duplicate a descriptor"))
}
