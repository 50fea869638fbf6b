// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is a policy, and what is not one.

use super::{DENY, bundle, refused, rules};
use crate::{Bundle, Policy, PolicyError, TestOutcome, test};

fn load(files: &[(&str, &str)]) -> Result<Policy, PolicyError> {
    Policy::load(&Bundle::from_files(files.iter().copied()).unwrap())
}

fn said(files: &[(&str, &str)]) -> String {
    load(files).unwrap_err().to_string()
}

#[test]
fn a_policy_that_is_no_rego_names_file_and_line() {
    let error = refused("package tidelock\n\ndecision := {\n");
    assert!(matches!(&error, PolicyError::Rego { file, .. } if file == "tidelock/p.rego"));
    assert!(error.to_string().contains("tidelock/p.rego:"), "{error}");
    // What was Rego before 1.0.
    let error = refused("package tidelock\ndecision = {\"mode\": \"deny\"} { true }\n");
    assert!(matches!(error, PolicyError::Rego { .. }), "{error:?}");
    // A variable that nothing binds.
    let error = refused("package tidelock\ndecision := x\n");
    assert!(matches!(error, PolicyError::Compile { .. }), "{error:?}");
}

#[test]
fn a_policy_without_a_decision_is_refused() {
    for rego in [
        "package tidelock\nallow := true\n",
        "package other\ndecision := 1\n",
    ] {
        assert!(
            matches!(refused(rego), PolicyError::NoDecisionRule),
            "{rego}"
        );
    }
    assert!(matches!(load(&[]), Err(PolicyError::NoDecisionRule)));
    // Data is no rule.
    let data = r#"{"decision": {"mode": "plain", "reason": "x"}}"#;
    assert!(matches!(
        load(&[("tidelock/data.json", data)]),
        Err(PolicyError::NoDecisionRule)
    ));
}

#[test]
fn a_policy_without_a_default_is_refused() {
    let error = refused("package tidelock\ndecision := {\"mode\": \"deny\"} if input.nothing\n");
    assert!(matches!(error, PolicyError::Undefined), "{error:?}");
    assert!(error.to_string().contains("default decision"), "{error}");
}

#[test]
fn a_policy_that_answers_nonsense_is_refused() {
    let error = refused("package tidelock\ndecision := true\n");
    assert!(matches!(error, PolicyError::Shape { .. }), "{error:?}");
}

#[test]
fn a_function_that_does_not_exist_is_refused_where_it_is_reached() {
    let error = Policy::load(&rules("decision := nowhere(1)\n")).unwrap_err();
    assert!(error.to_string().contains("nowhere"), "{error}");
}

#[test]
fn functions_that_call_themselves_are_refused() {
    for rego in [
        "f(x) := f(x)\n",
        "f(x) := g(x)\ng(x) := [y | y := h(x)]\nh(x) := f(x)\n",
        "f(x) := data.tidelock.f(x)\n",
        "f(x) := y if { some y in [1]; every z in [1] { f(z) } }\n",
        "f(x) := {\"a\": f(x)}\n",
        "f(x) := g(x) with g as f\ng(x) := x\n",
        "f(x) := 1 if x\nelse := f(x)\n",
    ] {
        let error = Policy::load(&rules(rego)).unwrap_err().to_string();
        assert!(error.contains("calls itself"), "{rego}: {error}");
    }
    let other = "package lib\nf(x) := data.tidelock.f(x)\n";
    let own = format!("{DENY}import data.lib\nf(x) := lib.f(x)\n");
    assert!(said(&[("a.rego", &own), ("b.rego", other)]).contains("calls itself"));
    // Names of other things are no calls.
    assert!(Policy::load(&rules("exe(x) := input.process.exe\nf(x) := exe(x)\n")).is_ok());
    let same = "package lib\nf(x) := x\n";
    let own = format!("{DENY}g(x) := data.lib.f(x)\n");
    assert!(load(&[("a.rego", &own), ("b.rego", same)]).is_ok());
}

#[test]
fn too_many_rules_are_refused() {
    let many: String = (0..1000).map(|n| format!("r{n} := {n}\n")).collect();
    let error = Policy::load(&rules(&many)).unwrap_err();
    assert!(
        matches!(error, PolicyError::TooManyRules { .. }),
        "{error:?}"
    );
}

