// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! What the surroundings give.

use core::{fmt::Debug, marker::PhantomData};

use rand_core::{TryCryptoRng, TryRng};
use rustls_pki_types::UnixTime;

/// There is no randomness to be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the system gives no random bytes")]
pub struct NoEntropy;

/// Randomness and time.
///
/// A type and not a value: rustls starts a key exchange without passing anything in, so what
/// it needs must be reachable from a static.
pub trait Platform: Debug + Send + Sync + Sized + 'static {
    /// Fills `out` with random bytes fit for keys.
    ///
    /// # Errors
    /// When there are none; nothing secret is made then.
    fn fill_random(out: &mut [u8]) -> Result<(), NoEntropy>;

    /// Seconds since 1970 by the wall clock.
    fn unix_time() -> u64;
}

/// The platform's generator as RustCrypto wants it.
pub(crate) struct Random<P>(PhantomData<P>);

impl<P: Platform> Random<P> {
    pub(crate) const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<P: Platform> TryRng for Random<P> {
    type Error = NoEntropy;

    fn try_next_u32(&mut self) -> Result<u32, NoEntropy> {
        let mut bytes = [0; 4];
        P::fill_random(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, NoEntropy> {
        let mut bytes = [0; 8];
        P::fill_random(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), NoEntropy> {
        P::fill_random(out)
    }
}

impl<P: Platform> TryCryptoRng for Random<P> {}

/// Randomness and time as rustls wants them.
#[derive(Debug)]
pub(crate) struct Ambient<P>(pub(crate) PhantomData<P>);

impl<P: Platform> rustls::crypto::SecureRandom for Ambient<P> {
    fn fill(&self, out: &mut [u8]) -> Result<(), rustls::crypto::GetRandomFailed> {
        P::fill_random(out).map_err(|NoEntropy| rustls::crypto::GetRandomFailed)
    }
}

impl<P: Platform> rustls::time_provider::TimeProvider for Ambient<P> {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = core::time::Duration::from_secs(P::unix_time());
        Some(UnixTime::since_unix_epoch(seconds))
    }
}
