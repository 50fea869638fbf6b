// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Each format of the one rich run.

use crate::{Paint, compat, fixture, junit, markdown, output, summary};

#[test]
fn json_of_the_run() {
    insta::assert_snapshot!(output::json(&fixture::run()).unwrap());
}

#[test]
fn junit_of_the_run() {
    insta::assert_snapshot!(junit::render(&fixture::run()).unwrap());
}

#[test]
fn markdown_of_the_run() {
    insta::assert_snapshot!(markdown::render(&fixture::run()));
}

#[test]
fn summary_of_the_run() {
    insta::assert_snapshot!(summary::render(&fixture::run(), Paint::Plain));
}

#[test]
fn compat_of_the_run() {
    insta::assert_snapshot!(compat::render(&fixture::run()));
}