#[test]
fn data_is_nested_by_its_folders() {
    let rego = r#"package tidelock
        default decision := {"mode": "deny", "reason": "default"}
        decision := {"mode": "plain", "reason": "all there"} if {
            data.top == 1
            data.a.b.inner == [2]
            data.a.yaml.list[1] == "two"
        }"#;
    let policy = load(&[
        ("tidelock/p.rego", rego),
        ("data.json", r#"{"top": 1}"#),
        ("a/b/data.json", r#"{"inner": [2]}"#),
        ("a/yaml/data.yaml", "list:\n  - one\n  - two\n"),
    ])
    .unwrap();
    assert_eq!(policy.decide(&super::input()).unwrap().reason, "all there");
}

#[test]
fn data_that_is_said_twice_is_refused() {
    let own = ("p.rego", DENY);
    let twice = [
        own,
        ("data.json", r#"{"a": {"b": 1}}"#),
        ("a/data.json", r#"{"b": 2}"#),
    ];
    assert!(
        said(&twice).contains("another file has b too"),
        "{}",
        said(&twice)
    );
    let both = [own, ("a/data.json", "{\"b\": 1}"), ("a/data.yaml", "b: 1")];
    assert!(said(&both).contains("another file has"), "{}", said(&both));
    let scalar = [
        own,
        ("data.json", r#"{"a": 1}"#),
        ("a/data.json", r#"{"b": 2}"#),
    ];
    assert!(said(&scalar).contains("a/data.json"), "{}", said(&scalar));
}

#[test]
fn data_that_is_none_names_its_file() {
    for (name, text) in [
        ("data.json", "{"),
        ("data.json", "[1]"),
        ("data.yaml", "a: [\n"),
        ("a/data.yaml", "- 1\n"),
        ("allow.json", "{}"),
        ("tidelock/lists.yaml", "a: 1"),
    ] {
        let said = said(&[("p.rego", DENY), (name, text)]);
        assert!(said.starts_with(name), "{name}: {said}");
    }
    let deep = format!("{}1{}", "{\"a\":".repeat(2000), "}".repeat(2000));
    assert!(said(&[("p.rego", DENY), ("data.json", &deep)]).starts_with("data.json"));
    let deep = format!("a: {}1{}", "[".repeat(2000), "]".repeat(2000));
    assert!(said(&[("p.rego", DENY), ("data.yaml", &deep)]).starts_with("data.yaml"));
    let bomb: String = (1..20)
        .map(|n| {
            format!(
                "a{n}: &a{n} [{}]\n",
                vec![format!("*a{}", n - 1); 9].join(", ")
            )
        })
        .collect();
    let bomb = format!("a0: &a0 [x]\n{bomb}");
    assert!(said(&[("p.rego", DENY), ("data.yaml", &bomb)]).starts_with("data.yaml"));
}

/// The interpreter would take one of them, and for a decision that must not be the data.
#[test]
fn data_at_the_place_of_a_rule_is_refused() {
    let rego = format!("{DENY}decision := {{\"mode\": \"deny\", \"reason\": \"x\"}} if false\n");
    let data = r#"{"decision": {"mode": "plain", "reason": "data"}}"#;
    let error = load(&[("p.rego", &rego), ("tidelock/data.json", data)]).unwrap_err();
    assert!(matches!(error, PolicyError::Shadowed { .. }), "{error:?}");
    let error = load(&[("p.rego", &rego), ("data.json", r#"{"tidelock": 1}"#)]).unwrap_err();
    assert!(matches!(error, PolicyError::Shadowed { .. }), "{error:?}");
    assert!(load(&[("p.rego", &rego), ("tidelock/data.json", r#"{"other": 1}"#)]).is_ok());
}

#[test]
fn the_manifest_is_held_to() {
    let own = ("p.rego", DENY);
    let with = |manifest: &str, more: &[(&str, &str)]| {
        let mut files = vec![own, (".manifest", manifest)];
        files.extend(more);
        load(&files)
    };
    let policy = with(
        r#"{"revision": "r7", "roots": ["tidelock"], "metadata": {"a": 1}}"#,
        &[],
    );
    assert_eq!(policy.unwrap().revision(), "r7");
    let data = [("x/data.json", r#"{"y": {"z": 1}}"#)];
    assert!(with(r#"{"roots": ["tidelock", "x/y"]}"#, &data).is_ok());
    let outside = with(r#"{"roots": ["tidelock"]}"#, &data).unwrap_err();
    assert!(outside.to_string().contains("data.x.y.z"), "{outside}");
    let outside = with(r#"{"roots": ["x"]}"#, &[]).unwrap_err();
    assert!(
        matches!(outside, PolicyError::OutsideRoots { .. }),
        "{outside:?}"
    );
    for manifest in [
        "",
        "[]",
        r#"{"revisions": "r7"}"#,
        r#"{"rego_version": 0}"#,
        r#"{"roots": ["tidelock", "tidelock/a"]}"#,
        r#"{"roots": ["", "tidelock"]}"#,
        r#"{"roots": ["tidelock", "tidelock"]}"#,
        r#"{"wasm": [{"entrypoint": "a", "module": "b"}]}"#,
        r#"{"revision": "a\nb"}"#,
    ] {
        let error = with(manifest, &[]).unwrap_err();
        assert!(
            matches!(error, PolicyError::Manifest { .. }),
            "{manifest}: {error:?}"
        );
    }
}

#[test]
fn a_policy_without_a_name_is_called_by_its_digest() {
    let policy = Policy::load(&bundle(DENY)).unwrap();
    let digest = hex::encode(policy.digest());
    assert_eq!(policy.revision(), format!("sha256:{}", &digest[..12]));
}

#[test]
fn tests_pass_fail_err_and_are_left_out() {
    let rego = "test_true if true\n\
        test_value := 7\n\
        test_false := false\n\
        test_undefined if input.nothing\n\
        test_err if 1 / 0 == 1\n\
        todo_test_later if false\n\
        test_twice if false\n\
        test_twice if true\n\
        tested if true\n";
    let report = test(&rules(rego)).unwrap();
    let outcome = |name: &str| {
        let name = format!("data.tidelock.{name}");
        &report
            .cases
            .iter()
            .find(|case| case.name == name)
            .unwrap()
            .outcome
    };
    assert_eq!(outcome("test_true"), &TestOutcome::Pass);
    assert_eq!(outcome("test_value"), &TestOutcome::Pass);
    assert_eq!(outcome("test_false"), &TestOutcome::Fail);
    assert_eq!(outcome("test_undefined"), &TestOutcome::Fail);
    assert!(matches!(outcome("test_err"), TestOutcome::Error(_)));
    assert_eq!(outcome("todo_test_later"), &TestOutcome::Skipped);
    assert_eq!(outcome("test_twice"), &TestOutcome::Pass);
    assert_eq!(report.cases.len(), 7);
    assert!(!report.passed());
    let said = report.to_string();
    assert!(
        said.contains("tidelock/p.rego:5: data.tidelock.test_false: FAIL"),
        "{said}"
    );
    assert!(said.ends_with("3 passed, 3 failed, 1 skipped"), "{said}");
}
