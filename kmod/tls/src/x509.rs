// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! As much of X.509 (RFC 5280) as a SPIFFE X.509-SVID needs.
//!
//! The ready-made crate for this links one that is Apache-2.0 only, which a GPL-2.0 module must
//! not contain: so the few structures are put together here out of `der`'s primitives.

use alloc::{vec, vec::Vec};
use core::{str::Utf8Error, time::Duration};

use der::{
    AnyRef, Decode as _, Encode as _, Reader as _, SliceReader, Tag, TagNumber, Tagged as _,
    asn1::{GeneralizedTime, ObjectIdentifier, UtcTime},
};
use sha2::{Digest as _, Sha256};

/// `ecdsa-with-SHA256` (RFC 5758, 3.2).
const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const ORGANISATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");
/// `extensionRequest` (RFC 2985, 5.4.2).
const EXTENSION_REQUEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.14");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
const SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
const CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");

/// `uniformResourceIdentifier` of a `GeneralName` (RFC 5280, 4.2.1.6).
const URI: Tag = Tag::ContextSpecific {
    constructed: false,
    number: TagNumber(6),
};

const fn explicit(number: u32) -> Tag {
    Tag::ContextSpecific {
        constructed: true,
        number: TagNumber(number),
    }
}

/// Bits of `KeyUsage`, as they lie in its first octet (RFC 5280, 4.2.1.3).
pub(crate) mod usage {
    pub(crate) const DIGITAL_SIGNATURE: u8 = 0x80;
    pub(crate) const KEY_CERT_SIGN: u8 = 0x04;
    pub(crate) const CRL_SIGN: u8 = 0x02;
}

/// What a certificate says, before it is signed.
pub(crate) struct Template<'a> {
    /// Unique for its issuer.
    pub(crate) serial: [u8; 16],
    /// From and until, since 1970.
    pub(crate) validity: [Duration; 2],
    /// The name of the issuer.
    pub(crate) issuer: &'a str,
    /// The name of the subject; empty for an SVID, which its URI names.
    pub(crate) subject: &'a str,
    /// Whether the subject is an authority.
    pub(crate) authority: bool,
    /// Of [`usage`].
    pub(crate) usage: u8,
    /// The URIs of the subject.
    pub(crate) uris: &'a [&'a str],
    /// `SubjectPublicKeyInfo`, in DER.
    pub(crate) public_key: &'a [u8],
}

impl Template<'_> {
    /// The `TBSCertificate`, in DER: what is signed.
    pub(crate) fn to_be_signed(&self) -> der::Result<Vec<u8>> {
        let [from, until] = self.validity;
        let parts = [
            tlv(explicit(0), &[2_u8.to_der()?])?,
            tlv(Tag::Integer, &[positive(self.serial)])?,
            algorithm()?,
            name(self.issuer)?,
            sequence(&[
                UtcTime::from_unix_duration(from)?.to_der()?,
                UtcTime::from_unix_duration(until)?.to_der()?,
            ])?,
            name(self.subject)?,
            self.public_key.to_vec(),
            tlv(explicit(3), &[self.extensions()?])?,
        ];
        sequence(&parts)
    }

    fn extensions(&self) -> der::Result<Vec<u8>> {
        // DER leaves out what is the default: "no authority" is an empty sequence.
        let authority = if self.authority {
            vec![true.to_der()?]
        } else {
            vec![]
        };
        let unused = u8::try_from(self.usage.trailing_zeros()).unwrap_or(0);
        let mut extensions = vec![
            extension(BASIC_CONSTRAINTS, Critical::Yes, &sequence(&authority)?)?,
            extension(
                KEY_USAGE,
                Critical::Yes,
                &tlv(Tag::BitString, &[vec![unused, self.usage]])?,
            )?,
        ];
        if !self.uris.is_empty() || !self.authority {
            let usages = sequence(&[SERVER_AUTH.to_der()?, CLIENT_AUTH.to_der()?])?;
            extensions.push(extension(EXTENDED_KEY_USAGE, Critical::No, &usages)?);
            extensions.push(subject_alt_names(self.uris)?);
        }
        sequence(&extensions)
    }
}

