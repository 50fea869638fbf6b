// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A stand-in for the daemon that signs, driven by the test frame by frame. It does not check what
//! it signs: the daemon does, and has tests of its own.

use std::{
    cell::Cell,
    time::{Duration, Instant, UNIX_EPOCH},
};

use rustix::{
    event::PollFlags,
    rand::{GetRandomFlags, getrandom},
};
use tidelock_tls::{NoEntropy, Platform, SpiffeId, TlsError, TrustDomain, testing::TestAuthority};
use tidelock_wire::{
    Answer, Certificate, Certificates, Decision, Direction, EncodeError, Frame, Issued, MAX_LIST,
    Peer, Peers, Request, Scope, SpiffeIdRef, Terms, Verdict,
};

use crate::{
    device::Device,
    failure::{Checked, Failure, ensure},
};

/// What must come comes within this.
const PATIENCE: Duration = Duration::from_mins(1);

/// The guest's randomness and time.
#[derive(Debug)]
struct Guest;

impl Platform for Guest {
    fn fill_random(out: &mut [u8]) -> Result<(), NoEntropy> {
        match getrandom(&mut *out, GetRandomFlags::empty()) {
            Ok(length) if length == out.len() => Ok(()),
            _ => Err(NoEntropy),
        }
    }

    fn unix_time() -> u64 {
        UNIX_EPOCH.elapsed().map_or(0, |time| time.as_secs())
    }
}

/// A key that wants to be certified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Wanted {
    /// The number of the request.
    pub(crate) number: u64,
    /// Whose it is.
    pub(crate) tgid: u32,
    /// The request.
    pub(crate) csr: Vec<u8>,
}

/// The device, and an authority. Who accepts has an identity; who connects goes as he is.
pub(crate) struct Registrar {
    device: Device,
    authority: TestAuthority,
    own: String,
    scope: Scope,
    /// How many names were given, where each that accepts has another.
    names: Option<Cell<u32>>,
}

fn failed(error: &TlsError) -> Failure {
    Failure::Assertion(format!("the authority: {error}"))
}

fn malformed(error: EncodeError) -> Failure {
    Failure::Assertion(format!("a frame of the test's: {error}"))
}

fn parsed(id: &str) -> Checked<SpiffeIdRef<'_>> {
    SpiffeIdRef::parse(id.as_bytes()).map_err(|error| malformed(error.into()))
}

impl Registrar {
    /// Opens the device; who accepts is `own` from now on.
    pub(crate) fn start(own: &str, scope: Scope) -> Checked<Self> {
        let domain = TrustDomain::parse(parsed(own)?.trust_domain().as_str());
        let domain = domain.map_err(|error| malformed(error.into()))?;
        Ok(Self {
            device: Device::greet()?.0,
            authority: TestAuthority::new::<Guest>(domain).map_err(|error| failed(&error))?,
            own: own.into(),
            scope,
            names: None,
        })
    }

    /// Closes the device and opens it again, as a daemon that has been started anew.
    pub(crate) fn again(self) -> Checked<Self> {
        let Self { device, .. } = self;
        drop(device);
        Ok(Self {
            device: Device::greet()?.0,
            ..self
        })
    }

    /// From now on each that accepts has another name: its own and a number, from 0.
    pub(crate) fn number_names(&mut self) {
        self.names = Some(Cell::new(0));
    }

    /// Who accepts is another from now on.
    pub(crate) fn rename(&mut self, own: &str) {
        self.own = own.into();
    }

