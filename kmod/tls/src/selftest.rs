// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! A complete mutual handshake in memory, with everything that goes into a real one, and the
//! proof that it can fail.

use alloc::{boxed::Box, sync::Arc, vec};

use crate::{
    Allowed, Expected, Identity, Negotiated, Platform, Session, SessionState, SpiffeId, TlsError,
    TrustDomain, accept, authority::Authority, connect,
};

const DOMAIN: &str = "self-test.tidelock";
const CLIENT: &str = "spiffe://self-test.tidelock/client";
const SERVER: &str = "spiffe://self-test.tidelock/server";
/// More than one record's worth, so that records are cut and joined.
const DATA_LEN: usize = 20_000;
/// A handshake that takes more flights than this goes in circles.
const MOST_ROUNDS: u32 = 10;

/// The steps, in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Keys and certificates are made.
    Certificates,
    /// Client and server shake hands.
    Handshake,
    /// Each side names the other by its SPIFFE ID.
    Identity,
    /// Data goes both ways and arrives unchanged.
    Data,
    /// A server that another authority certified is refused.
    ForeignServer,
    /// A client that another authority certified is refused.
    ForeignClient,
    /// A server of the right authority with another SPIFFE ID than expected is refused.
    WrongIdentity,
}

/// The first step that did not do what it should.
#[derive(Clone, PartialEq, Debug)]
pub struct SelfTestError {
    /// Which.
    pub step: Step,
    /// Why, where something failed; none where something succeeded that should have failed,
    /// or where a result was wrong.
    pub error: Option<TlsError>,
}

/// What a passed self-test measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SelfTestPassed {
    /// What client and server agreed on.
    pub negotiated: Negotiated,
    /// Flights until both sides were done.
    pub rounds: u32,
    /// Bytes of all flights.
    pub handshake_bytes: usize,
    /// Bytes of application data that arrived, both ways together.
    pub data_bytes: usize,
}

/// Runs every step.
///
/// # Errors
/// At the first step that did not do what it should.
#[inline(never)]
pub fn selftest<P: Platform>() -> Result<SelfTestPassed, SelfTestError> {
    let world = World::new::<P>().map_err(failed(Step::Certificates))?;
    let mut pair = world
        .pair::<P>(&world.client, &world.server)
        .map_err(failed(Step::Handshake))?;
    let flights = shake_hands(&mut pair).map_err(failed(Step::Handshake))?;
    let negotiated = identities(&pair).ok_or(wrong(Step::Identity))?;
    let data_bytes = exchange::<P>(&mut pair)
        .map_err(failed(Step::Data))?
        .ok_or(wrong(Step::Data))?;
    drop(pair);
    refusals::<P>(&world)?;
    Ok(SelfTestPassed {
        negotiated,
        rounds: flights.rounds,
        handshake_bytes: flights.bytes,
        data_bytes,
    })
}

/// Everybody in it.
struct World {
    authority: Authority,
    client: Identity,
    server: Identity,
    /// The same names, by an authority of the same name but with another key.
    foreign_client: Identity,
    foreign_server: Identity,
}

impl World {
    #[inline(never)]
    fn new<P: Platform>() -> Result<Box<Self>, TlsError> {
        let domain = TrustDomain::parse(DOMAIN)?;
        let (client, server) = (SpiffeId::parse(CLIENT)?, SpiffeId::parse(SERVER)?);
        // As a node has them: an intermediate signs SVIDs, and its root is trusted.
        let authority = Authority::new::<P>(domain.clone())?.intermediate::<P>()?;
        let foreign = Authority::new::<P>(domain)?.intermediate::<P>()?;
        Ok(Box::new(Self {
            client: authority.issue::<P>(&client)?,
            server: authority.issue::<P>(&server)?,
            foreign_client: foreign.issue::<P>(&client)?,
            foreign_server: foreign.issue::<P>(&server)?,
            authority,
        }))
    }

