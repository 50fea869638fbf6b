// SPDX-License-Identifier: Apache-2.0 OR MIT
//! SHA-256 digests, and the content keys of stages that are built from them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::Digest as _;

/// A SHA-256 digest (FIPS 180-4), written as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256([u8; 32]);

/// The text is not 64 hex digits.
#[derive(Debug, thiserror::Error)]
#[error("{text:?} is not a SHA-256 digest (64 hex digits)")]
pub struct ParseDigestError {
    text: String,
}

impl Sha256 {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// Wraps 32 raw bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 raw bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 64 hex digits.
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sha256({self})")
    }
}

impl FromStr for Sha256 {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, ParseDigestError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes)
            .map_err(|_| ParseDigestError { text: text.into() })?;
        Ok(Self(bytes))
    }
}

impl Serialize for Sha256 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_hex())
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

/// Builds the content key of a stage out of everything its result depends on.
///
/// Each field is hashed with its name and length, so two different lists of fields never
/// meet in one key.
///
/// ```
/// # use tidelock_model::KeyBuilder;
/// let a = KeyBuilder::new("compile", 1).bytes("source", b"ab").finish();
/// let b = KeyBuilder::new("compile", 1).bytes("source", b"a").bytes("b", b"").finish();
/// assert_ne!(a, b);
/// ```
#[must_use]
pub struct KeyBuilder(sha2::Sha256);

impl KeyBuilder {
    /// A key for `stage`; raise `version` when the stage's code changes what it produces
    /// from the same inputs.
    pub fn new(stage: &str, version: u32) -> Self {
        Self(sha2::Sha256::new())
            .bytes("stage", stage.as_bytes())
            .bytes("version", &version.to_le_bytes())
    }

    /// Adds a named input.
    pub fn bytes(mut self, name: &str, value: &[u8]) -> Self {
        for part in [name.as_bytes(), value] {
            self.0.update((part.len() as u64).to_le_bytes());
            self.0.update(part);
        }
        self
    }

    /// Adds a named text.
    pub fn text(self, name: &str, value: &str) -> Self {
        self.bytes(name, value.as_bytes())
    }

    /// Adds the digest of a named input.
    pub fn digest(self, name: &str, value: &Sha256) -> Self {
        self.bytes(name, value.as_bytes())
    }

    /// The key.
    pub fn finish(self) -> Sha256 {
        Sha256(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_round_trips_and_refuses_other_text() {
        let digest = Sha256::of(b"abc");
        assert_eq!(
            digest.to_hex(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(digest.to_hex().parse::<Sha256>().unwrap(), digest);
        for bad in ["", "ba78", &"g".repeat(64), &"0".repeat(65)] {
            assert!(bad.parse::<Sha256>().is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn key_depends_on_stage_version_names_values_and_order() {
        let base = || {
            KeyBuilder::new("s", 1)
                .text("a", "1")
                .text("b", "2")
                .finish()
        };
        assert_eq!(base(), base());
        let others = [
            KeyBuilder::new("t", 1)
                .text("a", "1")
                .text("b", "2")
                .finish(),
            KeyBuilder::new("s", 2)
                .text("a", "1")
                .text("b", "2")
                .finish(),
            KeyBuilder::new("s", 1)
                .text("b", "2")
                .text("a", "1")
                .finish(),
            KeyBuilder::new("s", 1)
                .text("a", "12")
                .text("b", "")
                .finish(),
        ];
        assert!(others.iter().all(|other| *other != base()));
    }
}
