// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Steps that wait: readiness, edges, timeouts and signals.

use std::{thread, time::Duration};

use rustix::{
    buffer::spare_capacity,
    event::{PollFlags, Timespec, epoll},
    io::Errno,
    net::sockopt::{Timeout, set_socket_timeout},
    process::{Signal, getpid, kill_process},
};

use super::{Player, Step, Told, options};
use crate::intercept::actor::{Played, outcome, ready};

pub(super) const STEPS: &[(&str, Step)] = &[
    // What is to be seen now, or in a moment.
    ("poll", |me, _| {
        let all = PollFlags::IN | PollFlags::OUT | PollFlags::RDHUP;
        me.readiness(all, MOMENT)
    }),
    ("ready", |me, _| me.readiness(PollFlags::OUT, PATIENCE)),
    ("arrive", |me, _| me.readiness(PollFlags::IN, PATIENCE)),
    ("watch", |me, _| me.watch()),
    ("edge", |me, _| me.edges(PATIENCE)),
    ("edges", |me, _| me.edges(MOMENT)),
    ("hurry", |me, _| me.hurry(Some(HURRY))),
    ("patience", |me, _| me.hurry(None)),
    ("plain", |_, _| Ok(outcome(&options::handle_signal(0)))),
    ("restart", |_, _| {
        Ok(outcome(&options::handle_signal(libc::SA_RESTART)))
    }),
    // A signal, while the next step waits.
    ("alarm", |_, _| {
        thread::spawn(|| {
            thread::sleep(ALARM);
            kill_process(getpid(), Signal::USR1)
        });
        Ok("ok".into())
    }),
];

/// In which what is to happen at once has happened, in milliseconds.
const MOMENT: i64 = 50;
/// In milliseconds.
const PATIENCE: i64 = 20_000;
/// SO_RCVTIMEO and SO_SNDTIMEO.
const HURRY: Duration = Duration::from_millis(50);
/// The next step is asleep by then.
const ALARM: Duration = Duration::from_millis(100);

impl Player {
    fn readiness(&self, wanted: PollFlags, milliseconds: i64) -> Told {
        let seen = ready(self.at()?, wanted, milliseconds)?;
        Ok(format!("{:#x}", seen.bits()))
    }

    /// As event loops do, edge-triggered.
    fn watch(&mut self) -> Told {
        let poller = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let wanted = epoll::EventFlags::IN
            | epoll::EventFlags::OUT
            | epoll::EventFlags::RDHUP
            | epoll::EventFlags::ET;
        epoll::add(&poller, self.at()?, epoll::EventData::new_u64(0), wanted)?;
        self.epoll = Some(poller);
        Ok("ok".into())
    }

    /// The edges that come, until none has come for a moment.
    fn edges(&self, first: i64) -> Told {
        let mut edges = Vec::new();
        let mut patience = first;
        // More than this is a flood, and told as one.
        while edges.len() < 8 {
            let Some(flags) = self.edge(patience)? else {
                break;
            };
            edges.push(format!("{:#x}", flags.bits()));
            patience = MOMENT;
        }
        Ok(if edges.is_empty() {
            "none".into()
        } else {
            edges.join(",")
        })
    }

    fn edge(&self, milliseconds: i64) -> Played<Option<epoll::EventFlags>> {
        let poller = self.epoll.as_ref().ok_or(Errno::BADF)?;
        let timeout = Timespec {
            tv_sec: milliseconds / 1000,
            tv_nsec: milliseconds % 1000 * 1_000_000,
        };
        let mut events = Vec::with_capacity(1);
        epoll::wait(poller, spare_capacity(&mut events), Some(&timeout))?;
        Ok(events.first().map(|event: &epoll::Event| event.flags))
    }

    fn hurry(&self, limit: Option<Duration>) -> Told {
        set_socket_timeout(self.at()?, Timeout::Recv, limit)?;
        set_socket_timeout(self.at()?, Timeout::Send, limit)?;
        Ok("ok".into())
    }
}
