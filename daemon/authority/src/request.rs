// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Requests for SVIDs (PKCS #10, RFC 2986), checked before anything is signed.

use der::{
    AnyRef, Encode as _, Tag, TagNumber,
    asn1::{ObjectIdentifier, OctetStringRef},
};
use rcgen::{PKCS_ECDSA_P256_SHA256, PublicKeyData as _, SubjectPublicKeyInfo};
use tidelock_tls::{SpiffeId, SpiffeIdError};
use x509_parser::{
    certification_request::{X509CertificationRequest, X509CertificationRequestInfo},
    cri_attributes::ParsedCriAttribute,
    extensions::{GeneralName, ParsedExtension, X509Extension},
    oid_registry::OID_SIG_ECDSA_WITH_SHA256,
    prelude::FromDer as _,
    x509::X509Version,
};

/// The longest request that is read, in bytes: a SPIFFE ID of the longest, and half a kilobyte.
pub const MAX_REQUEST: usize = 2048 + 512;
/// How DER begins a sequence.
const SEQUENCE: u8 = 0x30;

/// `extensionRequest` (RFC 2985, 5.4.2).
const EXTENSION_REQUEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.14");
const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
/// `uniformResourceIdentifier` of a `GeneralName` (RFC 5280, 4.2.1.6).
const URI: Tag = context(6, false);

const fn context(number: u32, constructed: bool) -> Tag {
    Tag::ContextSpecific {
        constructed,
        number: TagNumber(number),
    }
}

/// A request that may be answered: it is signed by the key that it names, and asks for the
/// SPIFFE ID that was decided and for nothing else.
#[derive(Clone, Debug)]
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
    #[error("the request's key is not of P-256, or it is not signed with ECDSA and SHA-256")]
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
    /// It is for a trust domain itself, which is nobody's identity.
    #[error("the request is for {id}, which names no workload")]
    NoWorkload {
        /// What it asks for.
        id: SpiffeId,
    },
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
        let key = key(&request)?;
        request
            .verify_signature()
            .map_err(|_| RequestError::Signature)?;
        let id = name(information)?;
        if id != *decided {
            let decided = decided.clone();
            return Err(RequestError::Other { asked: id, decided });
        }
        if !id.has_path() {
            return Err(RequestError::NoWorkload { id });
        }
        // What the parser passes over is asked for all the same, of an authority elsewhere.
        let only = form(information.subject_pki.raw, id.as_str());
        if only.ok().as_deref() != Some(information.raw) {
            return Err(RequestError::More {
                what: "something that no parser reads",
            });
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

/// The parser checks a signature by the algorithm that it names, whatever the key says of itself:
/// both must be ours. By ECDSA nothing verifies but with a point of the curve.
fn key(request: &X509CertificationRequest<'_>) -> Result<SubjectPublicKeyInfo, RequestError> {
    let wrong = |_| RequestError::Key;
    let spki = &request.certification_request_info.subject_pki;
    let key = SubjectPublicKeyInfo::from_der(spki.raw).map_err(wrong)?;
    if key.algorithm() != &PKCS_ECDSA_P256_SHA256
        || request.signature_algorithm.algorithm != OID_SIG_ECDSA_WITH_SHA256
    {
        return Err(RequestError::Key);
    }
    Ok(key)
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

/// The one form of a `CertificationRequestInfo` that asks for a URI alone: no subject, so that the
/// name is critical (RFC 5280, 4.2.1.6).
fn form(public_key: &[u8], uri: &str) -> der::Result<Vec<u8>> {
    let names = tlv(Tag::Sequence, &[tlv(URI, &[uri.as_bytes().to_vec()])?])?;
    let extension = tlv(
        Tag::Sequence,
        &[
            SUBJECT_ALT_NAME.to_der()?,
            true.to_der()?,
            OctetStringRef::new(&names)?.to_der()?,
        ],
    )?;
    let extensions = tlv(Tag::Sequence, &[extension])?;
    let values = tlv(Tag::Set, &[extensions])?;
    let attribute = tlv(Tag::Sequence, &[EXTENSION_REQUEST.to_der()?, values])?;
    tlv(
        Tag::Sequence,
        &[
            0_u8.to_der()?,
            tlv(Tag::Sequence, &[])?,
            public_key.to_vec(),
            tlv(context(0, true), &[attribute])?,
        ],
    )
}

fn tlv(tag: Tag, parts: &[Vec<u8>]) -> der::Result<Vec<u8>> {
    AnyRef::new(tag, &parts.concat())?.to_der()
}
