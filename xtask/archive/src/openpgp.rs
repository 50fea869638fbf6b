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
    types::{KeyDetails as _, Tag, VerifyingKey},
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
    for key in &keyring.keys {
        if !key.details.revocation_signatures.is_empty() {
            continue;
        }
        let primary = &key.primary_key;
        if verifies(signature, primary, text) && primary_lives(key, made) {
            return Some(primary.fingerprint().to_string());
        }
        for subkey in &key.public_subkeys {
            if verifies(signature, &subkey.key, text)
                && primary_lives(key, made)
                && subkey_lives(key, subkey, made)
            {
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
    let day = Duration::from_hours(24);
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

/// Whether the primary key has bound itself to a user, and had not expired at `at`.
///
/// What others say of the user (keys sign each other) is neither needed nor looked at.
fn primary_lives(key: &SignedPublicKey, at: SystemTime) -> bool {
    let primary = &key.primary_key;
    let by_itself = |signature: &&Signature| {
        signature
            .issuer_fingerprint()
            .contains(&&primary.fingerprint())
            || signature
                .issuer_key_id()
                .contains(&&primary.legacy_key_id())
    };
    let of_users = key.details.users.iter().filter_map(|user| {
        let own = user.signatures.iter().filter(by_itself);
        let newest = own.max_by_key(|signature| signature.created())?;
        // A revocation is no certification.
        let good = newest.is_certification()
            && newest
                .verify_certification(primary, Tag::UserId, &user.id)
                .is_ok();
        good.then_some(newest)
    });
    let direct = key.details.direct_signatures.iter().filter(by_itself);
    let direct = direct.filter(|signature| signature.verify_key(primary).is_ok());
    let newest = of_users
        .chain(direct)
        .max_by_key(|signature| signature.created());
    newest.is_some_and(|newest| !has_expired(newest, primary.created_at().into(), at))
}

/// Whether a subkey is bound for signing, is not revoked, and had not expired at `at`.
fn subkey_lives(key: &SignedPublicKey, subkey: &SignedPublicSubKey, at: SystemTime) -> bool {
    let primary = &key.primary_key;
    let revokes = |signature: &Signature| signature.typ() == Some(SignatureType::SubkeyRevocation);
    if subkey.signatures.iter().any(revokes) {
        return false;
    }
    let newest = subkey
        .signatures
        .iter()
        .max_by_key(|signature| signature.created());
    newest.is_some_and(|newest| {
        let back = newest.embedded_signature();
        newest.verify_subkey_binding(primary, &subkey.key).is_ok()
            && newest.key_flags().sign()
            // The subkey's own consent: else a key could claim the signatures of another's.
            && back.is_some_and(|back| back.verify_primary_key_binding(&subkey.key, primary).is_ok())
            && !has_expired(newest, subkey.key.created_at().into(), at)
    })
}

fn has_expired(signature: &Signature, created: SystemTime, at: SystemTime) -> bool {
    lifetime(signature.key_expiration_time().map(Into::into))
        .is_some_and(|lifetime| at > created + lifetime)
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
