// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The files of a run as programs read them.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

#[expect(dead_code, unreachable_pub, reason = "shared between test binaries")]
mod common;

use std::{collections::BTreeMap, fs, path::Path};

use common::{fixture, write_run};
use proptest::prelude::*;
use serde_json::Value;
use tidelock_host::files::read_text;
use tidelock_model::{Crash, RunReport, Status};

const SCHEMA: &str = include_str!("../../../docs/report.schema.json");

/// The schema as it is, or with every object closed: what it does not name is then refused.
fn validator(closed: bool) -> jsonschema::Validator {
    let mut schema: Value = serde_json::from_str(SCHEMA).unwrap();
    if closed {
        close(&mut schema);
    }
    jsonschema::validator_for(&schema).unwrap()
}

fn close(schema: &mut Value) {
    if let Value::Object(fields) = schema {
        if fields.contains_key("properties") {
            fields.insert("additionalProperties".into(), false.into());
        }
        fields.values_mut().for_each(close);
    }
}

fn json(report: &RunReport) -> Value {
    serde_json::from_str(&tidelock_report::json(report).unwrap()).unwrap()
}

fn errors(validator: &jsonschema::Validator, report: &Value) -> Vec<String> {
    validator
        .iter_errors(report)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

#[test]
fn reports_hold_to_the_schema_and_the_schema_names_every_field() {
    for report in [fixture::run(), fixture::large()] {
        assert_eq!(
            errors(&validator(true), &json(&report)),
            Vec::<String>::new()
        );
    }
}

#[test]
fn the_schema_lets_fields_be_added_and_refuses_what_is_wrong() {
    let open = validator(false);
    let good = json(&fixture::run());
    let mut added = good.clone();
    added["cells"][0]["later"] = 1.into();
    assert_eq!(errors(&open, &added), Vec::<String>::new());
    for (pointer, wrong) in [
        ("/format", Value::from(2)),
        ("/status", "OK".into()),
        ("/cells/0/series", "6".into()),
        ("/cells/0/flavour", "debug".into()),
        ("/cells/0/durations_ms/boot", (-1).into()),
        ("/cells/0/tests/0/name", Value::Null),
        ("/lock_sha256", "FD42".into()),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = wrong;
        assert!(!open.is_valid(&bad), "{pointer} is not checked");
    }
    for (pointer, field) in [
        ("", "cells"),
        ("/cells/1", "accelerator"),
        ("/cells/1/tests/0", "detail"),
    ] {
        let mut bad = good.clone();
        bad.pointer_mut(pointer)
            .unwrap()
            .as_object_mut()
            .unwrap()
            .remove(field);
        assert!(!open.is_valid(&bad), "{pointer}/{field} is not required");
    }
}

#[test]
fn a_run_has_all_its_files_and_latest_follows_it() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["first", "second"] {
        let run = dir.path().join(name);
        write_run(&fixture::run(), &run);
        tidelock_report::link_latest(&run).unwrap();
        assert_eq!(
            fs::read_link(dir.path().join("latest")).unwrap(),
            Path::new(name)
        );
        for file in ["report.json", "junit.xml", "report.md", "report.html"] {
            assert!(
                !read_text(&dir.path().join("latest").join(file))
                    .unwrap()
                    .is_empty()
            );
        }
    }
    let left: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 3, "{left:?}");
}

#[test]
fn junit_counts_what_the_report_counts() {
    let report = fixture::run();
    let xml = tidelock_report::junit::render(&report).unwrap();
    let parsed = quick_junit::Report::deserialize_from_str(&xml).unwrap();
    assert_eq!(parsed.test_suites.len(), report.cells.len());
    for (suite, cell) in parsed.test_suites.iter().zip(&report.cells) {
        assert_eq!(suite.name.as_str(), cell.kernel.as_str());
        let green = suite.failures == 0 && suite.errors == 0;
        let fine = matches!(cell.status, Status::Pass | Status::Skip);
        assert_eq!(green, fine, "{}", cell.kernel);
        let kernel = suite
            .properties
            .iter()
            .find(|property| property.name.as_str() == "kernel");
        assert_eq!(kernel.unwrap().value.as_str(), cell.kernel.as_str());
    }
}

#[test]
fn a_long_summary_is_cut_between_lines_and_says_so() {
    let report = fixture::large();
    let whole = tidelock_report::markdown::render(&report);
    for limit in [whole.len(), whole.len() - 1, 4000, 500, 10, 0] {
        let cut = tidelock_report::markdown::render_within(&report, limit);
        assert!(cut.len() <= limit);
        if limit == whole.len() {
            assert_eq!(cut, whole);
        } else if limit >= 500 {
            assert!(cut.ends_with("The whole is in `report.md`.\n"), "{cut}");
            assert_eq!(cut.matches("```").count() % 2, 0, "a fence is left open");
        }
    }
}

