// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! A TLS session as the rest of the module sees it: bytes in, bytes out.

use alloc::{boxed::Box, sync::Arc, vec, vec::Vec};

use rustls::{
    client::{ClientConnectionData, UnbufferedClientConnection},
    server::{ServerConnectionData, UnbufferedServerConnection},
    unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus},
};

use crate::{Peer, Records, TlsError, verify::PeerVerifier};

/// How far a session has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SessionState {
    /// Neither side may send data yet.
    Handshaking,
    /// The peer is who we expect; data may be sent.
    Open,
    /// We have ended our direction in order: nothing more is sent, what the peer still sends
    /// is read.
    LocalClosed,
    /// The peer has ended its direction in order: what it sends after that is not looked at.
    /// We may still say farewell.
    PeerClosed,
    /// Both have.
    Closed,
    /// It failed. Nothing of it may be used; an alert for the peer may wait in the output.
    Failed,
}

/// What both sides agreed on, as numbers of the TLS registry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Negotiated {
    /// The cipher suite.
    pub cipher_suite: u16,
    /// The key exchange group.
    pub group: u16,
}

/// A TLS 1.3 session of either side. It does no IO: the caller moves the bytes.
pub trait Session: Send {
    /// Takes bytes from the peer, any number of them, and goes as far as they lead. After the
    /// peer's farewell they are dropped (RFC 8446, section 6.1).
    ///
    /// # Errors
    /// When the session fails; it stays failed.
    fn receive(&mut self, bytes: &[u8]) -> Result<(), TlsError>;

    /// What is to be sent to the peer, once.
    fn take_output(&mut self) -> Vec<u8>;

    /// What the peer has sent, decrypted, once.
    fn take_data(&mut self) -> Vec<u8>;

    /// Encrypts data for the peer into the output.
    ///
    /// # Errors
    /// When the session is not open.
    fn send(&mut self, data: &[u8]) -> Result<(), TlsError>;

    /// Ends the session in order: the peer is told.
    ///
    /// # Errors
    /// When the handshake is not done, or the peer was told already.
    fn close(&mut self) -> Result<(), TlsError>;

    /// Ends the session, and hands what protects its records over to whoever writes and reads
    /// them from here on.
    ///
    /// # Errors
    /// When it is not open, or when something would be lost: bytes that are to be sent, or that
    /// were received and not read. The caller must have stopped reading at the end of the record
    /// that opened it.
    fn into_records(self: Box<Self>) -> Result<Records, TlsError>;

    /// How far it has come.
    fn state(&self) -> SessionState;

    /// Who the peer is; only when its certificate was accepted and the session has not failed.
    fn peer(&self) -> Option<&Peer>;

    /// What was agreed on; as [`Self::peer`].
    fn negotiated(&self) -> Option<Negotiated>;
}

/// What differs between client and server in rustls' unbuffered API.
pub(crate) trait Side: Send + 'static {
    type Data;

    fn process<'c, 'i>(&'c mut self, bytes: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
    fn common(&self) -> &rustls::CommonState;
    fn into_records(self) -> Result<Records, TlsError>;
}

impl Side for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn process<'c, 'i>(&'c mut self, bytes: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(bytes)
    }

    fn common(&self) -> &rustls::CommonState {
        self
    }

    fn into_records(self) -> Result<Records, TlsError> {
        let (secrets, connection) = self.dangerous_into_kernel_connection()?;
        Records::new(&secrets, connection)
    }
}

impl Side for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn process<'c, 'i>(&'c mut self, bytes: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(bytes)
    }

    fn common(&self) -> &rustls::CommonState {
        self
    }

    fn into_records(self) -> Result<Records, TlsError> {
        let (secrets, connection) = self.dangerous_into_kernel_connection()?;
        Records::new(&secrets, connection)
    }
}

/// What the caller wants done as soon as the connection allows it.
enum Wish<'a> {
    Nothing,
    Send(&'a [u8]),
    Close,
}

/// A session over rustls' unbuffered connection. Large: it lives in a box.
pub(crate) struct Unbuffered<C> {
    connection: C,
    verifier: Arc<PeerVerifier>,
    state: SessionState,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    data: Vec<u8>,
}

impl<C: Side> Unbuffered<C> {
    #[inline(never)]
    pub(crate) fn start(
        connection: C,
        verifier: Arc<PeerVerifier>,
    ) -> Result<Box<dyn Session>, TlsError> {
        let mut session = Box::new(Self {
            connection,
            verifier,
            state: SessionState::Handshaking,
            incoming: Vec::new(),
            outgoing: Vec::new(),
            data: Vec::new(),
        });
        session.advance(Wish::Nothing)?;
        Ok(session)
    }

    /// Goes on until rustls wants bytes that are not there yet.
    fn advance(&mut self, mut wish: Wish<'_>) -> Result<(), TlsError> {
        loop {
            match self.step(&mut wish) {
                Ok(Progress::More) => {}
                Ok(Progress::Blocked) => return Ok(()),
                Err(error) => {
                    self.state = SessionState::Failed;
                    return Err(error);
                }
            }
        }
    }

    #[inline(never)]
    fn step(&mut self, wish: &mut Wish<'_>) -> Result<Progress, TlsError> {
        let UnbufferedStatus { discard, state, .. } = self.connection.process(&mut self.incoming);
        let result = match state {
            Ok(state) => act(
                state,
                wish,
                &mut self.state,
                &mut self.outgoing,
                &mut self.data,
            ),
            Err(error) => Err(error.into()),
        };
        self.incoming.drain(..discard);
        result
    }

