// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One opening of the device, from the hello to its end.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tidelock_wire::{
    Answer, Ask, Bundle, DecodeError, Direction, EncodeError, Frame, Hello, Issued, MAX_FRAME,
    Refusal, Request, Status, Verdict,
};
use tokio::{sync::oneshot, time::timeout};

use super::{
    channel::{Channel, ChannelError},
    greeting::{self, GreetingError},
    place::{OpenError, Place},
};
use crate::attest::Facts;

/// How long the first frame may take, and an answer. The kernel answers at once or is in
/// trouble.
const PATIENCE: Duration = Duration::from_secs(10);

/// The device cannot be used, or not any more.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It is closed.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// It cannot be spoken with.
    #[error(transparent)]
    Greeting(#[from] GreetingError),
    /// It says what is no frame.
    #[error("the module says what is no frame: {0}: install module and daemon of the same release")]
    Nonsense(DecodeError),
    /// A frame of ours is too long, which none is.
    #[error("a frame cannot be written: {0}")]
    Encode(#[from] EncodeError),
    /// It does not say what it should.
    #[error("the module does not answer within {} s", PATIENCE.as_secs())]
    Silent,
    /// It does not do what it is asked.
    #[error(
        "the module does not know the request {request}: install module and daemon of the same release"
    )]
    Refused {
        /// Which one.
        request: &'static str,
    },
}

/// A connection waits for a verdict.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Question {
    /// What the verdict must carry.
    pub id: u64,
    /// Which end the process is.
    pub direction: Direction,
    /// This end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// Who.
    pub facts: Facts,
}

/// What the kernel asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Asked {
    /// For a verdict.
    Verdict(Question),
    /// For an SVID, for the process and connection of a question whose verdict was mTLS.
    Svid {
        /// That question, under the number of the SVID.
        question: Question,
        /// The request, in DER.
        csr: Vec<u8>,
    },
}

impl Question {
    fn new(id: u64, ask: &Ask<'_>) -> Self {
        Self {
            id,
            direction: ask.direction,
            local: ask.local,
            remote: ask.remote,
            facts: Facts::of_task(&ask.task),
        }
    }
}

/// An answer to a request of ours.
#[derive(Debug)]
enum Reply {
    Status(Status),
    Done,
    Refused(Refusal),
}

/// A trust bundle is not in force: the module does not take it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TrustRefused {
    /// It knows nothing of bundles.
    #[error("it does not know of trust bundles: install module and daemon of the same release")]
    Unsupported,
    /// It has no room for another domain.
    #[error("it has no room for more trust domains")]
    Limit,
    /// A certificate cannot be read.
    #[error("it cannot read a certificate of it")]
    Certificate,
}

impl From<Refusal> for TrustRefused {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unsupported => Self::Unsupported,
            Refusal::Limit => Self::Limit,
            Refusal::Certificate => Self::Certificate,
        }
    }
}

/// One opening of the device.
#[derive(Debug)]
pub struct Session {
    channel: Channel,
    pending: Mutex<HashMap<u64, oneshot::Sender<Reply>>>,
    last_id: AtomicU64,
}

impl Session {
    /// Opens the device and reads the hello.
    ///
    /// # Errors
    /// When it cannot be opened or spoken with.
    pub async fn open(place: &Place) -> Result<(Self, Hello), SessionError> {
        let channel = Channel::new(place.open()?)?;
        let mut buffer = Box::new([0; MAX_FRAME]);
        let first = timeout(PATIENCE, channel.receive(&mut buffer)).await;
        let hello = greeting::read(first.map_err(|_| SessionError::Silent)??)?;
        let session = Self {
            channel,
            pending: Mutex::default(),
            last_id: AtomicU64::new(0),
        };
        Ok((session, hello))
    }