/// What a reader of Markdown would take for markup that is not ours.
fn markup(markdown: &str) -> Vec<String> {
    use pulldown_cmark::{Event, Options, Parser, Tag};
    const OURS: [&str; 2] = ["<details><summary>Call trace</summary>\n", "</details>\n"];
    Parser::new_ext(
        markdown,
        Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH,
    )
    .filter_map(|event| match event {
        Event::Html(html) if !OURS.contains(&html.as_ref()) => Some(html.to_string()),
        Event::InlineHtml(html) => Some(html.to_string()),
        Event::Start(
            tag @ (Tag::Link { .. } | Tag::Image { .. } | Tag::Emphasis | Tag::Strikethrough),
        ) => Some(format!("{tag:?}")),
        _ => None,
    })
    .collect()
}

fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("</script>".to_owned()),
        Just("<!--<script>".to_owned()),
        Just("<img src=x onerror=alert(1)>".to_owned()),
        Just("\"'`>&lt;".to_owned()),
        Just("]]>".to_owned()),
        Just("[a](https://example.org) ![b](c) *d* _e_ ~~f~~ <https://example.org> `g`".to_owned()),
        Just("\n\n# head\n\n<b>\n\n| x |\n|---|\n".to_owned()),
        Just("\n```\n<b>bold</b>\n`````\n".to_owned()),
        Just("{{ 7*7 }}{% raw %}".to_owned()),
        Just("\u{1b}[31m\0\u{202e}\u{feff}".to_owned()),
        any::<String>(),
    ];
    proptest::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat())
}

/// The rich run with foreign text wherever the types let it in.
fn poisoned(text: &str) -> RunReport {
    let mut report = fixture::run();
    for field in [
        &mut report.run,
        &mut report.version,
        &mut report.accelerator,
        &mut report.qemu,
    ] {
        text.clone_into(field);
    }
    for cell in &mut report.cells {
        for field in [
            &mut cell.suite,
            &mut cell.version,
            &mut cell.stage,
            &mut cell.reason,
            &mut cell.accelerator,
            &mut cell.reproduce,
            &mut cell.logs,
        ] {
            text.clone_into(field);
        }
        cell.durations_ms.insert(text.into(), 1);
        cell.crash = Some(Crash {
            verdict: text.into(),
            headline: text.into(),
            frames: vec![text.into()],
        });
        for test in &mut cell.tests {
            text.clone_into(&mut test.detail);
            test.measured = BTreeMap::from([(text.into(), text.into())]);
        }
        cell.tests[0].name = text.into();
    }
    report
}

/// Every tag of a page, in order: `<` starts one only where a name, `/` or `!` follows.
fn tags(page: &str) -> Vec<String> {
    let mut tags = Vec::new();
    for (at, _) in page.match_indices('<') {
        let name: String = page[at + 1..]
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || "/!-".contains(*c))
            .collect();
        if !name.is_empty() {
            tags.push(name);
        }
    }
    tags
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn json_comes_back_as_it_was(text in hostile()) {
        let report = poisoned(&text);
        let back: RunReport = serde_json::from_str(&tidelock_report::json(&report).unwrap()).unwrap();
        prop_assert_eq!(&back, &report);
        prop_assert_eq!(errors(&validator(true), &json(&report)), Vec::<String>::new());
    }

    /// Foreign text adds no tag, whatever it is: the page has the tags it has with harmless text.
    #[test]
    fn no_text_becomes_markup_of_the_page(text in hostile()) {
        let logs = |text: &str| vec![vec![tidelock_report::LogFile {
            name: text.into(),
            href: "./x".into(),
            bytes: 1,
            tail: Some(text.into()),
            cut: false,
        }]; 10];
        // A first word that is not empty and no dot, so that clusters and columns are the same.
        let text = format!("a{}", text.replace('.', ""));
        let page = tidelock_report::html::render(&poisoned(&text), &logs(&text)).unwrap();
        let harmless = tidelock_report::html::render(&poisoned("a"), &logs("a")).unwrap();
        prop_assert_eq!(tags(&page), tags(&harmless));
    }

    #[test]
    fn every_format_takes_any_text(text in hostile()) {
        let report = poisoned(&text);
        let xml = tidelock_report::junit::render(&report).unwrap();
        prop_assert!(quick_junit::Report::deserialize_from_str(&xml).is_ok(), "{}", xml);
        let summary = tidelock_report::summary::render(&report, tidelock_report::Paint::Plain);
        prop_assert!(!summary.contains(|c: char| c.is_control() && c != '\n'), "{:?}", summary);
        let markdown = tidelock_report::markdown::render(&report);
        let foreign: Vec<String> = markup(&markdown);
        prop_assert!(foreign.is_empty(), "{foreign:?} in:\n{markdown}");
    }
}