    /// What is known of a session whose handshake is done and that has not failed.
    fn established(&self) -> Option<&rustls::CommonState> {
        let done = !matches!(self.state, SessionState::Handshaking | SessionState::Failed);
        done.then(|| self.connection.common())
    }
}

enum Progress {
    More,
    Blocked,
}

/// Does what one state of the connection asks for.
fn act<Data>(
    connection: ConnectionState<'_, '_, Data>,
    wish: &mut Wish<'_>,
    session: &mut SessionState,
    outgoing: &mut Vec<u8>,
    data: &mut Vec<u8>,
) -> Result<Progress, TlsError> {
    match connection {
        ConnectionState::EncodeTlsData(mut state) => append(outgoing, |out| {
            state.encode(out).map_err(|error| match error {
                EncodeError::InsufficientSize(size) => Some(size.required_size),
                EncodeError::AlreadyEncoded => None,
            })
        })?,
        // The bytes are the caller's already, who sends them in this order.
        ConnectionState::TransmitTlsData(state) => state.done(),
        ConnectionState::ReadTraffic(mut state) => {
            while let Some(record) = state.next_record() {
                data.extend_from_slice(record?.payload);
            }
        }
        ConnectionState::WriteTraffic(mut state) => {
            // rustls comes here again and again, after either farewell too.
            if *session == SessionState::Handshaking {
                *session = SessionState::Open;
            }
            let mut encrypt = |write: &mut dyn FnMut(&mut [u8]) -> Result<usize, EncryptError>| {
                append(outgoing, |out| {
                    write(out).map_err(|error| match error {
                        EncryptError::InsufficientSize(size) => Some(size.required_size),
                        EncryptError::EncryptExhausted => None,
                    })
                })
            };
            match core::mem::replace(wish, Wish::Nothing) {
                Wish::Nothing => return Ok(Progress::Blocked),
                Wish::Send(text) => encrypt(&mut |out| state.encrypt(text, out))?,
                Wish::Close => encrypt(&mut |out| state.queue_close_notify(out))?,
            }
        }
        ConnectionState::PeerClosed | ConnectionState::Closed => {
            *session = match *session {
                SessionState::LocalClosed | SessionState::Closed => SessionState::Closed,
                _ => SessionState::PeerClosed,
            };
            // Without a wish there is nothing more to do; with one rustls goes on to write.
            return Ok(match wish {
                Wish::Nothing => Progress::Blocked,
                Wish::Send(_) | Wish::Close => Progress::More,
            });
        }
        ConnectionState::BlockedHandshake => return Ok(Progress::Blocked),
        // Early data is never enabled, and rustls may add states.
        _ => return Err(TlsError::NotOpen),
    }
    Ok(Progress::More)
}

/// Lets `write` append to `out`: first it says how much room it needs.
fn append(
    out: &mut Vec<u8>,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>,
) -> Result<(), TlsError> {
    let room = match write(&mut []) {
        Ok(_) => return Ok(()),
        Err(room) => room.ok_or(TlsError::NotOpen)?,
    };
    let mut buffer = vec![0; room];
    let written = write(&mut buffer).map_err(|_| TlsError::NotOpen)?;
    out.extend_from_slice(buffer.get(..written).ok_or(TlsError::NotOpen)?);
    Ok(())
}

impl<C: Side> Session for Unbuffered<C> {
    fn receive(&mut self, bytes: &[u8]) -> Result<(), TlsError> {
        if self.state == SessionState::Failed {
            return Err(TlsError::NotOpen);
        }
        if matches!(self.state, SessionState::PeerClosed | SessionState::Closed) {
            return Ok(());
        }
        self.incoming.extend_from_slice(bytes);
        let result = self.advance(Wish::Nothing);
        if let Err(error) = result {
            // Fetch the alert that tells the peer why, and not one step more: rustls' deframer
            // must not see the input again after it has failed on it.
            while self.connection.common().wants_write() && self.step(&mut Wish::Nothing).is_ok() {}
            self.state = SessionState::Failed;
            return Err(error);
        }
        Ok(())
    }

    fn take_output(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.outgoing)
    }

    fn take_data(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.data)
    }

    fn send(&mut self, data: &[u8]) -> Result<(), TlsError> {
        if self.state != SessionState::Open {
            return Err(TlsError::NotOpen);
        }
        self.advance(Wish::Send(data))
    }

    fn close(&mut self) -> Result<(), TlsError> {
        let after = match self.state {
            SessionState::Open => SessionState::LocalClosed,
            SessionState::PeerClosed => SessionState::Closed,
            _ => return Err(TlsError::NotOpen),
        };
        self.advance(Wish::Close)?;
        self.state = after;
        Ok(())
    }

    fn into_records(self: Box<Self>) -> Result<Records, TlsError> {
        let lost = if self.state != SessionState::Open {
            Some("the handshake is not done")
        } else if !self.outgoing.is_empty() {
            Some("something is still to be sent")
        } else if !self.incoming.is_empty() || !self.data.is_empty() {
            Some("something was received that nobody has read")
        } else {
            None
        };
        match lost {
            Some(why) => Err(TlsError::NoRecords(why)),
            None => self.connection.into_records(),
        }
    }

    fn state(&self) -> SessionState {
        self.state
    }

    fn peer(&self) -> Option<&Peer> {
        self.established()?;
        self.verifier.found()
    }

    fn negotiated(&self) -> Option<Negotiated> {
        let common = self.established()?;
        Some(Negotiated {
            cipher_suite: common.negotiated_cipher_suite()?.suite().into(),
            group: common.negotiated_key_exchange_group()?.name().into(),
        })
    }
}