    /// Waits for what is asked next; `buffer` is for the frame. Answers to [`Self::request`]
    /// arrive meanwhile, so somebody must wait here for as long as the session is used.
    ///
    /// # Errors
    /// When there is nothing more to hear.
    pub async fn asked(&self, buffer: &mut [u8; MAX_FRAME]) -> Result<Asked, SessionError> {
        loop {
            let bytes = self.channel.receive(buffer).await?;
            let frame = Frame::<Answer<'_>>::decode(bytes).map_err(SessionError::Nonsense)?;
            match frame.message {
                Answer::Ask(ask) => return Ok(Asked::Verdict(Question::new(frame.id, &ask))),
                Answer::Sign(sign) => {
                    return Ok(Asked::Svid {
                        question: Question::new(frame.id, &sign.ask),
                        csr: sign.csr.to_owned(),
                    });
                }
                Answer::Status(status) => self.settle(frame.id, Reply::Status(status)),
                Answer::Refused(refusal) => self.settle(frame.id, Reply::Refused(refusal)),
                Answer::Done => self.settle(frame.id, Reply::Done),
                // Only the first frame is a hello, and nobody here asks for the other.
                Answer::Hello(_) | Answer::SelfTest(_) => {
                    tracing::warn!(id = frame.id, "the module says what nobody asked for");
                }
            }
        }
    }

    /// Asks for [`Request::Status`] or [`Request::Configure`], while somebody listens.
    ///
    /// # Errors
    /// When it is refused, or not answered.
    pub async fn request(&self, request: Request<'_>) -> Result<Status, SessionError> {
        let name = match &request {
            Request::Configure(_) => "Configure",
            _ => "Status",
        };
        match self.reply(&request).await? {
            Reply::Status(status) => Ok(status),
            // These requests are refused for nothing else, and answered by nothing else.
            Reply::Done
            | Reply::Refused(Refusal::Unsupported | Refusal::Limit | Refusal::Certificate) => {
                Err(SessionError::Refused { request: name })
            }
        }
    }

    /// Has the module trust these authorities for a domain and no others, while somebody listens.
    ///
    /// # Errors
    /// The outer, when it is not answered; the inner, when the module does not take it.
    pub async fn trust(
        &self,
        bundle: Bundle<'_>,
    ) -> Result<Result<(), TrustRefused>, SessionError> {
        match self.reply(&Request::Bundle(bundle)).await? {
            Reply::Done => Ok(Ok(())),
            Reply::Refused(refusal) => Ok(Err(refusal.into())),
            Reply::Status(_) => Err(SessionError::Refused { request: "Bundle" }),
        }
    }

    async fn reply(&self, request: &Request<'_>) -> Result<Reply, SessionError> {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let (send, receive) = oneshot::channel();
        self.pending().insert(id, send);
        let reply = async {
            self.send(id, request).await?;
            let gone = |_| SessionError::Channel(ChannelError::Vanished);
            receive.await.map_err(gone)
        };
        let reply = timeout(PATIENCE, reply).await;
        // It was taken out when it was answered.
        self.pending().remove(&id);
        reply.map_err(|_| SessionError::Silent)?
    }

    /// Answers a question.
    ///
    /// # Errors
    /// When it cannot be said any more.
    pub async fn answer(&self, id: u64, verdict: Verdict<'_>) -> Result<(), SessionError> {
        self.send(id, &Request::Verdict(verdict)).await
    }

    /// Answers a request for an SVID.
    ///
    /// # Errors
    /// When it cannot be said any more.
    pub async fn issued(&self, id: u64, issued: Issued<'_>) -> Result<(), SessionError> {
        self.send(id, &Request::Issued(issued)).await
    }

    async fn send(&self, id: u64, request: &Request<'_>) -> Result<(), SessionError> {
        let frame = Frame {
            id,
            message: *request,
        };
        let mut bytes = vec![0; frame.encoded_len()];
        frame.encode(&mut bytes)?;
        Ok(self.channel.send(&bytes).await?)
    }

    fn settle(&self, id: u64, reply: Reply) {
        let Some(waiting) = self.pending().remove(&id) else {
            tracing::warn!(id, "the module answers what was not asked, or too late");
            return;
        };
        // Who asked may have given up.
        let _ = waiting.send(reply);
    }

    fn pending(&self) -> std::sync::MutexGuard<'_, HashMap<u64, oneshot::Sender<Reply>>> {
        // The table is whole after every statement that changes it.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
