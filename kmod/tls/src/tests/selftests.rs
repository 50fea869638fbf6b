// SPDX-License-Identifier: GPL-2.0-only OR MIT
use super::*;
use crate::{SecretKey, SelfTestError, Step, selftest};

#[test]
fn it_passes_here_and_measures() {
    let passed = selftest::<Now>().unwrap();
    assert_eq!(passed.negotiated.cipher_suite, 0x1301);
    assert_eq!(passed.negotiated.group, 29);
    // Client hello; server's flight; client's flight.
    assert_eq!(passed.rounds, 3);
    assert_eq!(passed.data_bytes, 40_000);
    assert!((1000..4000).contains(&passed.handshake_bytes), "{passed:?}");
}

#[derive(Debug)]
struct NoRandomness;

impl Platform for NoRandomness {
    fn fill_random(_: &mut [u8]) -> Result<(), NoEntropy> {
        Err(NoEntropy)
    }

    fn unix_time() -> u64 {
        Now::unix_time()
    }
}

#[test]
fn without_randomness_nothing_is_made() {
    let error = SelfTestError {
        step: Step::Certificates,
        error: Some(TlsError::Entropy(NoEntropy)),
    };
    assert_eq!(selftest::<NoRandomness>(), Err(error));
    let (authority, now) = (authority(), issue(&authority(), CLIENT));
    assert!(pair::<NoRandomness, Now>(&authority, &now, &now).is_err());
}

#[test]
fn a_key_does_not_show_itself() {
    let key = SecretKey::generate::<Now>().unwrap();
    assert_eq!(std::format!("{key:?}"), "SecretKey");
}
