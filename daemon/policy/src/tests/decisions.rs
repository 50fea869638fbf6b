// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is an answer, and what is none. The second is an error, never an allow.

use std::{sync::Arc, thread};

use super::{DENY, bundle, input, rules};
use crate::{Decision, DecisionMode, Input, InputError, Policy, PolicyError};

/// The rules answer this for nginx alone, so that the probe at loading sees the default.
fn answer(value: &str) -> Result<Decision, PolicyError> {
    let rego = format!("decision := {value} if input.process.exe == \"/usr/sbin/nginx\"\n");
    Policy::load(&rules(&rego)).unwrap().decide(&input())
}

fn shape(value: &str) -> String {
    match answer(value).unwrap_err() {
        PolicyError::Shape { reason } => reason,
        other => panic!("{value}: {other:?}"),
    }
}

#[test]
fn a_whole_decision_is_understood() {
    let decision = answer(
        r#"{"mode": "mtls", "spiffe_id": "spiffe://example.org/web", "reason": "web to db",
            "peers": {"spiffe://example.org/db", "spiffe://partner.example/*"},
            "ttl_seconds": 5}"#,
    )
    .unwrap();
    assert_eq!(decision.mode, DecisionMode::Mtls);
    assert_eq!(
        decision.spiffe_id.unwrap().as_str(),
        "spiffe://example.org/web"
    );
    let peers: Vec<String> = decision.peers.iter().map(ToString::to_string).collect();
    assert_eq!(
        peers,
        ["spiffe://example.org/db", "spiffe://partner.example/*"]
    );
    assert_eq!(
        (decision.ttl_seconds, decision.reason.as_str()),
        (5, "web to db")
    );
}

