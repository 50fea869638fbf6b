// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Signed bundles. The signer here does what `opa sign` does.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{Answer, bench};
use crate::{
    Bundle,
    remote::{Algorithm, RemoteError, SignatureError, Verifier},
    tests::DENY,
};

const SECRET: &[u8] = b"a secret of 32 bytes, or of more";

fn es256() -> (EcdsaKeyPair, Verifier) {
    let key = rcgen::KeyPair::generate().unwrap();
    let random = SystemRandom::new();
    let der = key.serialize_der();
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let signer = EcdsaKeyPair::from_pkcs8(algorithm, &der, &random).unwrap();
    let pem = key.public_key_pem();
    (
        signer,
        Verifier::new(Algorithm::Es256, pem.as_bytes(), None).unwrap(),
    )
}

fn hs256() -> Verifier {
    Verifier::new(Algorithm::Hs256, SECRET, None).unwrap()
}

fn files() -> Vec<(&'static str, &'static str)> {
    vec![
        (
            ".manifest",
            "{\"roots\": [\"tidelock\", \"x\"], \"revision\": \"signed\"}",
        ),
        ("tidelock/p.rego", DENY),
        (
            "x/data.json",
            "{ \"b\": [1, \"é\\n<\"],\n \"a\": {\"d\": null, \"c\": true} }",
        ),
    ]
}

