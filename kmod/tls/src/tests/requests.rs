// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! A request is what another reader reads, proves its key, and asks for one SPIFFE ID.

use p256::ecdsa::{DerSignature, VerifyingKey, signature::Verifier as _};
use x509_cert::{
    der::{Decode as _, Encode as _},
    ext::pkix::{SubjectAltName, name::GeneralName},
    request::{CertReq, ExtensionReq},
};

use super::{Now, SERVER};
use crate::{SecretKey, SpiffeId};

#[test]
fn another_reader_finds_the_id_and_the_proof() {
    let key = SecretKey::generate::<Now>().unwrap();
    let der = key.request(&SpiffeId::parse(SERVER).unwrap()).unwrap();
    let read = CertReq::from_der(&der).unwrap();
    assert_eq!(
        read.to_der().unwrap(),
        der,
        "another writer writes the same"
    );
    assert!(read.info.subject.is_empty());

    let [attribute] = read.info.attributes.as_slice() else {
        panic!("{:?}", read.info.attributes);
    };
    let value = attribute.values.get(0).unwrap();
    let asked = ExtensionReq::from_der(&value.to_der().unwrap()).unwrap();
    let [extension] = &asked.0[..] else {
        panic!("{asked:?}");
    };
    assert!(extension.critical);
    let names = SubjectAltName::from_der(extension.extn_value.as_bytes()).unwrap();
    assert!(
        matches!(&names.0[..], [GeneralName::UniformResourceIdentifier(uri)]
        if uri.as_str() == SERVER)
    );

    let public = read.info.public_key.subject_public_key.as_bytes().unwrap();
    let public = VerifyingKey::from_sec1_bytes(public).unwrap();
    assert_eq!(&public, key.signing_key().verifying_key());
    let signature = DerSignature::from_der(read.signature.as_bytes().unwrap()).unwrap();
    let signed = read.info.to_der().unwrap();
    public.verify(&signed, &signature).unwrap();
    // Of another request it is no proof.
    public.verify(&signed[1..], &signature).unwrap_err();
}
