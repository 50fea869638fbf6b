// SPDX-License-Identifier: GPL-2.0-only OR MIT
use std::{vec, vec::Vec};

use rustls::{CertificateError, Error};

use super::*;
use crate::{SecretKey, SessionState, authority::Profile, selftest::shake_hands, verify::svid_of};

fn shape(profile: &Profile<'_>) -> Result<SpiffeId, TlsError> {
    let key = SecretKey::generate::<Now>().unwrap();
    let der = authority().sign::<Now>(profile, &key).unwrap();
    svid_of(&der.into()).map(|(id, _)| id)
}

#[test]
fn a_certificate_that_has_not_the_shape_of_an_svid_has_no_spiffe_id() {
    assert_eq!(
        shape(&Profile::Svid(vec![CLIENT])).unwrap().as_str(),
        CLIENT
    );
    let refused: [(&str, Profile<'_>); 6] = [
        ("no URI", Profile::Svid(vec![])),
        ("two URIs", Profile::Svid(vec![CLIENT, SERVER])),
        ("the same URI twice", Profile::Svid(vec![CLIENT, CLIENT])),
        ("no path", Profile::Svid(vec!["spiffe://example.org"])),
        (
            "no SPIFFE ID",
            Profile::Svid(vec!["https://example.org/client"]),
        ),
        ("may sign certificates", Profile::SigningSvid(CLIENT)),
    ];
    for (what, profile) in refused {
        assert!(shape(&profile).is_err(), "{what}");
    }
    assert!(shape(&Profile::Authority("A")).is_err());
    assert!(svid_of(&Vec::new().into()).is_err());
}

/// What the handshake of `client` and `server` ends in.
fn outcome<C: Platform, S: Platform>(
    authority: &Authority,
    client: &Identity,
    server: &Identity,
) -> Result<(), Error> {
    let mut pair = pair::<C, S>(authority, client, server).unwrap();
    match shake_hands(&mut pair) {
        Ok(_) => Ok(()),
        Err(TlsError::Session(error)) => Err(error),
        Err(error) => panic!("{error}"),
    }
}

fn invalid(error: CertificateError) -> Result<(), Error> {
    Err(Error::InvalidCertificate(error))
}

#[test]
fn an_svid_is_good_in_its_time_only() {
    let authority = authority();
    let (client, server) = (issue(&authority, CLIENT), issue(&authority, SERVER));
    assert_eq!(outcome::<Now, Now>(&authority, &client, &server), Ok(()));
    let expired = outcome::<Host<2>, Now>(&authority, &client, &server);
    assert_eq!(expired, invalid(CertificateError::Expired));
    let expired = outcome::<Now, Host<2>>(&authority, &client, &server);
    assert_eq!(expired, invalid(CertificateError::Expired));
    let too_early = outcome::<Host<-2>, Now>(&authority, &client, &server);
    assert_eq!(too_early, invalid(CertificateError::NotValidYet));
}

#[test]
fn a_foreign_authority_is_refused_by_its_key_and_by_its_domain() {
    let (home, abroad) = (authority(), authority());
    let (client, server) = (issue(&home, CLIENT), issue(&home, SERVER));
    let foreign = outcome::<Now, Now>(&home, &client, &issue(&abroad, SERVER));
    assert_eq!(foreign, invalid(CertificateError::BadSignature));
    let foreign = outcome::<Now, Now>(&home, &issue(&abroad, CLIENT), &server);
    assert_eq!(foreign, invalid(CertificateError::BadSignature));
    // Our own authority speaks for its domain alone.
    let elsewhere = issue(&home, "spiffe://example.com/server");
    let foreign = outcome::<Now, Now>(&home, &client, &elsewhere);
    assert_eq!(foreign, invalid(CertificateError::UnknownIssuer));
}

#[test]
fn an_identity_is_a_key_and_its_own_certificate() {
    let authority = authority();
    let (one, other) = (
        SecretKey::generate::<Now>().unwrap(),
        SecretKey::generate::<Now>().unwrap(),
    );
    let svid = authority
        .sign::<Now>(&Profile::Svid(vec![CLIENT]), &one)
        .unwrap();
    assert!(Identity::new(one, [svid.as_slice()]).is_ok());
    assert!(Identity::new(other, [svid.as_slice()]).is_err());
    let none = Identity::new(SecretKey::generate::<Now>().unwrap(), []);
    assert!(none.is_err());
}

#[test]
fn a_refused_peer_is_told_and_the_session_stays_failed() {
    let (home, abroad) = (authority(), authority());
    let (client, server) = (issue(&abroad, CLIENT), issue(&home, SERVER));
    let mut pair = pair::<Now, Now>(&home, &client, &server).unwrap();
    assert!(shake_hands(&mut pair).is_err());
    let server = &mut pair.server;
    assert_eq!(server.state(), SessionState::Failed);
    assert!(server.peer().is_none() && server.negotiated().is_none());
    assert!(server.send(b"data").is_err() && server.receive(b"").is_err());
    let alert = server.take_output();
    let error = pair.client.receive(&alert).unwrap_err();
    let TlsError::Session(Error::AlertReceived(alert)) = error else {
        panic!("{error:?}");
    };
    assert_eq!(alert, rustls::AlertDescription::DecryptError);
}

#[test]
fn no_data_goes_before_the_handshake_is_done_nor_after_the_end() {
    let authority = authority();
    let (client, server) = (issue(&authority, CLIENT), issue(&authority, SERVER));
    let mut pair = pair::<Now, Now>(&authority, &client, &server).unwrap();
    assert_eq!(pair.client.send(b"early"), Err(TlsError::NotOpen));
    assert_eq!(pair.client.state(), SessionState::Handshaking);
    shake_hands(&mut pair).unwrap();
    pair.client.close().unwrap();
    let farewell = pair.client.take_output();
    pair.server.receive(&farewell).unwrap();
    assert_eq!(pair.server.state(), SessionState::PeerClosed);
    assert_eq!(pair.server.send(b"late"), Err(TlsError::NotOpen));

    // Whatever comes after a farewell is not looked at, and opens nothing again.
    let long = b"garbage".repeat(10_000);
    for more in [b"".as_slice(), b"garbage", &farewell, &long] {
        pair.server.receive(more).unwrap();
        assert_eq!(pair.server.state(), SessionState::PeerClosed);
        assert_eq!(pair.server.send(b"late"), Err(TlsError::NotOpen));
    }
    assert!(pair.server.take_data().is_empty());

    // Nor does our own farewell leave the way open for data; it is said once.
    assert_eq!(pair.client.state(), SessionState::LocalClosed);
    assert_eq!(pair.client.send(b"late"), Err(TlsError::NotOpen));
    assert_eq!(pair.client.close(), Err(TlsError::NotOpen));
    assert!(pair.client.take_output().is_empty());
}

#[test]
fn each_side_ends_its_own_direction() {
    let authority = authority();
    let (client, server) = (issue(&authority, CLIENT), issue(&authority, SERVER));
    let mut pair = pair::<Now, Now>(&authority, &client, &server).unwrap();
    shake_hands(&mut pair).unwrap();
    pair.client.close().unwrap();
    pair.server.send(b"still on its way").unwrap();
    let way = pair.server.take_output();
    pair.client.receive(&way).unwrap();
    assert_eq!(pair.client.take_data(), b"still on its way");
    let farewell = pair.client.take_output();
    pair.server.receive(&farewell).unwrap();
    pair.server.close().unwrap();
    assert_eq!(pair.server.state(), SessionState::Closed);
    let answer = pair.server.take_output();
    assert!(!answer.is_empty(), "the farewell was not answered");
    pair.client.receive(&answer).unwrap();
    assert_eq!(pair.client.state(), SessionState::Closed);
    assert!(pair.client.peer().is_some());
}
