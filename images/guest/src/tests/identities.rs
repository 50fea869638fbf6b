// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Frames about identities: what of them the module takes, and what it refuses.

use std::time::Duration;

use rustix::{event::PollFlags, io::Errno};
use tidelock_wire::{
    Answer, Bundle, Certificate, Certificates, Decision, Frame, HEADER_LEN, Issued, List, MAX_LIST,
    Member, Peer, Peers, Refusal, Request, Revocation, Revoked, Scope, SpiffeIdError, SpiffeIdRef,
    Terms, TrustDomainRef, Verdict,
};

use super::{Report, SHORT, Test, device::refuse_all, frames::Bad, shared};
use crate::{
    device::{Device, encode},
    failure::{Checked, Failure, ensure},
    module,
};

pub(super) const TESTS: &[Test] = &[
    shared("device.nearly_good", SHORT, nearly_good),
    shared("device.identities", SHORT, identities),
];

/// How long nothing must come.
const SILENCE: Duration = Duration::from_millis(100);

fn id(text: &str) -> Checked<SpiffeIdRef<'_>> {
    let wrong = |error: SpiffeIdError| Failure::Assertion(format!("{text}: {error}"));
    SpiffeIdRef::parse(text.as_bytes()).map_err(wrong)
}

fn domain(name: &str) -> Checked<TrustDomainRef<'_>> {
    let wrong = |error: SpiffeIdError| Failure::Assertion(format!("{name}: {error}"));
    TrustDomainRef::parse(name.as_bytes()).map_err(wrong)
}

fn list<'a, M: Member<'a>>(members: &[M], buffer: &'a mut [u8]) -> Checked<List<'a, M>> {
    let wrong = |error| Failure::Assertion(format!("a list cannot be encoded: {error}"));
    List::encode(members.iter().copied(), buffer).map_err(wrong)
}

/// A verdict with these peers.
fn verdict<'a>(own: SpiffeIdRef<'a>, peers: Peers<'a>) -> Request<'a> {
    Request::Verdict(Verdict {
        decision: Decision::Mtls(Terms {
            scope: Scope::Process,
            own,
            peers,
        }),
        reason: 1,
        ttl_ms: 1,
        generation: 1,
    })
}

/// Has `act` see each kind of frame, short or as long as may be.
fn with_each(long: bool, mut act: impl FnMut(&str, Request<'_>) -> Checked<()>) -> Checked<()> {
    let path = "b".repeat(if long { 2048 - 16 } else { 1 });
    let own = format!("spiffe://a.test/{path}");
    let own = id(&own)?;
    let mut buffer = [0; MAX_LIST];
    let some = [
        Peer::Workload(id("spiffe://a.test/c")?),
        Peer::Domain(domain("b.test")?),
    ];
    let many = [Peer::Workload(own); 5];
    let peers = list(if long { &many } else { &some }, &mut buffer)?;
    act("a verdict", verdict(own, peers))?;

    let der = vec![0x30; if long { MAX_LIST - 2 } else { 5 }];
    let none = || Failure::Assertion("no certificate".into());
    let certificate = Certificate::new(&der).ok_or_else(none)?;
    let mut buffer = [0; MAX_LIST];
    let certificates: Certificates<'_> = list(&[certificate], &mut buffer)?;
    act("an SVID", Request::Issued(Issued::Svid(certificates)))?;
    act("a refused SVID", Request::Issued(Issued::Refused(1)))?;
    let bundle = Bundle {
        domain: domain("a.test")?,
        authorities: certificates,
    };
    act("a bundle", Request::Bundle(bundle))?;
    let revoked = |what| Request::Revoke(Revocation { what, until: 1 });
    act("a revoked workload", revoked(Revoked::Workload(own)))?;
    act("a revoked authority", revoked(Revoked::Authority([1; 32])))
}

/// A bit of each frame's payload flipped, where it is a frame no more by that.
fn nearly() -> Checked<Vec<Bad>> {
    let mut frames = Vec::new();
    with_each(false, |what, message| {
        let good = encode(1, message)?;
        for bit in HEADER_LEN * 8..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            if Frame::<Request<'_>>::decode(&bytes).is_err() {
                let what = format!("{what} with bit {bit} flipped");
                frames.push(Bad { what, bytes });
            }
        }
        Ok(())
    })?;
    Ok(frames)
}

fn nearly_good(report: &mut Report) -> Checked<String> {
    refuse_all(report, &nearly()?, Errno::PROTO)
}

/// What has an answer, and what it is.
fn answer(message: &Request<'_>) -> Option<Answer<'static>> {
    match message {
        // Nobody waits for it.
        Request::Verdict(_) | Request::Issued(_) => None,
        // Its certificate is none.
        Request::Bundle(_) => Some(Answer::Refused(Refusal::Certificate)),
        _ => Some(Answer::Done),
    }
}

fn identities(report: &mut Report) -> Checked<String> {
    module::load()?;
    let (device, _) = Device::greet()?;
    let mut longest = 0;
    for long in [false, true] {
        with_each(long, |what, message| {
            longest = longest.max(encode(9, message)?.len());
            let Some(wanted) = answer(&message) else {
                let taken = device.try_ask(9, message)?;
                ensure(taken == Ok(()), || format!("{what} gave {taken:?}"))?;
                let ready = device.ready(PollFlags::IN, SILENCE)?;
                return ensure(!ready.contains(PollFlags::IN), || {
                    format!("{what} was answered")
                });
            };
            let said = device.ask(9, message)?;
            let found = said.frame()?.message;
            ensure(found == wanted, || format!("{what} was answered {found:?}"))
        })?;
    }
    report.note("longest_frame", longest)?;
    let status = device.status(10)?;
    ensure(status.counters.late == 6, || {
        format!(
            "{} verdicts and SVIDs came late, and six were for nobody",
            status.counters.late
        )
    })?;
    device.self_test(11)?;
    Ok(format!("frames of up to {longest} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_nearly_good_for_many_reasons() {
        let frames = nearly().unwrap();
        assert!(frames.len() > 300, "{}", frames.len());
        let reasons: std::collections::BTreeSet<String> = frames
            .iter()
            .map(|frame| Frame::<Request<'_>>::decode(&frame.bytes).unwrap_err())
            .map(|error| error.to_string())
            .collect();
        assert!(reasons.len() > 8, "{reasons:?}");
    }
}
