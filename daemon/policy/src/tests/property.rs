// SPDX-License-Identifier: Apache-2.0 OR MIT
//! No question and no bundle makes anything panic, and no answer opens what is not a decision.

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
};

use proptest::{option, prelude::*};

use super::input;
use crate::{
    Bundle, Container, Decision, DecisionMode, Direction, EMBEDDED, Endpoint, Input, PeerPattern,
    Policy, PolicyError,
};

fn policy() -> Arc<Policy> {
    static POLICY: OnceLock<Arc<Policy>> = OnceLock::new();
    let load = || Arc::new(Policy::load(&EMBEDDED.bundle().unwrap()).unwrap());
    Arc::clone(POLICY.get_or_init(load))
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["\\PC{0,40}", any::<String>(), "[a-z/]{0,5000}"]
}

prop_compose! {
    fn endpoint()(ip: IpAddr, port: u16) -> Endpoint {
        Endpoint { ip, port }
    }
}

prop_compose! {
    fn question()(
        accept: bool,
        (local, remote) in (endpoint(), endpoint()),
        numbers: [u32; 5],
        start_time_ns: u64,
        comm in text(),
        texts in [(); 4].map(|()| option::of(text())),
        container in option::of((text(), text(), option::of(text()))),
    ) -> Input {
        let mut input = input();
        input.direction = if accept { Direction::Accept } else { Direction::Connect };
        (input.local, input.remote) = (local, remote);
        let of = &mut input.process;
        [of.pid, of.uid, of.euid, of.gid, of.egid] = numbers;
        of.start_time_ns = start_time_ns;
        of.comm = comm;
        [of.exe, of.exe_sha256, of.cgroup, of.systemd_unit] = texts;
        of.container = container.map(|(id, runtime, pod_uid)| Container { id, runtime, pod_uid });
        input
    }
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        text().prop_map(Into::into),
        prop_oneof!["plain", "mtls", "deny", "spiffe://[a-z]{1,3}/[a-z*]{1,3}"]
            .prop_map(Into::into),
    ];
    let key = prop_oneof![
        "mode",
        "spiffe_id",
        "peers",
        "ttl_seconds",
        "reason",
        "[a-z]{1,4}"
    ];
    leaf.prop_recursive(3, 24, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            prop::collection::btree_map(key.clone(), inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_question_makes_it_panic_or_allow(input in question()) {
        match policy().decide(&input) {
            Ok(decision) => prop_assert_eq!(decision.mode, DecisionMode::Deny),
            Err(PolicyError::Input(_)) => prop_assert!(input.check().is_err()),
            Err(error) => prop_assert!(false, "{}", error),
        }
    }

    #[test]
    fn a_question_is_read_as_it_was_written(input in question()) {
        let text = serde_json::to_string(&input).unwrap();
        prop_assert_eq!(serde_json::from_str::<Input>(&text).unwrap(), input);
    }

    #[test]
    fn whatever_is_a_decision_holds_together(value in json()) {
        if let Ok(decision) = serde_json::from_value::<Decision>(value) {
            prop_assert!(decision.check().is_ok());
            prop_assert_eq!(decision.mode == DecisionMode::Mtls, !decision.peers.is_empty());
            let text = serde_json::to_string(&decision).unwrap();
            prop_assert_eq!(serde_json::from_str::<Decision>(&text).unwrap(), decision);
        }
    }

    #[test]
    fn a_pattern_is_written_as_it_was_read(text in "spiffe://[a-zA*.]{0,3}[/*]{0,2}[a-z%*]{0,2}") {
        if let Ok(pattern) = text.parse::<PeerPattern>() {
            prop_assert_eq!(pattern.to_string(), text);
        }
    }

    #[test]
    fn no_archive_makes_it_panic(bytes: Vec<u8>) {
        let _ = Bundle::from_tar_gz(&bytes);
    }

    #[test]
    fn no_rules_make_it_panic(rego in "[a-z :={}\\[\\]()\"\n,.!|;&0-9]{0,200}") {
        let _ = Policy::load(&super::rules(&rego));
    }
}
