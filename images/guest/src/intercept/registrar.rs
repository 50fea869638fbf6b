// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A stand-in for the daemon that signs, driven by the test frame by frame. It does not check what
//! it signs: the daemon does, and has tests of its own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant, UNIX_EPOCH},
};

use rustix::{
    event::PollFlags,
    rand::{GetRandomFlags, getrandom},
};
use tidelock_tls::{
    Allowed, Expected, Identity, NoEntropy, Pending, Platform, Session, SpiffeId, TlsError, Trust,
    TrustDomain, connect, testing::TestAuthority,
};
use tidelock_wire::{
    Answer, Bundle, Certificate, Certificates, Decision, Direction, EncodeError, Frame, Issued,
    MAX_LIST, Peer, Peers, Request, Scope, SpiffeIdRef, Status, Terms, Verdict,
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
    names: Option<AtomicU32>,
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
        self.names = Some(AtomicU32::new(0));
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
            own += &names.fetch_add(1, Ordering::Relaxed).to_string();
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
        Ok(self.status()?.counters.late)
    }

    /// How it goes.
    pub(crate) fn status(&self) -> Checked<Status> {
        self.device.status(99)
    }

    fn domain(&self) -> Checked<TrustDomain> {
        Ok(parsed(&self.own)?.trust_domain().into())
    }

    /// Has the module trust the authority.
    pub(crate) fn trusted(&self) -> Checked<()> {
        let mut buffer = [0; MAX_LIST];
        let root = Certificate::new(self.authority.root());
        let message = Request::Bundle(Bundle {
            domain: parsed(&self.own)?.trust_domain(),
            authorities: Certificates::encode(root, &mut buffer).map_err(malformed)?,
        });
        let said = self.device.ask(98, message)?;
        let answer = said.frame()?.message;
        ensure(answer == Answer::Done, || {
            format!("a bundle was answered {answer:?}")
        })
    }

    /// Who trusts this authority, and expects anybody of its domain.
    fn trust(&self) -> Checked<(Arc<Trust>, Expected)> {
        let trust = Trust::nobody().with_bundle(self.domain()?, [self.authority.root()]);
        let expected = Expected::any_of([Allowed::Domain(self.domain()?)]);
        Ok((Arc::new(trust.map_err(|error| failed(&error))?), expected))
    }

    fn identity(&self, id: &str, lifetime: Duration) -> Checked<Identity> {
        let id = SpiffeId::parse(id).map_err(|error| malformed(error.into()))?;
        let made = || {
            let key = Pending::new::<Guest>(id.clone())?;
            let chain = self
                .authority
                .certify::<Guest>(&key.request()?, &id, lifetime)?;
            key.certified(chain.iter().map(Vec::as_slice))
        };
        made().map_err(|error| failed(&error))
    }

    /// A client that speaks for itself, as this.
    pub(crate) fn client(&self, id: &str) -> Checked<Box<dyn Session>> {
        self.client_for(id, Duration::from_hours(1))
    }

    /// The same, whose SVID has expired.
    pub(crate) fn expired_client(&self, id: &str) -> Checked<Box<dyn Session>> {
        let session = self.client_for(id, Duration::ZERO)?;
        std::thread::sleep(Duration::from_millis(2500));
        Ok(session)
    }

    fn client_for(&self, id: &str, lifetime: Duration) -> Checked<Box<dyn Session>> {
        let (trust, expected) = self.trust()?;
        connect::<Guest>(&self.identity(id, lifetime)?, trust, expected)
            .map_err(|error| failed(&error))
    }

    /// Another authority of the same domain, whom nobody here trusts; what it makes trusts ours.
    pub(crate) fn foreign(&self) -> Checked<Foreign<'_>> {
        let authority = TestAuthority::new::<Guest>(self.domain()?);
        Ok(Foreign {
            home: self,
            authority: authority.map_err(|error| failed(&error))?,
        })
    }
}

/// Another authority.
pub(crate) struct Foreign<'a> {
    home: &'a Registrar,
    authority: TestAuthority,
}

impl Foreign<'_> {
    fn identity(&self, id: &str) -> Checked<Identity> {
        let id = SpiffeId::parse(id).map_err(|error| malformed(error.into()))?;
        self.authority
            .issue::<Guest>(&id)
            .map_err(|error| failed(&error))
    }

    /// A client of it.
    pub(crate) fn client(&self, id: &str) -> Checked<Box<dyn Session>> {
        let (trust, expected) = self.home.trust()?;
        connect::<Guest>(&self.identity(id)?, trust, expected).map_err(|error| failed(&error))
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