#[test]
fn a_decision_without_a_time_to_live_has_the_default() {
    let decision = answer(r#"{"mode": "plain", "reason": "x"}"#).unwrap();
    assert_eq!(
        (decision.mode, decision.ttl_seconds),
        (DecisionMode::Plain, 60)
    );
}

#[test]
fn undefined_is_an_error() {
    let rego = "package tidelock\n\
        decision := {\"mode\": \"plain\", \"reason\": \"x\"} if not input.process.exe\n";
    let policy = Policy::load(&bundle(rego)).unwrap();
    assert!(matches!(
        policy.decide(&input()),
        Err(PolicyError::Undefined)
    ));
}

#[test]
fn another_type_is_an_error() {
    for value in [
        "true",
        "\"plain\"",
        "1",
        "null",
        "[]",
        "{}",
        "{\"plain\"}",
        "[\"plain\"]",
    ] {
        shape(value);
    }
    // The tuple form of a struct, which some decoders would take.
    shape(r#"["plain", null, [], 60, "x"]"#);
}

#[test]
fn an_unknown_field_is_an_error() {
    let said = shape(r#"{"mode": "plain", "reason": "x", "peer": ["spiffe://example.org/db"]}"#);
    assert!(said.contains("unknown field `peer`"), "{said}");
}

#[test]
fn a_missing_field_is_an_error() {
    assert!(shape(r#"{"reason": "x"}"#).contains("`mode`"));
    assert!(shape(r#"{"mode": "plain"}"#).contains("`reason`"));
}

#[test]
fn wrong_values_are_errors_that_name_the_field() {
    let mtls = |rest: &str| {
        let head = r#"{"mode": "mtls", "spiffe_id": "spiffe://example.org/web", "reason": "x""#;
        shape(&format!("{head}, {rest}}}"))
    };
    for (said, field) in [
        (shape(r#"{"mode": "allow", "reason": "x"}"#), "`allow`"),
        (shape(r#"{"mode": "PLAIN", "reason": "x"}"#), "`PLAIN`"),
        (shape(r#"{"mode": "plain", "reason": ""}"#), "reason"),
        (shape(r#"{"mode": "plain", "reason": "a\nb"}"#), "reason"),
        (shape(r#"{"mode": "plain", "reason": 1}"#), "string"),
        (
            shape(r#"{"mode": "plain", "reason": "x", "ttl_seconds": 86401}"#),
            "ttl_seconds",
        ),
        (
            shape(r#"{"mode": "plain", "reason": "x", "ttl_seconds": -1}"#),
            "-1",
        ),
        (
            shape(r#"{"mode": "plain", "reason": "x", "ttl_seconds": 1.5}"#),
            "1.5",
        ),
        (
            shape(r#"{"mode": "plain", "reason": "x", "ttl_seconds": 4294967296}"#),
            "4294967296",
        ),
        (
            shape(r#"{"mode": "plain", "reason": "x", "ttl_seconds": "60"}"#),
            "60",
        ),
        (mtls(r#""peers": []"#), "peers is empty"),
        (mtls(r#""peers": null"#), "null"),
        (mtls(r#""peers": "spiffe://example.org/*""#), "sequence"),
        (mtls(r#""peers": ["*"]"#), "peers[0]"),
        (
            mtls(r#""peers": ["spiffe://example.org/db", "spiffe://*"]"#),
            "peers[1]",
        ),
        (mtls(r#""ttl_seconds": 60"#), "peers is empty"),
    ] {
        assert!(said.contains(field), "{field}: {said}");
    }
}

#[test]
fn mtls_needs_an_identity_that_is_a_workload() {
    let of = |id: &str| {
        let peers = r#""peers": ["spiffe://example.org/*"]"#;
        shape(&format!(
            r#"{{"mode": "mtls", "reason": "x", {peers} {id}}}"#
        ))
    };
    assert!(of("").contains("no spiffe_id"));
    assert!(of(r#", "spiffe_id": "spiffe://example.org""#).contains("names no workload"));
    assert!(of(r#", "spiffe_id": "https://example.org/web""#).contains("spiffe://"));
    assert!(of(r#", "spiffe_id": "spiffe://Example.org/web""#).contains("trust domain"));
}

#[test]
fn peers_that_nobody_would_check_are_an_error() {
    for mode in ["plain", "deny"] {
        let peers = r#""peers": ["spiffe://example.org/db"], "reason": "x""#;
        let said = shape(&format!(r#"{{"mode": "{mode}", {peers}}}"#));
        assert!(said.contains("would not be checked"), "{said}");
    }
}

/// The parts of a SPIFFE ID of this length, on lines that the compiler takes.
fn long_id(len: usize) -> String {
    let id = format!("spiffe://example.org/{}", "x".repeat(len - 21));
    let parts: Vec<String> = id
        .as_bytes()
        .chunks(500)
        .map(|part| format!("{:?}", String::from_utf8_lossy(part)))
        .collect();
    format!("[{}]", parts.join(",\n"))
}

#[test]
fn lists_and_texts_are_bounded() {
    let peers: Vec<String> = (0..65)
        .map(|n| format!("\"spiffe://example.org/w{n}\""))
        .collect();
    let of = |count: usize| {
        answer(&format!(
            r#"{{"mode": "mtls", "spiffe_id": "spiffe://example.org/a", "reason": "x",
                "peers": [{}]}}"#,
            peers[..count].join(",\n")
        ))
    };
    assert!(of(64).is_ok());
    assert!(of(65).unwrap_err().to_string().contains("64 are allowed"));
    let long = |count: usize, len: usize| {
        let peers: Vec<String> = (0..count)
            .map(|_| format!("concat(\"\", {parts})", parts = long_id(len)))
            .collect();
        answer(&format!(
            r#"{{"mode": "mtls", "spiffe_id": "spiffe://example.org/a", "reason": "x",
                "peers": [{}]}}"#,
            peers.join(",\n")
        ))
    };
    assert!(long(6, 2000).is_ok());
    let error = long(6, 2001).unwrap_err().to_string();
    assert!(error.contains("12006 bytes, 12000 are allowed"), "{error}");
    let reason = |len: usize| {
        answer(&format!(
            r#"{{"mode": "plain", "reason": "{}"}}"#,
            "x".repeat(len)
        ))
    };
    assert!(reason(256).is_ok());
    assert!(reason(257).unwrap_err().to_string().contains("257"));
}

#[test]
fn rules_that_contradict_each_other_are_an_error() {
    let rego = r#"
        decision := {"mode": "deny", "reason": "a"} if input.process.exe
        decision := {"mode": "plain", "reason": "b"} if input.process.exe
    "#;
    let error = Policy::load(&rules(rego))
        .unwrap()
        .decide(&input())
        .unwrap_err();
    assert!(matches!(error, PolicyError::Evaluation { .. }), "{error:?}");
}

#[test]
fn what_cannot_be_computed_is_an_error() {
    for expression in [
        "1 / 0 == 1",
        "to_number(input.process.comm) == 1",
        "not 1 / 0 == 1",
    ] {
        let rego = format!(
            "decision := {{\"mode\": \"plain\", \"reason\": \"x\"}} if {{\n\
             input.process.exe\n{expression}\n}}\n"
        );
        let error = Policy::load(&rules(&rego))
            .unwrap()
            .decide(&input())
            .unwrap_err();
        assert!(
            matches!(error, PolicyError::Evaluation { .. }),
            "{expression}: {error:?}"
        );
        assert!(error.to_string().contains("tidelock/p.rego:"), "{error}");
    }
}

#[test]
fn rules_that_need_themselves_are_an_error() {
    let rego = "decision := a if input.process.exe\na := b\nb := a\n";
    let outcome = Policy::load(&rules(rego)).and_then(|policy| policy.decide(&input()));
    let error = outcome.unwrap_err().to_string();
    assert!(
        error.contains("recursi") || error.contains("cyclic"),
        "{error}"
    );
}

#[test]
fn rules_without_an_end_are_an_error() {
    let all: Vec<String> = (0..60).map(|n: i32| n.to_string()).collect();
    let rego = format!(
        "all := [{}]\n\
         decision := {{\"mode\": \"plain\", \"reason\": \"x\"}} if {{\n\
         input.process.exe\n\
         some a in all; some b in all; some c in all; some d in all; some e in all\n\
         some f in all; some g in all; some h in all\n\
         a + b + c + d + e + f + g + h == -1\n}}\n",
        all.join(", ")
    );
    let policy = Policy::load(&rules(&rego)).unwrap();
    let error = policy.decide(&input()).unwrap_err();
    assert!(matches!(error, PolicyError::TimeLimit { .. }), "{error:?}");
}

/// Each would end the process, not the evaluation: memory as large as the argument says.
#[test]
fn functions_that_take_any_amount_of_memory_are_not_available() {
    for call in [
        "numbers.range(1, 1000000000000000)",
        "numbers.range_step(1, 1000000000000000, 1)",
        "bits.lsh(1, 4000000000)",
        "rand.intn(\"a\", 10)",
    ] {
        let rego = format!(
            "decision := {{\"mode\": \"plain\", \"reason\": \"x\"}} if {{\n\
             input.process.exe\nx := {call}\nx\n}}\n"
        );
        let error = Policy::load(&rules(&rego))
            .unwrap()
            .decide(&input())
            .unwrap_err();
        assert!(
            error.to_string().contains("is not available"),
            "{call}: {error}"
        );
    }
}

#[test]
fn the_longest_chain_of_rules_fits_the_stack() {
    let link = |n: usize| {
        let next = n + 1;
        format!("r{n} := [y | x := [z | z := {{\"a\": [r{next}]}}]; y := count(x)][0]\n")
    };
    let chain: String = (0..990).map(link).collect();
    let rego = format!(
        "{chain}r990 := 1\n\
         decision := {{\"mode\": \"plain\", \"reason\": \"x\"}} if {{ input.process.exe; r0 }}\n"
    );
    let limits = crate::Limits {
        evaluation: std::time::Duration::from_mins(10),
    };
    let policy = Policy::load_with(&rules(&rego), limits).unwrap();
    let decision = policy.decide(&input()).unwrap();
    assert_eq!(decision.mode, DecisionMode::Plain);
}

#[test]
fn what_is_not_known_of_a_process_is_not_there() {
    let rego = "decision := {\"mode\": \"plain\", \"reason\": \"x\"} if input.process.container\n";
    let policy = Policy::load(&rules(rego)).unwrap();
    assert_eq!(policy.decide(&input()).unwrap().mode, DecisionMode::Deny);
}

#[test]
fn a_question_with_impossible_texts_is_refused() {
    let policy = Policy::load(&bundle(DENY)).unwrap();
    let long = |change: fn(&mut Input)| {
        let mut input = input();
        change(&mut input);
        match policy.decide(&input).unwrap_err() {
            PolicyError::Input(error) => error,
            other => panic!("{other:?}"),
        }
    };
    let error = long(|input| input.process.exe = Some("x".repeat(4097)));
    assert!(
        matches!(
            error,
            InputError::TooLong {
                field: "process.exe",
                ..
            }
        ),
        "{error}"
    );
    let error = long(|input| input.process.systemd_unit = Some("x".repeat(257)));
    assert!(error.to_string().contains("systemd_unit"), "{error}");
    let error = long(|input| input.process.exe_sha256 = Some("A".repeat(64)));
    assert_eq!(error, InputError::Digest);
}

#[test]
fn a_policy_is_asked_from_many_threads() {
    let policy = Arc::new(Policy::load(&bundle(DENY)).unwrap());
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let policy = Arc::clone(&policy);
            thread::spawn(move || policy.decide(&input()).unwrap().mode)
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), DecisionMode::Deny);
    }
}

#[test]
fn one_question_leaves_nothing_for_the_next() {
    let rego = "decision := {\"mode\": \"plain\", \"reason\": \"x\"} if input.process.uid == 33\n";
    let policy = Policy::load(&rules(rego)).unwrap();
    let mut other = input();
    other.process.uid = 34;
    for _ in 0..3 {
        assert_eq!(policy.decide(&input()).unwrap().mode, DecisionMode::Plain);
        assert_eq!(policy.decide(&other).unwrap().mode, DecisionMode::Deny);
    }
}

#[test]
fn an_explanation_says_which_lines_were_evaluated_and_what_rules_say() {
    let rego = "decision := {\"mode\": \"plain\", \"reason\": \"x\"} if known\n\
        known if { print(\"looked at\", input.process.exe); input.process.uid == 33 }\n\
        never if false\n\
        double(x) := x + x\n";
    let policy = Policy::load(&rules(rego)).unwrap();
    let explained = policy.explain(&input()).unwrap();
    assert_eq!(explained.decision, policy.decide(&input()).unwrap());
    assert!(
        explained.prints[0].contains("looked at /usr/sbin/nginx"),
        "{explained:?}"
    );
    let value = |name: &str| {
        let rule = explained.rules.iter().find(|rule| rule.rule == name);
        rule.unwrap_or_else(|| panic!("no {name}")).value.clone()
    };
    assert_eq!(value("data.tidelock.known"), Some(true.into()));
    assert_eq!(value("data.tidelock.never"), None);
    assert_eq!(explained.rules.len(), 3, "{:?}", explained.rules);
    let file = &explained.files[0];
    assert_eq!(file.file, "tidelock/p.rego");
    let known = file
        .lines
        .iter()
        .find(|line| line.text.starts_with("known if"));
    assert!(known.unwrap().evaluated, "{file:?}");
}