/// What OPA hashes: computed by hand, not by the code under test.
fn entries() -> serde_json::Value {
    let sha256 = |text: &str| hex::encode(Sha256::digest(text));
    json!([
        {"name": ".manifest", "algorithm": "SHA-256",
         "hash": sha256(r#"{"revision":"signed","roots":["tidelock","x"]}"#)},
        {"name": "tidelock/p.rego", "algorithm": "SHA-256", "hash": sha256(DENY)},
        {"name": "x/data.json", "algorithm": "SHA-256",
         "hash": sha256(r#"{"a":{"c":true,"d":null},"b":[1,"é\n<"]}"#)},
    ])
}

fn token(
    header: &serde_json::Value,
    payload: &serde_json::Value,
    sign: impl Fn(&[u8]) -> Vec<u8>,
) -> String {
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(payload));
    let signature = URL_SAFE_NO_PAD.encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

fn by_secret(message: &[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
    hmac::sign(&key, message).as_ref().to_vec()
}

fn with_token(token: &str) -> Bundle {
    let signatures = json!({ "signatures": [token] }).to_string();
    let files = files()
        .into_iter()
        .map(|(name, text)| (name, text.to_owned()));
    Bundle::from_files(files.chain([(".signatures.json", signatures)])).unwrap()
}

fn signed(header: &serde_json::Value, payload: &serde_json::Value) -> Bundle {
    with_token(&token(header, payload, by_secret))
}

fn good() -> Bundle {
    signed(&json!({"alg": "HS256"}), &json!({"files": entries()}))
}

fn changed(name: &str, text: Option<&str>) -> Bundle {
    let bundle = good();
    let kept = bundle.files().filter(|(other, _)| *other != name);
    let kept = kept.map(|(name, bytes)| (name.to_owned(), bytes.to_vec()));
    let new = text.map(|text| (name.to_owned(), text.as_bytes().to_vec()));
    Bundle::from_files(kept.chain(new)).unwrap()
}

#[test]
fn a_signed_bundle_is_taken() {
    assert_eq!(hs256().verify(&good()), Ok(()));
    let (key, verifier) = es256();
    let sign = |message: &[u8]| {
        key.sign(&SystemRandom::new(), message)
            .unwrap()
            .as_ref()
            .to_vec()
    };
    let payload = json!({"files": entries(), "iat": 1, "iss": "x", "keyid": "k"});
    let bundle = with_token(&token(
        &json!({"alg": "ES256", "typ": "JWT"}),
        &payload,
        sign,
    ));
    assert_eq!(verifier.verify(&bundle), Ok(()));
    let (_, other) = es256();
    assert_eq!(other.verify(&bundle), Err(SignatureError::Signature));
    // The meaning of data is signed, not how it is written.
    let same = "{\"a\":{\"c\":true,\"d\":null},\"b\":[1,\"\\u00e9\\n\\u003c\"]}";
    assert_eq!(hs256().verify(&changed("x/data.json", Some(same))), Ok(()));
}

/// Signed with the openssl command; its private key is not kept.
#[test]
fn a_bundle_signed_by_rsa_is_taken() {
    let pem = include_bytes!("rs256.pem");
    let verifier = Verifier::new(Algorithm::Rs256, pem, None).unwrap();
    let signatures = include_str!("rs256.signatures.json");
    let of = |rego: &str| Bundle::from_files([("p.rego", rego), (".signatures.json", signatures)]);
    assert_eq!(verifier.verify(&of("package tidelock\n").unwrap()), Ok(()));
    let changed = SignatureError::ChangedFile("p.rego".into());
    assert_eq!(
        verifier.verify(&of("package other\n").unwrap()),
        Err(changed)
    );
    let last = signatures.replace("\"]}", "A\"]}");
    let forged = Bundle::from_files([
        ("p.rego", "package tidelock\n"),
        (".signatures.json", &last),
    ]);
    verifier.verify(&forged.unwrap()).unwrap_err();
}

#[test]
fn every_file_and_no_other_is_signed() {
    let verify = |bundle: &Bundle| hs256().verify(bundle).unwrap_err();
    for (name, text) in [
        ("tidelock/p.rego", "package tidelock\n"),
        (
            "x/data.json",
            "{\"a\": {\"c\": false, \"d\": null}, \"b\": [1, \"é\\n<\"]}",
        ),
        (
            ".manifest",
            "{\"roots\": [\"tidelock\", \"x\"], \"revision\": \"other\"}",
        ),
    ] {
        let error = verify(&changed(name, Some(text)));
        assert_eq!(error, SignatureError::ChangedFile(name.into()));
        let error = verify(&changed(name, None));
        assert_eq!(error, SignatureError::MissingFile(name.into()));
    }
    let error = verify(&changed("tidelock/more.rego", Some("package tidelock\n")));
    assert_eq!(
        error,
        SignatureError::UnsignedFile("tidelock/more.rego".into())
    );
    assert_eq!(
        verify(&changed(".signatures.json", None)),
        SignatureError::Unsigned
    );
}

#[test]
fn what_the_token_says_of_itself_is_not_believed() {
    let payload = json!({"files": entries()});
    let verify = |bundle: &Bundle| hs256().verify(bundle).unwrap_err();
    for alg in ["none", "None", "hs256", "HS384", "ES256", ""] {
        let error = verify(&signed(&json!({ "alg": alg }), &payload));
        assert!(
            matches!(error, SignatureError::Algorithm { .. }),
            "{alg}: {error:?}"
        );
    }
    // A public key used as if it were a secret.
    let (_, verifier) = es256();
    let error = verifier.verify(&good()).unwrap_err();
    assert!(
        matches!(error, SignatureError::Algorithm { .. }),
        "{error:?}"
    );
    let crit = json!({"alg": "HS256", "crit": ["b64"], "b64": false});
    assert!(matches!(
        verify(&signed(&crit, &payload)),
        SignatureError::Form(_)
    ));
    let unsigned = token(&json!({"alg": "HS256"}), &payload, |_| Vec::new());
    assert_eq!(verify(&with_token(&unsigned)), SignatureError::Signature);
    let forged = token(&json!({"alg": "HS256"}), &payload, |_| vec![0; 32]);
    assert_eq!(verify(&with_token(&forged)), SignatureError::Signature);
}

#[test]
fn what_is_no_token_is_refused() {
    for text in ["", ".", "..", "a.b", "a.b.c", "a.b.c.d", "e30.e30.e30"] {
        let error = hs256().verify(&with_token(text)).unwrap_err();
        assert!(
            matches!(error, SignatureError::Form(_)),
            "{text}: {error:?}"
        );
    }
    for text in [
        "",
        "{}",
        "[]",
        "{\"signatures\": []}",
        "{\"signatures\": [\"a\", \"b\"]}",
    ] {
        let error = hs256()
            .verify(&changed(".signatures.json", Some(text)))
            .unwrap_err();
        assert!(
            matches!(error, SignatureError::Form(_)),
            "{text}: {error:?}"
        );
    }
    let header = json!({"alg": "HS256"});
    let mut weak = entries();
    weak[1]["algorithm"] = "MD5".into();
    let mut twice = entries();
    twice[2]["name"] = "/tidelock/p.rego".into();
    for payload in [
        json!({}),
        json!({"files": {}}),
        json!({"files": weak}),
        json!({"files": twice}),
    ] {
        let error = hs256().verify(&signed(&header, &payload)).unwrap_err();
        assert!(
            matches!(error, SignatureError::Form(_)),
            "{payload}: {error:?}"
        );
    }
}

#[test]
fn the_scope_is_held_to() {
    let of = |scope: &str| Verifier::new(Algorithm::Hs256, SECRET, Some(scope.into())).unwrap();
    let payload = json!({"files": entries(), "scope": "nodes"});
    let bundle = signed(&json!({"alg": "HS256"}), &payload);
    assert_eq!(of("nodes").verify(&bundle), Ok(()));
    assert_eq!(of("write").verify(&bundle), Err(SignatureError::Scope));
    assert_eq!(of("nodes").verify(&good()), Err(SignatureError::Scope));
}

#[test]
fn a_key_that_cannot_be_one_is_refused() {
    let pem = rcgen::KeyPair::generate().unwrap().public_key_pem();
    for (algorithm, key) in [
        (Algorithm::Hs256, b"short".as_slice()),
        (Algorithm::Es256, b""),
        (Algorithm::Es256, SECRET),
        (Algorithm::Rs256, pem.as_bytes()),
    ] {
        let error = Verifier::new(algorithm, key, None).unwrap_err();
        assert!(matches!(error, SignatureError::Key(_)), "{error:?}");
    }
    let shown = format!("{:?}", hs256());
    assert!(!shown.contains("secret"), "{shown}");
}

#[tokio::test]
async fn a_server_must_send_what_was_signed() {
    let mut checked = bench(|config| config.verifier = Some(hs256())).await;
    checked.server.answer(Answer::bundle(&good(), None));
    assert!(matches!(checked.poll().await, Ok(Some(_))));
    let more = changed("tidelock/p.rego", Some("package tidelock\n# other\n"));
    let unsigned = changed(".signatures.json", None);
    for bad in [more, unsigned] {
        checked.server.answer(Answer::bundle(&bad, None));
        let error = checked.poll().await.unwrap_err();
        assert!(matches!(error, RemoteError::Signature(_)), "{error:?}");
        assert_eq!(checked.current(), "signed");
    }
    // Signed, and nobody to check it.
    let mut unchecked = bench(|_| {}).await;
    unchecked.server.answer(Answer::bundle(&good(), None));
    let error = unchecked.poll().await.unwrap_err();
    assert!(
        matches!(error, RemoteError::Signature(SignatureError::NoKey)),
        "{error:?}"
    );
}
