// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Signed bundles, as OPA signs them: `.signatures.json` holds one JWT that names the hash of
//! every other file. <https://www.openpolicyagent.org/docs/management-bundles#signing>
//!
//! The algorithm is what the key's owner has configured, never what the token says of itself.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{hmac, signature};
use rustls_pki_types::{SubjectPublicKeyInfoDer, pem::PemObject as _};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256, Sha384, Sha512};
use spki::{ObjectIdentifier, SubjectPublicKeyInfoRef, der::Decode as _};

use crate::{
    Bundle,
    bundle::{MANIFEST, SIGNATURES},
};

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// The shortest secret of HS256, in bytes (RFC 7518, 3.2).
const MIN_SECRET: usize = 32;

/// How a bundle is signed (RFC 7518, 3.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Algorithm {
    /// RSA, PKCS #1 v1.5, SHA-256; 2048 to 8192 bits.
    Rs256,
    /// ECDSA, P-256, SHA-256.
    Es256,
    /// HMAC, SHA-256, with a secret that both sides know.
    Hs256,
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::Hs256 => "HS256",
        }
    }
}

/// A bundle is not what its author has signed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SignatureError {
    /// The key cannot be used.
    #[error("the key for signed bundles: {0}")]
    Key(&'static str),
    /// A signed bundle, and nothing to check it by.
    #[error("the bundle is signed and no key is configured: configure the key")]
    NoKey,
    /// An unsigned bundle, where a key is configured.
    #[error("the bundle is not signed: sign it with `opa sign`, or `opa build` with a key")]
    Unsigned,
    /// The signatures are not written as OPA writes them.
    #[error(".signatures.json: {0}")]
    Form(String),
    /// Another algorithm than configured.
    #[error("the bundle is signed by {found}, {wanted} is configured")]
    Algorithm {
        /// What the token says.
        found: String,
        /// What is configured.
        wanted: &'static str,
    },
    /// Another purpose than configured.
    #[error("the bundle's signature is for another scope than the configured one")]
    Scope,
    /// The signature is wrong.
    #[error("the signature does not fit the configured key")]
    Signature,
    /// A file is not signed.
    #[error("{0} is not named by the signature")]
    UnsignedFile(String),
    /// A file is gone.
    #[error("{0} is named by the signature and missing")]
    MissingFile(String),
    /// A file is another.
    #[error("{0} is not the file that was signed")]
    ChangedFile(String),
}

#[derive(Clone)]
enum Key {
    Public(Vec<u8>),
    Secret(hmac::Key),
}

/// The key that bundles must be signed with.
#[derive(Clone)]
pub struct Verifier {
    algorithm: Algorithm,
    key: Key,
    scope: Option<String>,
}

