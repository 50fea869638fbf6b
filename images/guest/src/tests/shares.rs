// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `policy.`: what is bounded is bounded for each user and control group, too.

use tidelock_wire::{Decision, Mode, Status};

use super::{MIDDLE, Report, SHORT, Test, shared};
use crate::{
    device::Device,
    failure::{Checked, ensure},
    intercept::{self, Actor, Decider, configure},
};

pub(super) const TESTS: &[Test] = &[
    shared("policy.share_of_questions", SHORT, share_of_questions),
    shared("policy.share_of_verdicts", MIDDLE, share_of_verdicts),
];

/// TDL_ASKS_SHARE_MAX (kmod/src/ask.c).
const QUESTIONS: u32 = 1024;
/// TDL_CACHE_SHARE_MAX (kmod/src/cache.c).
const VERDICTS: u32 = 2048;
const MORE: u32 = 60;
/// Together more than may be kept, and each less than may wait.
const FLOODS: u16 = 3;
const FLOOD_SIZE: u16 = 800;
const SERVER: &str = "127.0.0.1:7001";
const FLOOD: &str = "127.0.0.1:20000";
const LONG_MS: u32 = 60_000;
/// Users share by chance, one in 256 with another: of so many not all are root's.
const OTHERS: [u32; 3] = [1000, 1001, 1002];

fn status() -> Checked<Status> {
    let (device, _) = Device::greet()?;
    device.status(1)
}

/// Who asks too much is refused, and another is not.
fn share_of_questions(_: &mut Report) -> Checked<String> {
    intercept::begin()?;
    configure(Mode::Enforce, LONG_MS)?;
    let mut greedy = Actor::start(&format!("flood {FLOOD} {}", QUESTIONS + MORE))?;
    greedy.says(&format!("{MORE} CONNREFUSED, {QUESTIONS} INPROGRESS"))?;
    let now = status()?;
    ensure(
        now.waiting == QUESTIONS && now.counters.overflows == u64::from(MORE),
        || format!("{QUESTIONS} were to wait: {now:?}"),
    )?;
    let mine = Actor::start(&format!("connect {SERVER}"))?;
    mine.says("CONNREFUSED")?;
    let decider = Decider::start(|seen| (seen.remote.port() == 7001).then_some(Decision::Deny))?;
    let mut asked = 0;
    for user in OTHERS {
        let other = Actor::start(&format!("as {user} connect {SERVER}"))?;
        other.says("CONNREFUSED")?;
        asked += decider
            .seen()
            .iter()
            .filter(|seen| seen.remote.port() == 7001)
            .count();
    }
    ensure(asked > 0, || "nobody else was asked about".into())?;
    greedy.go_on()?;
    drop(greedy);
    decider.stop()?;
    Ok(String::new())
}

/// Who has too many verdicts kept loses his own.
fn share_of_verdicts(_: &mut Report) -> Checked<String> {
    intercept::begin()?;
    configure(Mode::Enforce, LONG_MS)?;
    let decider = Decider::start(|_| Some(Decision::Deny))?;
    let others = || {
        OTHERS.iter().try_for_each(|user| {
            let other = Actor::start(&format!("as {user} connect {SERVER}"))?;
            other.says("CONNREFUSED")
        })
    };
    others()?;
    let mut asked = decider.await_seen(OTHERS.len())?.len();
    for round in 0..FLOODS {
        let first = 20_000 + round * FLOOD_SIZE;
        let mut greedy = Actor::start(&format!("flood 127.0.0.1:{first} {FLOOD_SIZE}"))?;
        greedy.says(&format!("{FLOOD_SIZE} INPROGRESS"))?;
        asked += usize::from(FLOOD_SIZE);
        decider.await_seen(asked)?;
        greedy.go_on()?;
    }
    others()?;
    let seen = decider.stop()?;
    let again = seen.len() - asked;
    ensure(again < OTHERS.len(), || {
        format!("the others' verdicts were pushed out: {:?}", seen.last())
    })?;
    let kept = status()?.kept;
    let theirs = u32::try_from(OTHERS.len()).unwrap_or(u32::MAX);
    ensure((VERDICTS..=VERDICTS + theirs).contains(&kept), || {
        format!("{kept} verdicts are kept, not {VERDICTS} and {theirs}")
    })?;
    Ok(format!("{kept} of {asked} are kept"))
}
