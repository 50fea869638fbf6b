// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What `docs/policy.md` shows is what the code does, and what its schemas say.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::{fs, path::Path};

use serde_json::Value;
use tidelock_policy::{Bundle, Decision, DecisionMode, Input, Policy, test};

fn read(name: &str) -> String {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    fs::read_to_string(docs.join(name)).unwrap()
}

/// The blocks of the page that are marked so.
fn blocks(mark: &str) -> Vec<String> {
    let page = read("policy.md");
    let blocks: Vec<String> = page
        .split(&format!("```{mark}\n"))
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap().to_owned())
        .collect();
    assert!(!blocks.is_empty(), "no block is marked {mark}");
    blocks
}

fn schema(name: &str) -> jsonschema::Validator {
    let schema: Value = serde_json::from_str(&read(name)).unwrap();
    jsonschema::meta::validate(&schema).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

#[test]
fn the_questions_shown_are_questions() {
    let schema = schema("policy.input.schema.json");
    for text in blocks("json input") {
        let value: Value = serde_json::from_str(&text).unwrap();
        assert!(schema.is_valid(&value), "{text}");
        let input: Input = serde_json::from_str(&text).unwrap();
        input.check().unwrap();
        // Nothing is lost and nothing is added on the way to the rules.
        assert_eq!(serde_json::to_value(&input).unwrap(), value);
    }
}

#[test]
fn the_schema_of_questions_knows_no_other_fields() {
    let schema = schema("policy.input.schema.json");
    let text = blocks("json input").remove(1);
    let value: Value = serde_json::from_str(&text).unwrap();
    for place in [
        "",
        "/process",
        "/process/container",
        "/process/namespaces",
        "/remote",
    ] {
        let mut other = value.clone();
        let object = other.pointer_mut(place).unwrap().as_object_mut().unwrap();
        object.insert("more".into(), Value::Null);
        assert!(!schema.is_valid(&other), "{place}");
        assert!(serde_json::from_value::<Input>(other).is_err(), "{place}");
    }
}

#[test]
fn the_decisions_shown_are_decisions_and_the_others_are_none() {
    let schema = schema("policy.decision.schema.json");
    for text in blocks("json decision") {
        assert!(
            schema.is_valid(&serde_json::from_str(&text).unwrap()),
            "{text}"
        );
        serde_json::from_str::<Decision>(&text).unwrap();
    }
    for text in blocks("json no-decision") {
        assert!(
            !schema.is_valid(&serde_json::from_str(&text).unwrap()),
            "{text}"
        );
        assert!(serde_json::from_str::<Decision>(&text).is_err(), "{text}");
    }
}

#[test]
fn the_policy_shown_decides_and_passes_its_tests() {
    let rego = blocks("rego policy").remove(0);
    let bundle = Bundle::from_files([("tidelock/decision.rego", rego)]).unwrap();
    let report = test(&bundle).unwrap();
    assert!(report.passed() && report.cases.len() == 2, "{report}");
    let policy = Policy::load(&bundle).unwrap();
    let modes: Vec<DecisionMode> = blocks("json input")
        .iter()
        .map(|text| {
            policy
                .decide(&serde_json::from_str(text).unwrap())
                .unwrap()
                .mode
        })
        .collect();
    assert_eq!(modes, [DecisionMode::Mtls, DecisionMode::Deny]);
}