/// What a request for a certificate says, before it is signed (RFC 2986, 4.1).
pub(crate) struct Request<'a> {
    /// The URI that is to be certified.
    pub(crate) uri: &'a str,
    /// `SubjectPublicKeyInfo`, in DER.
    pub(crate) public_key: &'a [u8],
}

impl Request<'_> {
    /// The `CertificationRequestInfo`, in DER: what is signed.
    pub(crate) fn to_be_signed(&self) -> der::Result<Vec<u8>> {
        let extensions = sequence(&[subject_alt_names(&[self.uri])?])?;
        let attribute = sequence(&[EXTENSION_REQUEST.to_der()?, tlv(Tag::Set, &[extensions])?])?;
        sequence(&[
            0_u8.to_der()?,
            name("")?,
            self.public_key.to_vec(),
            tlv(explicit(0), &[attribute])?,
        ])
    }
}

/// The certificate, or the request, out of what was signed and its ECDSA signature in DER.
pub(crate) fn signed(to_be_signed: Vec<u8>, signature: &[u8]) -> der::Result<Vec<u8>> {
    let mut bits = vec![0];
    bits.extend_from_slice(signature);
    sequence(&[to_be_signed, algorithm()?, tlv(Tag::BitString, &[bits])?])
}

/// What is asked of a certificate that was already found to be valid.
#[derive(PartialEq, Eq, Debug, Default)]
pub(crate) struct Subject<'a> {
    /// Of [`usage`]; `None` where it says nothing.
    pub(crate) usage: Option<u8>,
    /// Until when it is valid, in seconds since 1970.
    pub(crate) until: Option<u64>,
    /// The values of its subject alternative names by their tags; `None` where it has none.
    pub(crate) names: Option<Vec<AnyRef<'a>>>,
}

impl<'a> Subject<'a> {
    /// Reads it out of a certificate in DER.
    ///
    /// # Errors
    /// When it is no certificate, or has one of the two extensions twice.
    pub(crate) fn of(certificate: &'a [u8]) -> der::Result<Self> {
        let [tbs, _, _] = elements(AnyRef::from_der(certificate)?, Tag::Sequence)?
            .try_into()
            .map_err(|_| Tag::Sequence.value_error())?;
        let list = elements(tbs, Tag::Sequence)?;
        let mut subject = Self {
            until: Some(until(&list)?),
            ..Self::default()
        };
        let Some(list) = list
            .into_iter()
            .find(|element| element.tag() == explicit(3))
        else {
            return Ok(subject);
        };
        for list in elements(list, explicit(3))? {
            for extension in elements(list, Tag::Sequence)? {
                subject.take(&elements(extension, Tag::Sequence)?)?;
            }
        }
        Ok(subject)
    }