    /// Both ends of a connection; the client expects exactly [`SERVER`].
    #[inline(never)]
    fn pair<P: Platform>(&self, client: &Identity, server: &Identity) -> Result<Pair, TlsError> {
        let expected = Expected::any_of([Allowed::Workload(SpiffeId::parse(SERVER)?)]);
        let (trust, everybody) = (self.authority.trust()?, self.authority.everybody());
        Ok(Pair {
            client: connect::<P>(client, Arc::clone(&trust), expected)?,
            server: accept::<P>(server, trust, everybody)?,
        })
    }
}

pub(crate) struct Pair {
    pub(crate) client: Box<dyn Session>,
    pub(crate) server: Box<dyn Session>,
}

pub(crate) struct Flights {
    pub(crate) rounds: u32,
    pub(crate) bytes: usize,
}

/// Carries flights to and fro until neither side has one.
pub(crate) fn shake_hands(pair: &mut Pair) -> Result<Flights, TlsError> {
    let mut flights = Flights {
        rounds: 0,
        bytes: 0,
    };
    let Pair { client, server } = pair;
    let (mut from, mut to) = (client, server);
    while flights.rounds < MOST_ROUNDS {
        let flight = from.take_output();
        if flight.is_empty() {
            break;
        }
        flights.rounds += 1;
        flights.bytes += flight.len();
        to.receive(&flight)?;
        core::mem::swap(&mut from, &mut to);
    }
    let open = |session: &dyn Session| session.state() == SessionState::Open;
    if open(from.as_ref()) && open(to.as_ref()) {
        return Ok(flights);
    }
    Err(TlsError::NotOpen)
}

/// What was agreed on, when each side knows the other by its right name.
fn identities(pair: &Pair) -> Option<Negotiated> {
    let named = |session: &dyn Session, name| Some(session.peer()?.id().as_str() == name);
    let right = named(pair.client.as_ref(), SERVER)? && named(pair.server.as_ref(), CLIENT)?;
    let negotiated = pair.client.negotiated()?;
    (right && pair.server.negotiated()? == negotiated).then_some(negotiated)
}

/// Sends random data both ways; how much arrived, when all of it arrived unchanged and none
/// of it was readable on the way.
#[inline(never)]
fn exchange<P: Platform>(pair: &mut Pair) -> Result<Option<usize>, TlsError> {
    let Pair { client, server } = pair;
    let there = carry::<P>(client.as_mut(), server.as_mut())?;
    let back = carry::<P>(server.as_mut(), client.as_mut())?;
    Ok(there.zip(back).map(|(there, back)| there + back))
}

pub(crate) fn carry<P: Platform>(
    from: &mut dyn Session,
    to: &mut dyn Session,
) -> Result<Option<usize>, TlsError> {
    let mut data = vec![0; DATA_LEN];
    P::fill_random(&mut data)?;
    from.send(&data)?;
    let sent = from.take_output();
    to.receive(&sent)?;
    let needle = data.get(..16).unwrap_or_default();
    let readable = sent.windows(needle.len()).any(|window| window == needle);
    Ok((to.take_data() == data && !readable).then_some(data.len()))
}

/// Who must be refused is refused, and for the right reason's side.
#[inline(never)]
fn refusals<P: Platform>(world: &World) -> Result<(), SelfTestError> {
    let cases = [
        (Step::ForeignServer, &world.client, &world.foreign_server),
        (Step::ForeignClient, &world.foreign_client, &world.server),
        // The client of the right authority stands where the server should.
        (Step::WrongIdentity, &world.client, &world.client),
    ];
    for (step, client, server) in cases {
        let mut pair = world.pair::<P>(client, server).map_err(failed(step))?;
        match shake_hands(&mut pair) {
            Err(TlsError::Session(rustls::Error::InvalidCertificate(_))) => {}
            Err(error) => return Err(failed(step)(error)),
            Ok(_) => return Err(wrong(step)),
        }
    }
    Ok(())
}

fn failed(step: Step) -> impl FnOnce(TlsError) -> SelfTestError {
    move |error| SelfTestError {
        step,
        error: Some(error),
    }
}

fn wrong(step: Step) -> SelfTestError {
    SelfTestError { step, error: None }
}
