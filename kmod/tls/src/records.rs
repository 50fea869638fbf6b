// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! What protects the records of a connection, once its handshake is done: handed over to kTLS, or
//! to a record layer of our own.
//!
//! A key must have one writer. So a session gives its keys away whole or not at all, and is no
//! more when it has: what it had sealed or opened by then is said by the sequence numbers.

use alloc::boxed::Box;
use core::fmt;

use rustls::{ConnectionTrafficSecrets, Error, ExtractedSecrets, kernel::KernelConnection};
use zeroize::Zeroizing;

use crate::TlsError;

/// The longest key of an AEAD of TLS 1.3.
const KEY: usize = 32;
/// The nonces' fixed part (RFC 8446, 5.3).
const IV: usize = 12;

/// Which AEAD protects the records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cipher {
    /// AES-128-GCM.
    Aes128Gcm,
    /// AES-256-GCM.
    Aes256Gcm,
    /// ChaCha20-Poly1305.
    ChaCha20Poly1305,
}

impl Cipher {
    /// The length of its keys, in bytes.
    pub const fn key_len(self) -> usize {
        match self {
            Self::Aes128Gcm => 16,
            Self::Aes256Gcm | Self::ChaCha20Poly1305 => 32,
        }
    }
}

/// What protects one direction from here on. Wiped when it goes. Only tests compare keys: that takes
/// as long as they are alike.
#[cfg_attr(test, derive(PartialEq, Eq))]
pub struct Traffic {
    key: Zeroizing<[u8; KEY]>,
    iv: Zeroizing<[u8; IV]>,
    cipher: Cipher,
    sequence: u64,
}

impl Traffic {
    fn new(sequence: u64, secrets: &ConnectionTrafficSecrets) -> Result<Self, TlsError> {
        let (cipher, key, iv) = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (Cipher::Aes128Gcm, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (Cipher::Aes256Gcm, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => {
                (Cipher::ChaCha20Poly1305, key, iv)
            }
            _ => return Err(TlsError::NoRecords("an unknown cipher")),
        };
        let mut traffic = Self {
            key: Zeroizing::new([0; KEY]),
            iv: Zeroizing::new([0; IV]),
            cipher,
            sequence,
        };
        let wrong = TlsError::NoRecords("a key of the wrong length");
        let place = traffic.key.get_mut(..cipher.key_len());
        match place.filter(|place| place.len() == key.as_ref().len()) {
            Some(place) => place.copy_from_slice(key.as_ref()),
            None => return Err(wrong),
        }
        if iv.as_ref().len() != IV {
            return Err(wrong);
        }
        traffic.iv.copy_from_slice(iv.as_ref());
        Ok(traffic)
    }

    /// The AEAD.
    pub const fn cipher(&self) -> Cipher {
        self.cipher
    }

    /// Its key.
    pub fn key(&self) -> &[u8] {
        self.key.get(..self.cipher.key_len()).unwrap_or_default()
    }

    /// The fixed part of the nonces.
    pub fn iv(&self) -> &[u8; IV] {
        &self.iv
    }

    /// The number of the next record.
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }
}

/// Without a key in it.
impl fmt::Debug for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Traffic({:?}, {})", self.cipher, self.sequence)
    }
}

/// Both directions of a connection whose session is no more.
pub struct Records {
    /// What we send.
    pub tx: Traffic,
    /// What we receive.
    pub rx: Traffic,
    next: Box<dyn KeyUpdate>,
}

impl Records {
    pub(crate) fn new<Data: Send + 'static>(
        secrets: &ExtractedSecrets,
        connection: KernelConnection<Data>,
    ) -> Result<Self, TlsError> {
        Ok(Self {
            tx: Traffic::new(secrets.tx.0, &secrets.tx.1)?,
            rx: Traffic::new(secrets.rx.0, &secrets.rx.1)?,
            next: Box::new(connection),
        })
    }

    /// The next keys of what we send, for after our KeyUpdate (RFC 8446, 4.6.3).
    ///
    /// # Errors
    /// When they cannot be derived.
    pub fn update_tx(&mut self) -> Result<&Traffic, TlsError> {
        let (sequence, secrets) = self.next.tx()?;
        self.tx = Traffic::new(sequence, &secrets)?;
        Ok(&self.tx)
    }

    /// The next keys of what we receive, for after the peer's KeyUpdate.
    ///
    /// # Errors
    /// When they cannot be derived.
    pub fn update_rx(&mut self) -> Result<&Traffic, TlsError> {
        let (sequence, secrets) = self.next.rx()?;
        self.rx = Traffic::new(sequence, &secrets)?;
        Ok(&self.rx)
    }
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tx, rx, .. } = self;
        write!(f, "Records({tx:?}, {rx:?})")
    }
}

/// The key schedule, of either side.
trait KeyUpdate: Send {
    fn tx(&mut self) -> Result<(u64, ConnectionTrafficSecrets), Error>;
    fn rx(&mut self) -> Result<(u64, ConnectionTrafficSecrets), Error>;
}

impl<Data: Send> KeyUpdate for KernelConnection<Data> {
    fn tx(&mut self) -> Result<(u64, ConnectionTrafficSecrets), Error> {
        self.update_tx_secret()
    }

    fn rx(&mut self) -> Result<(u64, ConnectionTrafficSecrets), Error> {
        self.update_rx_secret()
    }
}
