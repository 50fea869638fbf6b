// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Requests for SVIDs (PKCS #10, RFC 2986), checked before anything is signed.

use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData as _, SubjectPublicKeyInfo};
use tidelock_tls::{SpiffeId, SpiffeIdError};
use x509_parser::{
    certification_request::{X509CertificationRequest, X509CertificationRequestInfo},
    cri_attributes::ParsedCriAttribute,
    extensions::{GeneralName, ParsedExtension, X509Extension},
    prelude::FromDer as _,
    x509::X509Version,
};

/// The longest request that is read, in bytes: a SPIFFE ID of the longest, and half a kilobyte.
pub const MAX_REQUEST: usize = 2048 + 512;

/// How DER begins a sequence.
const SEQUENCE: u8 = 0x30;

/// A request that may be answered: it is signed by the key that it names, and asks for the
/// SPIFFE ID that was decided and for nothing else.
#[derive(Debug)]
pub struct Request {
    id: SpiffeId,
    key: SubjectPublicKeyInfo,
    der: Vec<u8>,
}

/// A request is not answered.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RequestError {
    /// It is too long to be one.
    #[error("the request has {len} bytes, {MAX_REQUEST} are allowed")]
    TooLong {
        /// How long it is.
        len: usize,
    },
    /// It is not PKCS #10 in DER, or something follows it.
    #[error("the request cannot be decoded: it is not one PKCS #10 in DER, version 1")]
    Encoding,
    /// Its key is of another kind.
    #[error("the request's key is neither P-256 nor Ed25519")]
    Key,
    /// Whoever sent it has not shown that the private key is there.
    #[error("the request is not signed by its own key")]
    Signature,
    /// It wants a name of another sort, or an attribute or extension beside the SPIFFE ID.
    #[error("the request asks for more than a SPIFFE ID: {what}")]
    More {
        /// What it asks for.
        what: &'static str,
    },
    /// It has no name, or several.
    #[error("the request has {count} names, and must have one: its SPIFFE ID")]
    Names {
        /// How many.
        count: usize,
    },
    /// What it asks for is no SPIFFE ID.
    #[error("the request's name: {0}")]
    Id(#[from] SpiffeIdError),
    /// It asks for the identity of another.
    #[error("the request is for {asked}, and {decided} was decided")]
    Other {
        /// What it asks for.
        asked: SpiffeId,
        /// What it may have.
        decided: SpiffeId,
    },
}

impl Request {
    /// Takes a request, in DER, from a process that `decided` was decided for.
    ///
    /// # Errors
    /// When it must not be answered.
    pub fn check(der: &[u8], decided: &SpiffeId) -> Result<Self, RequestError> {
        if der.len() > MAX_REQUEST {
            return Err(RequestError::TooLong { len: der.len() });
        }
        // The parser takes a sequence of any class; DER has one way to write it.
        if der.first() != Some(&SEQUENCE) {
            return Err(RequestError::Encoding);
        }
        let Ok((&[], request)) = X509CertificationRequest::from_der(der) else {
            return Err(RequestError::Encoding);
        };
        let information = &request.certification_request_info;
        if information.version != X509Version::V1 {
            return Err(RequestError::Encoding);
        }
        let key = key(information)?;
        request
            .verify_signature()
            .map_err(|_| RequestError::Signature)?;
        let id = name(information)?;
        if id != *decided {
            let decided = decided.clone();
            return Err(RequestError::Other { asked: id, decided });
        }
        let der = der.to_vec();
        Ok(Self { id, key, der })
    }

    /// Who asks.
    pub fn spiffe_id(&self) -> &SpiffeId {
        &self.id
    }

    /// As it came, for an authority elsewhere.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    pub(crate) fn key(&self) -> &SubjectPublicKeyInfo {
        &self.key
    }
}

fn key(
    information: &X509CertificationRequestInfo<'_>,
) -> Result<SubjectPublicKeyInfo, RequestError> {
    let key = SubjectPublicKeyInfo::from_der(information.subject_pki.raw)
        .map_err(|_| RequestError::Key)?;
    let kinds = [&PKCS_ECDSA_P256_SHA256, &PKCS_ED25519];
    if kinds.contains(&key.algorithm()) {
        Ok(key)
    } else {
        Err(RequestError::Key)
    }
}

/// The one SPIFFE ID that is asked for.
fn name(information: &X509CertificationRequestInfo<'_>) -> Result<SpiffeId, RequestError> {
    let more = |what| Err(RequestError::More { what });
    if information.subject.iter_rdn().next().is_some() {
        return more("a subject");
    }
    let [attribute] = information.attributes() else {
        return match information.attributes() {
            [] => Err(RequestError::Names { count: 0 }),
            _ => more("several attributes"),
        };
    };
    let ParsedCriAttribute::ExtensionRequest(extensions) = attribute.parsed_attribute() else {
        return more("an attribute that is no request for extensions");
    };
    let [extension] = extensions.extensions.as_slice() else {
        return match extensions.extensions.as_slice() {
            [] => Err(RequestError::Names { count: 0 }),
            _ => more("several extensions"),
        };
    };
    match one_name(extension)? {
        GeneralName::URI(uri) => Ok(SpiffeId::parse(uri)?),
        _ => more("a name that is no URI"),
    }
}

fn one_name<'a>(extension: &'a X509Extension<'_>) -> Result<&'a GeneralName<'a>, RequestError> {
    let ParsedExtension::SubjectAlternativeName(names) = extension.parsed_extension() else {
        return Err(RequestError::More {
            what: "an extension that is no name",
        });
    };
    match names.general_names.as_slice() {
        [name] => Ok(name),
        names => Err(RequestError::Names { count: names.len() }),
    }
}
