// SPDX-License-Identifier: GPL-2.0-only OR MIT
mod certificates;
mod chains;
mod hand_over;
mod interop;
mod refused;
mod requests;
mod robust;
mod selftests;
mod spiffe_ids;
mod trust;

use std::io::Read as _;

use crate::{
    Identity, NoEntropy, Platform, SpiffeId, TlsError, TrustDomain, accept, authority::Authority,
    connect, selftest::Pair,
};

/// The host, with a clock that is `HOURS` ahead.
#[derive(Debug)]
struct Host<const HOURS: i64>;

type Now = Host<0>;

impl<const HOURS: i64> Platform for Host<HOURS> {
    fn fill_random(out: &mut [u8]) -> Result<(), NoEntropy> {
        std::fs::File::open("/dev/urandom")
            .and_then(|mut file| file.read_exact(out))
            .map_err(|_| NoEntropy)
    }

    fn unix_time() -> u64 {
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        now.saturating_add_signed(HOURS * 3600)
    }
}

const CLIENT: &str = "spiffe://example.org/client";
const SERVER: &str = "spiffe://example.org/server";

fn authority() -> Authority {
    Authority::new::<Now>(TrustDomain::parse("example.org").unwrap()).unwrap()
}

fn issue(authority: &Authority, id: &str) -> Identity {
    authority
        .issue::<Now>(&SpiffeId::parse(id).unwrap())
        .unwrap()
}

/// A client of platform `C` and a server of platform `S`, not yet acquainted.
fn pair<C: Platform, S: Platform>(
    authority: &Authority,
    client: &Identity,
    server: &Identity,
) -> Result<Pair, TlsError> {
    let trust = || authority.trust().unwrap();
    Ok(Pair {
        client: connect::<C>(client, trust(), authority.everybody())?,
        server: accept::<S>(server, trust(), authority.everybody())?,
    })
}
