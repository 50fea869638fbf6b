// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Clear-signed text against a keyring, as `gpgv` does it.

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use pgp::{
    composed::{CleartextSignedMessage, Deserializable as _, SignedPublicKey, SignedPublicSubKey},
    crypto::hash::HashAlgorithm,
    packet::{Signature, SignatureType},
    types::{KeyDetails as _, VerifyingKey},
};
use tidelock_host::files;

use crate::release::ReleaseError;

/// The keys that may sign an archive.
#[derive(Debug)]
pub struct Keyring {
    keys: Vec<SignedPublicKey>,
    names: String,
}

impl Keyring {
    /// Reads the public keys of files, binary or armoured.
    pub fn load(paths: &[PathBuf]) -> Result<Self, ReleaseError> {
        let mut keyring = Self {
            keys: Vec::new(),
            names: String::new(),
        };
        for path in paths {
            let bytes = files::read(path).map_err(|error| ReleaseError::Keyring {
                path: path.clone(),
                reason: error.to_string(),
            })?;
            keyring.add(path, &bytes)?;
        }
        Ok(keyring)
    }

    fn add(&mut self, path: &Path, bytes: &[u8]) -> Result<(), ReleaseError> {
        let error = |reason: String| ReleaseError::Keyring {
            path: path.into(),
            reason,
        };
        let (keys, _) =
            SignedPublicKey::from_reader_many(bytes).map_err(|fault| error(fault.to_string()))?;
        let before = self.keys.len();
        // A key that this library cannot read signs nothing: to leave it out is the safe side.
        self.keys.extend(keys.filter_map(Result::ok));
        if self.keys.len() == before {
            return Err(error("it holds no usable public key".into()));
        }
        if !self.names.is_empty() {
            self.names.push_str(", ");
        }
        self.names.push_str(&path.display().to_string());
        Ok(())
    }
}

/// A text that was signed, and by which keys of the keyring.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Signed {
    pub(crate) text: String,
    pub(crate) signers: Vec<String>,
}

/// Returns the signed part of `message`, and nothing around it, when at least one of its
/// signatures is good.
pub(crate) fn verify(message: &[u8], keyring: &Keyring, now: SystemTime) -> Result<Signed, String> {
    let message = str::from_utf8(message).map_err(|_| "it is not UTF-8".to_owned())?;
    let (message, _) = CleartextSignedMessage::from_string(message)
        .map_err(|error| format!("it is no clear-signed text: {error}"))?;
    let text = message.signed_text();
    let mut signers = Vec::new();
    let mut unknown = Vec::new();
    for signature in message.signatures() {
        match signer(signature, text.as_bytes(), keyring, now) {
            Some(fingerprint) => signers.push(fingerprint),
            None => unknown.push(issuer(signature)),
        }
    }
    if signers.is_empty() {
        return Err(format!(
            "none of its {} signatures is good by a key of {} (signed by {})",
            message.signatures().len(),
            keyring.names,
            unknown.join(", "),
        ));
    }
    signers.sort();
    Ok(Signed {
        text: text.replace("\r\n", "\n"),
        signers,
    })
}

/// The fingerprint of the key that made a good signature.
fn signer(
    signature: &Signature,
    text: &[u8],
    keyring: &Keyring,
    now: SystemTime,
) -> Option<String> {
    let made = acceptable(signature, now)?;
    let good = |key: &dyn Fn() -> bool, verified: bool| verified && key();
    for key in &keyring.keys {
        if !key.details.revocation_signatures.is_empty() {
            continue;
        }
        let primary = &key.primary_key;
        let lives = || primary_lives(key, made);
        if good(&lives, verifies(signature, primary, text)) {
            return Some(primary.fingerprint().to_string());
        }
        for subkey in &key.public_subkeys {
            let lives = || primary_lives(key, made) && subkey_lives(key, subkey, made);
            if good(&lives, verifies(signature, &subkey.key, text)) {
                return Some(subkey.key.fingerprint().to_string());
            }
        }
    }
    None
}

/// When an acceptable signature was made: it is over text, with a hash that holds, was not made
/// in the future, and has not expired itself.
fn acceptable(signature: &Signature, now: SystemTime) -> Option<SystemTime> {
    let strong = [
        HashAlgorithm::Sha256,
        HashAlgorithm::Sha384,
        HashAlgorithm::Sha512,
        HashAlgorithm::Sha3_256,
        HashAlgorithm::Sha3_512,
    ];
    let kinds = [SignatureType::Binary, SignatureType::Text];
    if !strong.contains(&signature.hash_alg()?) || !kinds.contains(&signature.typ()?) {
        return None;
    }
    let made = SystemTime::from(signature.created()?);
    let day = Duration::from_secs(86_400);
    let expired = lifetime(signature.signature_expiration_time().map(Into::into))
        .is_some_and(|lifetime| made + lifetime < now);
    (made <= now + day && !expired).then_some(made)
}

/// A lifetime of zero means that there is no end.
fn lifetime(duration: Option<Duration>) -> Option<Duration> {
    duration.filter(|duration| !duration.is_zero())
}

fn verifies(signature: &Signature, key: &impl VerifyingKey, text: &[u8]) -> bool {
    let named = signature.issuer_fingerprint();
    if !named.is_empty() && !named.contains(&&key.fingerprint()) {
        return false;
    }
    signature.verify(key, text).is_ok()
}

/// Whether the primary key is bound to a user, and had not expired at `at`.
fn primary_lives(key: &SignedPublicKey, at: SystemTime) -> bool {
    if key.details.verify_bindings(&key.primary_key).is_err() {
        return false;
    }
    let created = SystemTime::from(key.primary_key.created_at());
    let own = key
        .details
        .users
        .iter()
        .flat_map(|user| &user.signatures)
        .chain(&key.details.direct_signatures)
        .filter(|signature| is_by(signature, &key.primary_key));
    let Some(newest) = own.max_by_key(|signature| signature.created()) else {
        return false;
    };
    lifetime(newest.key_expiration_time().map(Into::into))
        .is_none_or(|lifetime| at <= created + lifetime)
}

fn is_by(signature: &Signature, key: &pgp::packet::PublicKey) -> bool {
    signature.issuer_fingerprint().contains(&&key.fingerprint())
        || signature.issuer_key_id().contains(&&key.legacy_key_id())
}

/// Whether a subkey is bound for signing, is not revoked, and had not expired at `at`.
fn subkey_lives(key: &SignedPublicKey, subkey: &SignedPublicSubKey, at: SystemTime) -> bool {
    let revoked = subkey
        .signatures
        .iter()
        .any(|signature| signature.typ() == Some(SignatureType::SubkeyRevocation));
    if revoked || subkey.verify_bindings(&key.primary_key).is_err() {
        return false;
    }
    let Some(newest) = subkey
        .signatures
        .iter()
        .max_by_key(|signature| signature.created())
    else {
        return false;
    };
    let created = SystemTime::from(subkey.key.created_at());
    newest.key_flags().sign()
        && lifetime(newest.key_expiration_time().map(Into::into))
            .is_none_or(|lifetime| at <= created + lifetime)
}

fn issuer(signature: &Signature) -> String {
    let fingerprint = signature
        .issuer_fingerprint()
        .first()
        .map(ToString::to_string);
    fingerprint
        .or_else(|| signature.issuer_key_id().first().map(ToString::to_string))
        .unwrap_or_else(|| "an unnamed key".into())
}