    /// One extension: its name, whether it is critical, which may be left out, and its value.
    fn take(&mut self, extension: &[AnyRef<'a>]) -> der::Result<()> {
        let (Some(name), Some(value)) = (extension.first(), extension.last()) else {
            return Err(Tag::Sequence.value_error().into());
        };
        let name: ObjectIdentifier = name.decode_as()?;
        value.tag().assert_eq(Tag::OctetString)?;
        let twice = if name == KEY_USAGE {
            let bits = AnyRef::from_der(value.value())?;
            bits.tag().assert_eq(Tag::BitString)?;
            // The first octet counts the unused bits at the end.
            self.usage
                .replace(bits.value().get(1).copied().unwrap_or(0))
                .is_some()
        } else if name == SUBJECT_ALT_NAME {
            let names = elements(AnyRef::from_der(value.value())?, Tag::Sequence)?;
            self.names.replace(names).is_some()
        } else {
            false
        };
        if twice {
            Err(Tag::Sequence.value_error().into())
        } else {
            Ok(())
        }
    }
}

/// The end of the validity, which is the fourth of what has no tag of its own: serial, algorithm,
/// issuer, validity.
fn until(tbs: &[AnyRef<'_>]) -> der::Result<u64> {
    let wrong = || Tag::Sequence.value_error();
    let mut plain = tbs.iter().filter(|element| element.tag() != explicit(0));
    let validity = plain.nth(3).ok_or_else(wrong)?;
    let [_, until] = elements(*validity, Tag::Sequence)?
        .try_into()
        .map_err(|_| wrong())?;
    let until = match until.tag() {
        Tag::UtcTime => until.decode_as::<UtcTime>()?.to_unix_duration(),
        _ => until.decode_as::<GeneralizedTime>()?.to_unix_duration(),
    };
    Ok(until.as_secs())
}

/// The `SubjectPublicKeyInfo` in a request for a certificate, in DER. Nothing else is looked at.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn requested_key(request: &[u8]) -> der::Result<Vec<u8>> {
    let parts = elements(AnyRef::from_der(request)?, Tag::Sequence)?;
    let info = parts.first().ok_or_else(|| Tag::Sequence.value_error())?;
    let info = elements(*info, Tag::Sequence)?;
    // Behind the version and the name.
    let key = info.get(2).ok_or_else(|| Tag::Sequence.value_error())?;
    key.to_der()
}

/// SHA-256.
pub(crate) fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// The content of a sequence, with tag and length in front of it.
pub(crate) fn in_sequence(content: &[u8]) -> der::Result<Vec<u8>> {
    AnyRef::new(Tag::Sequence, content)?.to_der()
}

/// The text of a name that is a URI, if it is text.
pub(crate) fn uri<'a>(name: &AnyRef<'a>) -> Option<Result<&'a str, Utf8Error>> {
    (name.tag() == URI).then(|| core::str::from_utf8(name.value()))
}

/// What lies in a constructed value, to its end.
fn elements(outer: AnyRef<'_>, tag: Tag) -> der::Result<Vec<AnyRef<'_>>> {
    outer.tag().assert_eq(tag)?;
    let mut reader = SliceReader::new(outer.value())?;
    let mut elements = Vec::new();
    while !reader.is_finished() {
        elements.push(reader.decode()?);
    }
    Ok(elements)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Critical {
    Yes,
    No,
}

fn extension(name: ObjectIdentifier, critical: Critical, value: &[u8]) -> der::Result<Vec<u8>> {
    let mut parts = vec![name.to_der()?];
    if critical == Critical::Yes {
        parts.push(true.to_der()?);
    }
    parts.push(tlv(Tag::OctetString, &[value.to_vec()])?);
    sequence(&parts)
}

/// Critical, for the subject is empty (RFC 5280, 4.2.1.6).
fn subject_alt_names(uris: &[&str]) -> der::Result<Vec<u8>> {
    let uri = |uri: &&str| tlv(URI, &[uri.as_bytes().to_vec()]);
    let names = uris.iter().map(uri).collect::<der::Result<Vec<_>>>()?;
    extension(SUBJECT_ALT_NAME, Critical::Yes, &sequence(&names)?)
}

fn algorithm() -> der::Result<Vec<u8>> {
    sequence(&[ECDSA_WITH_SHA256.to_der()?])
}

/// A name that is an organisation, or empty.
fn name(organisation: &str) -> der::Result<Vec<u8>> {
    if organisation.is_empty() {
        return sequence(&[]);
    }
    let value = tlv(Tag::Utf8String, &[organisation.as_bytes().to_vec()])?;
    sequence(&[tlv(
        Tag::Set,
        &[sequence(&[ORGANISATION.to_der()?, value])?],
    )?])
}

/// A serial number: positive and never zero, for its first octet is 64 to 127, so that DER
/// wants neither more nor fewer octets.
const fn leading(octet: u8) -> u8 {
    octet & 0x7f | 0x40
}

fn positive(mut serial: [u8; 16]) -> Vec<u8> {
    serial[0] = leading(serial[0]);
    serial.to_vec()
}

fn sequence(parts: &[Vec<u8>]) -> der::Result<Vec<u8>> {
    tlv(Tag::Sequence, parts)
}

fn tlv(tag: Tag, parts: &[Vec<u8>]) -> der::Result<Vec<u8>> {
    AnyRef::new(tag, &parts.concat())?.to_der()
}