/// `.signatures.json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Signatures {
    signatures: Vec<String>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    /// Extensions that must be understood (RFC 7515, 4.1.11). We understand none.
    crit: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Payload {
    files: Vec<FileHash>,
    scope: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileHash {
    name: String,
    hash: String,
    algorithm: Option<String>,
}

impl Verifier {
    /// With a public key in PEM (`BEGIN PUBLIC KEY`), or for [`Algorithm::Hs256`] the secret
    /// itself. `scope` is what the signature must be for, where that is used.
    pub fn new(
        algorithm: Algorithm,
        key: &[u8],
        scope: Option<String>,
    ) -> Result<Self, SignatureError> {
        let key = match algorithm {
            Algorithm::Hs256 if key.len() < MIN_SECRET => {
                return Err(SignatureError::Key("a secret has 32 bytes at least"));
            }
            Algorithm::Hs256 => Key::Secret(hmac::Key::new(hmac::HMAC_SHA256, key)),
            Algorithm::Rs256 => Key::Public(public_key(key, RSA)?),
            Algorithm::Es256 => Key::Public(public_key(key, EC)?),
        };
        Ok(Self {
            algorithm,
            key,
            scope,
        })
    }

    /// Whether this bundle, the whole of it and nothing else, was signed with the key.
    pub fn verify(&self, bundle: &Bundle) -> Result<(), SignatureError> {
        let form = |error: serde_json::Error| SignatureError::Form(error.to_string());
        let text = bundle.get(SIGNATURES).ok_or(SignatureError::Unsigned)?;
        let signatures: Signatures = serde_json::from_slice(text).map_err(form)?;
        let [token] = signatures.signatures.as_slice() else {
            let found = signatures.signatures.len();
            return Err(SignatureError::Form(format!("{found} tokens, 1 is wanted")));
        };
        let payload = self.open(token)?;
        let payload: Payload = serde_json::from_slice(&payload).map_err(form)?;
        if self.scope.is_some() && payload.scope != self.scope {
            return Err(SignatureError::Scope);
        }
        let mut signed = BTreeMap::new();
        for file in payload.files {
            let name = file.name.trim_start_matches('/').to_owned();
            if signed.insert(name, file).is_some() {
                return Err(SignatureError::Form("a file is named twice".into()));
            }
        }
        for (name, bytes) in bundle.files().filter(|(name, _)| *name != SIGNATURES) {
            let Some(wanted) = signed.remove(name) else {
                return Err(SignatureError::UnsignedFile(name.into()));
            };
            let hash = hash(name, bytes, wanted.algorithm.as_deref())?;
            if !hash.eq_ignore_ascii_case(&wanted.hash) {
                return Err(SignatureError::ChangedFile(name.into()));
            }
        }
        match signed.into_keys().next() {
            Some(name) => Err(SignatureError::MissingFile(name)),
            None => Ok(()),
        }
    }

    /// The payload of a token (RFC 7515, 3.1) whose signature holds.
    fn open(&self, token: &str) -> Result<Vec<u8>, SignatureError> {
        let form = |text: &str| SignatureError::Form(text.into());
        let decode = |part: &str| {
            URL_SAFE_NO_PAD
                .decode(part)
                .map_err(|_| form("a part of the token is not base64url"))
        };
        let (message, signature) = token.rsplit_once('.').ok_or(form("no token"))?;
        let (header, payload) = message.split_once('.').ok_or(form("no token"))?;
        let header: Header = serde_json::from_slice(&decode(header)?)
            .map_err(|error| SignatureError::Form(error.to_string()))?;
        if header.alg != self.algorithm.name() {
            return Err(SignatureError::Algorithm {
                found: header.alg,
                wanted: self.algorithm.name(),
            });
        }
        if header.crit.is_some() {
            return Err(form("the token has extensions (crit)"));
        }
        let signature = decode(signature)?;
        let message = message.as_bytes();
        let valid = match (&self.key, self.algorithm) {
            (Key::Secret(key), _) => hmac::verify(key, message, &signature),
            (Key::Public(key), Algorithm::Rs256) => {
                let algorithm = &signature::RSA_PKCS1_2048_8192_SHA256;
                signature::UnparsedPublicKey::new(algorithm, key).verify(message, &signature)
            }
            (Key::Public(key), _) => {
                let algorithm = &signature::ECDSA_P256_SHA256_FIXED;
                signature::UnparsedPublicKey::new(algorithm, key).verify(message, &signature)
            }
        };
        valid.map_err(|_| SignatureError::Signature)?;
        decode(payload)
    }
}

impl std::fmt::Debug for Verifier {
    /// Never the key, which may be a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier")
            .field("algorithm", &self.algorithm)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

pub(super) fn is_signed(bundle: &Bundle) -> bool {
    bundle.get(SIGNATURES).is_some()
}

/// The key inside a `SubjectPublicKeyInfo`: for RSA the two numbers, for EC the point.
fn public_key(pem: &[u8], wanted: ObjectIdentifier) -> Result<Vec<u8>, SignatureError> {
    let no_key = SignatureError::Key("no PEM with a PUBLIC KEY in it");
    let der = SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| no_key.clone())?;
    let info = SubjectPublicKeyInfoRef::from_der(&der).map_err(|_| no_key.clone())?;
    if info.algorithm.oid != wanted {
        return Err(SignatureError::Key(
            "it is of another kind than the algorithm",
        ));
    }
    let bits = info.subject_public_key.as_bytes().ok_or(no_key)?;
    Ok(bits.to_vec())
}

/// The hash of a file as OPA computes it: of data and manifest by their meaning, so that
/// spaces and the order of fields do not matter; of everything else by its bytes.
fn hash(name: &str, bytes: &[u8], algorithm: Option<&str>) -> Result<String, SignatureError> {
    let base = name.rsplit('/').next().unwrap_or(name);
    let canonical;
    let bytes = if ["data.json", "data.yaml", MANIFEST].contains(&base) {
        let value = match base {
            "data.yaml" => crate::data::yaml(bytes),
            _ => serde_json::from_slice(bytes).map_err(|error| error.to_string()),
        };
        let value = value.map_err(|error| SignatureError::Form(format!("{name}: {error}")))?;
        canonical = {
            let mut text = String::new();
            write_canonical(&value, &mut text);
            text
        };
        canonical.as_bytes()
    } else {
        bytes
    };
    match algorithm.unwrap_or("SHA-256").to_ascii_uppercase().as_str() {
        "SHA-256" | "SHA256" => Ok(hex::encode(Sha256::digest(bytes))),
        "SHA-384" | "SHA384" => Ok(hex::encode(Sha384::digest(bytes))),
        "SHA-512" | "SHA512" => Ok(hex::encode(Sha512::digest(bytes))),
        other => Err(SignatureError::Form(format!(
            "{name}: the hash {other} is not taken"
        ))),
    }
}

/// What OPA feeds to its hash: JSON without spaces, fields in the order of their names.
fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(fields) => {
            let sorted: BTreeMap<&String, &Value> = fields.iter().collect();
            out.push('{');
            for (index, (name, value)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                write_canonical(value, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_canonical(item, out);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}