    /// Answers questions until a key wants to be certified.
    pub(crate) fn wanted(&self) -> Checked<Wanted> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if let Some(wanted) = self.wanted_within(PATIENCE)? {
                return Ok(wanted);
            }
        }
        Err(Failure::Assertion("no key wants to be certified".into()))
    }

    /// The same, if one does so within this time of the last question.
    pub(crate) fn wanted_within(&self, time: Duration) -> Checked<Option<Wanted>> {
        while self
            .device
            .ready(PollFlags::IN, time)?
            .contains(PollFlags::IN)
        {
            let said = self.device.answer()?;
            let Frame { id, message } = said.frame()?;
            match message {
                Answer::Ask(ask) => self.decide(id, ask.direction)?,
                Answer::Sign(sign) => {
                    return Ok(Some(Wanted {
                        number: id,
                        tgid: sign.ask.task.tgid,
                        csr: sign.csr.to_vec(),
                    }));
                }
                other => return Err(Failure::Assertion(format!("{other:?} came by itself"))),
            }
        }
        Ok(None)
    }

    fn decide(&self, id: u64, direction: Direction) -> Checked<()> {
        let mut buffer = [0; 300];
        let mut own = self.own.clone();
        if let (Some(names), Direction::Accept) = (&self.names, direction) {
            own += &names.get().to_string();
            names.set(names.get() + 1);
        }
        let own = parsed(&own)?;
        let decision = match direction {
            Direction::Connect => Decision::Plain,
            Direction::Accept => Decision::Mtls(Terms {
                scope: self.scope,
                own,
                peers: Peers::encode([Peer::Domain(own.trust_domain())], &mut buffer)
                    .map_err(malformed)?,
            }),
        };
        self.say(
            id,
            Request::Verdict(Verdict {
                decision,
                reason: 7,
                ttl_ms: 0,
                generation: 1,
            }),
        )
    }

    #[expect(clippy::large_types_passed_by_value, reason = "few and far between")]
    fn say(&self, id: u64, message: Request<'_>) -> Checked<()> {
        self.device
            .try_ask(id, message)?
            .map_err(Failure::system("write an answer"))
    }

    /// Issues an SVID for the key of `wanted`: of this SPIFFE ID, and for so long.
    pub(crate) fn certify(&self, wanted: &Wanted, id: &str, lifetime: Duration) -> Checked<()> {
        let id = SpiffeId::parse(id).map_err(|error| malformed(error.into()))?;
        let chain = self.authority.certify::<Guest>(&wanted.csr, &id, lifetime);
        let chain = chain.map_err(|error| failed(&error))?;
        let mut buffer = [0; MAX_LIST];
        let certificates = chain.iter().filter_map(|der| Certificate::new(der));
        let chain = Certificates::encode(certificates, &mut buffer).map_err(malformed)?;
        self.say(wanted.number, Request::Issued(Issued::Svid(chain)))
    }

    /// The right one, for so long.
    pub(crate) fn issue(&self, wanted: &Wanted, lifetime: Duration) -> Checked<()> {
        self.certify(wanted, &self.own, lifetime)
    }

    /// Refuses to issue one.
    pub(crate) fn refuse(&self, wanted: &Wanted, reason: u32) -> Checked<()> {
        self.say(wanted.number, Request::Issued(Issued::Refused(reason)))
    }

    /// How many verdicts and SVIDs were for nobody.
    pub(crate) fn late(&self) -> Checked<u64> {
        Ok(self.device.status(99)?.counters.late)
    }
}

/// A line of the table of SVIDs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Line {
    /// The SPIFFE ID.
    pub(crate) id: String,
    /// `process` or `workload`.
    pub(crate) scope: String,
    /// `wanted`, `held`, `renewed` or `refused`.
    pub(crate) state: String,
    /// Of the last refusal.
    pub(crate) reason: String,
    /// How often one was issued.
    pub(crate) issued: u32,
    /// Of the process that made it be asked for.
    pub(crate) tgid: u32,
}

/// Waits until the table of SVIDs is as `right` says.
pub(crate) fn await_svids(what: &str, right: impl Fn(&[Line]) -> bool) -> Checked<Vec<Line>> {
    let began = Instant::now();
    loop {
        let lines = svids()?;
        if right(&lines) {
            return Ok(lines);
        }
        ensure(began.elapsed() < PATIENCE, || {
            format!("{what} was to be, and {lines:?} is")
        })?;
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The table of SVIDs.
pub(crate) fn svids() -> Checked<Vec<Line>> {
    let number = |text: &str| {
        text.parse()
            .map_err(|_| Failure::Assertion(format!("{text:?} is no number")))
    };
    super::columns("/proc/tidelock/svids")?
        .iter()
        .map(|line| match line.as_slice() {
            [id, scope, state, reason, _, issued, tgid, ..] => Ok(Line {
                id: id.clone(),
                scope: scope.clone(),
                state: state.clone(),
                reason: reason.clone(),
                issued: number(issued)?,
                tgid: number(tgid)?,
            }),
            _ => Err(Failure::Assertion(format!("a line of the SVIDs: {line:?}"))),
        })
        .collect()
}
