// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A fake of the module: a Unix socket that keeps the bounds of frames, behind which a test
//! speaks as the module would. The real one needs a kernel to be loaded into.

use std::{
    path::{Path, PathBuf},
    sync::Mutex,
    time::Duration,
};

use rustix::{
    fd::OwnedFd,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketType, accept, bind, listen,
        recv, send, socket,
        sockopt::{Timeout, set_socket_timeout},
    },
};
use tidelock_wire::{
    ABI_VERSION, Answer, Ask, Bundle, Capabilities, Counters, EngineState, Frame, Hello, Issued,
    MAX_FRAME, Request, Settings, Status, Verdict, Version,
};

/// Where a test waits this long it has failed. Not a measure of anything.
const PATIENCE: Duration = Duration::from_mins(1);

/// The module, before it is opened.
pub(crate) struct FakeModule {
    listener: OwnedFd,
    path: PathBuf,
}

/// The module, opened by a daemon.
pub(crate) struct Opened {
    fd: OwnedFd,
    bundles: Mutex<Vec<Bundle<'static>>>,
}

/// What a module of this version says first.
pub(crate) fn hello() -> Hello {
    Hello {
        abi: ABI_VERSION,
        module: Version {
            major: 0,
            minor: 1,
            patch: 0,
        },
        capabilities: Capabilities::KTLS | Capabilities::IPV6,
        engine: EngineState::Ready,
        panics: 0,
        frames_refused: 0,
    }
}

/// What a module says that has these settings in force.
pub(crate) fn status(settings: &Settings) -> Status {
    Status {
        mode: settings.mode,
        generation: settings.generation,
        deadline_ms: settings.deadline_ms,
        waiting: 0,
        kept: 3,
        counters: Counters {
            denied: 4,
            ..Counters::default()
        },
    }
}

impl FakeModule {
    /// Not there until somebody opens it.
    pub(crate) fn load(path: &Path) -> Self {
        let listener = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
        bind(&listener, &SocketAddrUnix::new(path).unwrap()).unwrap();
        listen(&listener, 8).unwrap();
        set_socket_timeout(&listener, Timeout::Recv, Some(PATIENCE)).unwrap();
        Self {
            listener,
            path: path.into(),
        }
    }

    /// Waits until a daemon opens it, and says this first.
    pub(crate) fn opened(&self, hello: Hello) -> Opened {
        let fd = accept(&self.listener).unwrap();
        set_socket_timeout(&fd, Timeout::Recv, Some(PATIENCE)).unwrap();
        set_socket_timeout(&fd, Timeout::Send, Some(PATIENCE)).unwrap();
        let opened = Opened {
            fd,
            bundles: Mutex::default(),
        };
        opened.say(0, Answer::Hello(hello));
        opened
    }

    /// Opened by a daemon whose settings are then in force.
    pub(crate) fn serving(&self) -> (Opened, Settings) {
        let opened = self.opened(hello());
        let settings = opened.configured();
        (opened, settings)
    }
}

impl Drop for FakeModule {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Opened {
    /// Says something.
    pub(crate) fn say(&self, id: u64, message: Answer<'_>) {
        let mut buffer = [0; MAX_FRAME];
        let len = Frame { id, message }.encode(&mut buffer).unwrap();
        self.say_bytes(&buffer[..len]);
    }

    /// Says anything at all.
    pub(crate) fn say_bytes(&self, bytes: &[u8]) {
        send(&self.fd, bytes, SendFlags::NOSIGNAL).unwrap();
    }

    /// Hears something; none when the daemon has closed the device. Trust bundles are taken, and
    /// heard of by [`Self::bundles`] alone.
    pub(crate) fn heard(&self) -> Option<Frame<Request<'static>>> {
        loop {
            // For as long as the test runs.
            let buffer = vec![0; MAX_FRAME].leak();
            let (len, _) = recv(&self.fd, &mut *buffer, RecvFlags::empty()).unwrap();
            if len == 0 {
                return None;
            }
            let frame = Frame::decode(&buffer[..len]).unwrap();
            let Request::Bundle(bundle) = frame.message else {
                return Some(frame);
            };
            self.bundles.lock().unwrap().push(bundle);
            self.say(frame.id, Answer::Done);
        }
    }

    /// What it was told so far of who is trusted.
    pub(crate) fn bundles(&self) -> Vec<Bundle<'static>> {
        self.bundles.lock().unwrap().clone()
    }

    /// Waits for settings and has them in force.
    pub(crate) fn configured(&self) -> Settings {
        loop {
            let frame = self.heard().expect("the device is closed");
            if let Request::Configure(settings) = frame.message {
                self.say(frame.id, Answer::Status(status(&settings)));
                return settings;
            }
        }
    }

    /// Asks.
    pub(crate) fn ask(&self, id: u64, ask: Ask<'_>) {
        self.say(id, Answer::Ask(ask));
    }

    /// Waits for a verdict; tells how it goes meanwhile, when it is asked.
    pub(crate) fn verdict(&self) -> (u64, Verdict<'static>) {
        loop {
            let frame = self.heard().expect("the device is closed");
            if let Request::Verdict(verdict) = frame.message {
                return (frame.id, verdict);
            }
        }
    }

    /// Waits for what came of a request for an SVID.
    pub(crate) fn issued(&self) -> (u64, Issued<'static>) {
        loop {
            let frame = self.heard().expect("the device is closed");
            if let Request::Issued(issued) = frame.message {
                return (frame.id, issued);
            }
        }
    }

    /// Answers one request for the status.
    pub(crate) fn tell_status(&self, settings: &Settings) {
        let frame = self.heard().expect("the device is closed");
        assert_eq!(frame.message, Request::Status);
        self.say(frame.id, Answer::Status(status(settings)));
    }
}
