// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The policy that is compiled in.

use std::path::Path;

use super::input;
use crate::{Bundle, DecisionMode, EMBEDDED, Policy, TestOutcome, test};

#[test]
fn it_loads_and_its_tests_pass() {
    let report = test(&EMBEDDED.bundle().unwrap()).unwrap();
    assert!(report.passed(), "{report}");
    assert!(report.cases.len() > 10, "{report}");
    assert!(
        report
            .cases
            .iter()
            .all(|case| case.outcome == TestOutcome::Pass)
    );
}

#[test]
fn it_denies() {
    let policy = Policy::load(&EMBEDDED.bundle().unwrap()).unwrap();
    assert_eq!(policy.revision(), "embedded-1");
    let decision = policy.decide(&input()).unwrap();
    assert_eq!(decision.mode, DecisionMode::Deny);
}

#[test]
fn every_file_of_the_folder_is_compiled_in() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("default");
    let on_disk = Bundle::from_dir(&dir).unwrap();
    assert_eq!(on_disk, EMBEDDED.bundle().unwrap());
}
