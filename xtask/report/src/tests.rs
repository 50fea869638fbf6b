// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Each format of the one rich run.

use crate::{LogFile, Paint, compat, fixture, html, junit, markdown, output, summary};

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

/// The page as it is without its style sheet, its script and their digests.
#[test]
fn html_of_the_run() {
    let report = fixture::run();
    let log = LogFile {
        name: "test.kmsg.log".into(),
        href: "./cells/5.10.0-43-amd64/test.kmsg.log".into(),
        bytes: 70_000,
        tail: Some(format!("[    1.000000] {}\n", fixture::HOSTILE)),
        cut: true,
    };
    let page = html::render(&report, &[vec![log]]).unwrap();
    let mut filters = insta::Settings::clone_current();
    filters.add_filter(r"(?s)<style>.*?</style>", "<style>…</style>");
    filters.add_filter(
        r#"(?s)<script type="module">.*?</script>"#,
        "<script>…</script>",
    );
    filters.add_filter(r"sha256-[A-Za-z0-9+/=]+", "sha256-…");
    filters.bind(|| insta::assert_snapshot!(page));
}
