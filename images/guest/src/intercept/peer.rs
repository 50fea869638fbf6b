// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A peer that speaks TLS by itself, in the process that has the device open: nobody intercepts it.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use tidelock_tls::{Session, SessionState, TlsError};

use crate::failure::{Checked, Failure, ensure};

/// How long a peer may take to answer, on a busy host.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a handshake came to.
pub(crate) enum Shaken {
    /// It is done, and ended without another word; the peer's SPIFFE ID.
    Done(String),
    /// It failed here, or the peer said so.
    Failed(TlsError),
    /// The peer was gone before.
    Gone(io::ErrorKind),
}

/// One end of a connection.
pub(crate) struct TlsPeer {
    stream: TcpStream,
    session: Box<dyn Session>,
    /// The most that is sent at once.
    piece: usize,
}

fn failed(what: &'static str) -> impl Fn(io::Error) -> Failure {
    move |error| Failure::Assertion(format!("{what}: {error}"))
}

/// A connection of this process.
pub(crate) fn dial(address: &str) -> Checked<TcpStream> {
    let address: SocketAddr = address
        .parse()
        .map_err(|error| Failure::Assertion(format!("{address}: {error}")))?;
    let stream = TcpStream::connect(address).map_err(failed("connect"))?;
    stream
        .set_read_timeout(Some(PATIENCE))
        .map_err(failed("set a timeout"))?;
    Ok(stream)
}

/// It must be ended by the other side: with a reset, or in order.
pub(crate) fn is_ended(stream: &mut TcpStream) -> Checked<()> {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(()),
        Err(error) => Err(failed("the end of a connection")(error)),
    }
}

impl TlsPeer {
    /// Over this connection.
    pub(crate) fn new(stream: TcpStream, session: Box<dyn Session>) -> Self {
        Self {
            stream,
            session,
            piece: usize::MAX,
        }
    }

    /// The same, which sends so many bytes at once.
    pub(crate) fn in_pieces(self, piece: usize) -> Self {
        Self { piece, ..self }
    }

    fn send(&mut self) -> io::Result<()> {
        self.stream.set_nodelay(true)?;
        self.session
            .take_output()
            .chunks(self.piece)
            .try_for_each(|piece| self.stream.write_all(piece))
    }

    /// Shakes hands, and waits until the other side has ended the connection. A client is done before
    /// the server has looked at its certificate: what it says then is what it came to.
    pub(crate) fn shake(mut self) -> Shaken {
        let shaken = self.talk();
        if !matches!(shaken, Shaken::Done(_)) {
            return shaken;
        }
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(length) => {
                let bytes = buffer.get(..length).unwrap_or_default();
                let heard = self.session.receive(bytes);
                heard.map_or_else(Shaken::Failed, |()| shaken)
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => shaken,
            Err(error) => Shaken::Gone(error.kind()),
        }
    }

    fn talk(&mut self) -> Shaken {
        let mut buffer = [0; 4096];
        loop {
            if let Err(error) = self.send() {
                return Shaken::Gone(error.kind());
            }
            if self.session.state() == SessionState::Open {
                let peer = self
                    .session
                    .peer()
                    .map(|peer| peer.id().as_str().to_owned());
                return Shaken::Done(peer.unwrap_or_default());
            }
            let bytes = match self.stream.read(&mut buffer) {
                Ok(0) => return Shaken::Gone(io::ErrorKind::UnexpectedEof),
                Ok(length) => buffer.get(..length).unwrap_or_default(),
                Err(error) => return Shaken::Gone(error.kind()),
            };
            if let Err(error) = self.session.receive(bytes) {
                // The alert.
                let _ = self.send();
                return Shaken::Failed(error);
            }
        }
    }
}

impl Shaken {
    fn told(&self) -> String {
        match self {
            Self::Done(peer) => format!("a handshake with {peer}"),
            Self::Failed(error) => error.to_string(),
            Self::Gone(kind) => kind.to_string(),
        }
    }

    /// It must have been done, with this peer.
    pub(crate) fn is_with(&self, id: &str) -> Checked<()> {
        ensure(matches!(self, Self::Done(peer) if peer == id), || {
            format!("a handshake with {id} came to {}", self.told())
        })
    }

    /// The peer must have said no, by an alert.
    pub(crate) fn is_refused(&self) -> Checked<()> {
        ensure(matches!(self, Self::Failed(_)), || {
            format!("a handshake that was to be refused came to {}", self.told())
        })
    }
}
