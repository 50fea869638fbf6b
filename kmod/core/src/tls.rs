// SPDX-License-Identifier: GPL-2.0-only
//! A handshake whose bytes the shim moves, until it takes the records over.

use alloc::{boxed::Box, sync::Arc, vec::Vec};

use tidelock_tls::{
    Allowed, Cipher, Expected, Identity, Negotiated, Session, SessionState, Traffic, Trust, accept,
    connect,
};
use tidelock_wire::{Direction, Peer, Terms};

use crate::{platform::Kernel, serve::Errno};

/// A session, and what the shim has not sent yet of its output.
pub(crate) struct Tls {
    session: Box<dyn Session>,
    output: Vec<u8>,
    sent: usize,
}

/// The longest SPIFFE ID.
const MAX_ID: usize = 2048;

/// `struct tdl_traffic`: what protects one direction.
#[repr(C)]
pub(crate) struct TrafficFacts {
    pub(crate) sequence: u64,
    pub(crate) key: [u8; 32],
    pub(crate) iv: [u8; 12],
    pub(crate) zero: u32,
}

/// `struct tdl_records`: what was agreed on, and with whom.
#[repr(C)]
pub(crate) struct RecordsFacts {
    /// What we send.
    pub(crate) tx: TrafficFacts,
    /// What we receive.
    pub(crate) rx: TrafficFacts,
    /// Until when the peer is who it is, in seconds since 1970.
    pub(crate) until: u64,
    /// `TDL_CIPHER_AES128GCM` and so on.
    pub(crate) cipher: u32,
    /// Numbers of the TLS registry.
    pub(crate) suite: u16,
    pub(crate) group: u16,
    /// How much of `peer` is the peer's SPIFFE ID.
    pub(crate) peer_len: u32,
    pub(crate) zero: u32,
    pub(crate) peer: [u8; MAX_ID],
}

impl Tls {
    /// At this end of a connection, as `identity`, with whom the terms of a verdict say.
    pub(crate) fn new(
        direction: u32,
        identity: &Identity,
        trust: Arc<Trust>,
        terms: &[u8],
    ) -> Result<Self, Errno> {
        let terms = Terms::decode(terms).map_err(|_| Errno::Invalid)?;
        let expected = Expected::any_of(terms.peers.iter().map(|peer| match peer {
            Peer::Workload(id) => Allowed::Workload(id.into()),
            Peer::Domain(domain) => Allowed::Domain(domain.into()),
        }));
        let direction = u8::try_from(direction)
            .ok()
            .and_then(Direction::from_number)
            .ok_or(Errno::Invalid)?;
        let session = match direction {
            Direction::Connect => connect::<Kernel>(identity, trust, expected),
            Direction::Accept => accept::<Kernel>(identity, trust, expected),
        };
        Ok(Self {
            session: session.map_err(|_| Errno::Invalid)?,
            output: Vec::new(),
            sent: 0,
        })
    }

    /// Takes bytes from the peer, and says whether the handshake is done. An alert may wait to be
    /// sent where it has failed.
    pub(crate) fn receive(&mut self, bytes: &[u8]) -> Result<bool, Errno> {
        self.session.receive(bytes).map_err(|error| {
            if error.is_about_the_peer() {
                Errno::Rejected
            } else {
                Errno::Protocol
            }
        })?;
        match self.session.state() {
            SessionState::Handshaking => Ok(false),
            SessionState::Open => Ok(true),
            // A farewell in the midst of it.
            _ => Err(Errno::Protocol),
        }
    }

    /// Copies what is to be sent next: how much, and 0 when there is nothing.
    pub(crate) fn output(&mut self, out: &mut [u8]) -> usize {
        if self.sent == self.output.len() {
            self.output = self.session.take_output();
            self.sent = 0;
        }
        let rest = self.output.get(self.sent..).unwrap_or_default();
        let count = rest.len().min(out.len());
        for (place, byte) in out.iter_mut().zip(rest) {
            *place = *byte;
        }
        self.sent += count;
        count
    }

    /// Ends it, and fills in what protects the records from here on. Not before the handshake is
    /// done and all of it is sent.
    pub(crate) fn into_records(self, records: &mut RecordsFacts) -> Result<(), Errno> {
        if self.sent != self.output.len() {
            return Err(Errno::Invalid);
        }
        let negotiated = self.session.negotiated().ok_or(Errno::Invalid)?;
        let peer = self.session.peer().ok_or(Errno::Invalid)?;
        records.tell_peer(peer.id().as_str(), peer.until(), negotiated)?;
        let keys = self.session.into_records().map_err(|_| Errno::Invalid)?;
        records.cipher = match keys.tx.cipher() {
            Cipher::Aes128Gcm => 1,
            Cipher::Aes256Gcm => 2,
            Cipher::ChaCha20Poly1305 => 3,
        };
        records.tx.tell(&keys.tx)?;
        records.rx.tell(&keys.rx)
    }
}

impl RecordsFacts {
    fn tell_peer(&mut self, id: &str, until: u64, negotiated: Negotiated) -> Result<(), Errno> {
        let id = id.as_bytes();
        let place = self.peer.get_mut(..id.len()).ok_or(Errno::Invalid)?;
        place.copy_from_slice(id);
        self.peer_len = u32::try_from(id.len()).map_err(|_| Errno::Invalid)?;
        self.until = until;
        self.suite = negotiated.cipher_suite;
        self.group = negotiated.group;
        Ok(())
    }
}

impl TrafficFacts {
    fn tell(&mut self, traffic: &Traffic) -> Result<(), Errno> {
        let key = traffic.key();
        let place = self.key.get_mut(..key.len()).ok_or(Errno::Invalid)?;
        place.copy_from_slice(key);
        self.iv = *traffic.iv();
        self.sequence = traffic.sequence();
        Ok(())
    }
}
