// SPDX-License-Identifier: Apache-2.0 OR MIT
//! SPIFFE IDs and patterns of them, by the SPIFFE-ID standard.

use crate::{PeerPattern, SpiffeId};

fn id(text: &str) -> SpiffeId {
    SpiffeId::parse(text).unwrap()
}

#[test]
fn what_is_no_spiffe_id_is_no_pattern() {
    let long_domain = format!("spiffe://{}/a", "a".repeat(256));
    let long = format!("spiffe://example.org/{}", "a".repeat(2048));
    for text in [
        "",
        "*",
        "spiffe://",
        "spiffe:///",
        "spiffe:///*",
        "spiffe://*",
        "spiffe://*/db",
        "spiffe://*/*",
        "spiffe://*.example.org/*",
        "example.org/*",
        "SPIFFE://example.org/db",
        "https://example.org/db",
        "spiffe://Example.org/db",
        "spiffe://example.org:443/db",
        "spiffe://user@example.org/db",
        "spiffe://exämple.org/db",
        "spiffe://example.org",
        "spiffe://example.org/",
        "spiffe://example.org/db/",
        "spiffe://example.org//db",
        "spiffe://example.org/./db",
        "spiffe://example.org/a/../db",
        "spiffe://example.org/a/..",
        "spiffe://example.org/d%62",
        "spiffe://example.org/db?a=b",
        "spiffe://example.org/db#a",
        "spiffe://example.org/db ",
        " spiffe://example.org/db",
        "spiffe://example.org/ns/*",
        "spiffe://example.org/*/db",
        "spiffe://example.org/d*",
        "spiffe://example.org/**",
        "spiffe://example.org/db\0",
        &long_domain,
        &long,
    ] {
        assert!(text.parse::<PeerPattern>().is_err(), "{text:?}");
    }
    for text in [
        "spiffe://example.org/db",
        "spiffe://example.org/ns/prod/sa/db",
        "spiffe://ex_am-ple.0rg/A.b-c_d/...",
        "spiffe://example.org/*",
    ] {
        assert_eq!(text.parse::<PeerPattern>().unwrap().to_string(), text);
    }
}

#[test]
fn a_workload_matches_itself_alone() {
    let pattern: PeerPattern = "spiffe://example.org/db".parse().unwrap();
    assert!(pattern.matches(&id("spiffe://example.org/db")));
    for other in [
        "spiffe://example.org/db2",
        "spiffe://example.org/db/replica",
        "spiffe://example.org/DB",
        "spiffe://example.com/db",
        "spiffe://example.org",
    ] {
        assert!(!pattern.matches(&id(other)), "{other}");
    }
}

#[test]
fn a_trust_domain_matches_its_workloads_alone() {
    let pattern: PeerPattern = "spiffe://example.org/*".parse().unwrap();
    assert!(pattern.matches(&id("spiffe://example.org/db")));
    assert!(pattern.matches(&id("spiffe://example.org/ns/prod/db")));
    for other in [
        "spiffe://example.org",
        "spiffe://example.org.evil/db",
        "spiffe://sub.example.org/db",
    ] {
        assert!(!pattern.matches(&id(other)), "{other}");
    }
}
