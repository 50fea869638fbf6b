// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The page in a real browser, from a file, as a release engineer opens it.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

#[expect(unreachable_pub, reason = "shared between test binaries")]
mod common;

use std::path::Path;

use common::{browser::Browser, fixture, write_run};
use serde_json::{Value, json};

const SHOWN: &str = "document.querySelectorAll('#grid tr[data-cell]:not([hidden])').length";
const VISIBLE_KERNELS: &str = "[...document.querySelectorAll('#grid tr[data-cell]:not([hidden]) th')].map(e => e.textContent)";

fn open(report: &tidelock_model::RunReport, dir: &Path) -> Browser {
    write_run(report, dir);
    let mut browser = Browser::start(1400, 900);
    browser.open(&format!("file://{}/report.html", dir.display()));
    browser
}

/// No error, no message, no request but for the page itself: to be asked last.
fn assert_quiet(browser: &Browser) {
    let said = browser.events(&[
        "Runtime.exceptionThrown",
        "Runtime.consoleAPICalled",
        "Log.entryAdded",
        "Page.javascriptDialogOpening",
    ]);
    assert!(said.is_empty(), "the page complains: {said:#?}");
    let requests: Vec<&str> = browser
        .events(&["Network.requestWillBeSent"])
        .into_iter()
        .filter_map(|event| event["params"]["request"]["url"].as_str())
        .collect();
    assert!(!requests.is_empty(), "requests are not seen at all");
    for url in requests {
        let own = url.starts_with("file://") && url.ends_with("/report.html");
        assert!(own || url == "data:,", "the page asked for {url}");
    }
}

#[test]
fn filters_narrow_the_table_and_the_address_remembers() {
    let dir = tempfile::tempdir().unwrap();
    let mut browser = open(&fixture::run(), dir.path());
    assert_eq!(browser.eval(SHOWN), json!(10));

    browser.click("[data-filter=status][data-value=FAIL]");
    assert_eq!(browser.eval(SHOWN), json!(4));
    browser.click("[data-filter=series][data-value='6.12']");
    assert_eq!(
        browser.eval(VISIBLE_KERNELS),
        json!(["6.12.9+deb13-amd64", "6.12.117+deb13-cloud-amd64"])
    );
    browser.click("[data-filter=flavour][data-value=cloud]");
    assert_eq!(browser.eval(SHOWN), json!(1));
    assert_eq!(
        browser.eval("document.getElementById('shown').textContent"),
        json!("1 of 10 kernels")
    );

    let address = browser.eval("location.href");
    browser.open("about:blank");
    browser.open(address.as_str().unwrap());
    assert_eq!(
        browser.eval(VISIBLE_KERNELS),
        json!(["6.12.117+deb13-cloud-amd64"])
    );

    browser.click("#clear");
    assert_eq!(browser.eval(SHOWN), json!(10));
    browser.insert("LEAKED trixie");
    assert_eq!(browser.eval(VISIBLE_KERNELS), json!(["6.12.9+deb13-amd64"]));
    browser.insert(" no-such-word");
    assert_eq!(browser.eval(SHOWN), json!(0));
    assert_eq!(
        browser.eval("document.getElementById('nothing').hidden"),
        json!(false)
    );
    assert_quiet(&browser);
}

#[test]
fn a_click_opens_the_cell_its_crash_its_log_and_its_command() {
    let dir = tempfile::tempdir().unwrap();
    let mut browser = open(&fixture::run(), dir.path());
    browser.click("tr[data-cell='1'] td[data-test='4']");
    browser.wait_for("!document.getElementById('drawer').hidden");
    let text = |browser: &mut Browser, selector: &str| -> String {
        let value = browser.eval(&format!("document.querySelector({selector:?}).innerText"));
        value.as_str().unwrap().to_owned()
    };
    assert_eq!(text(&mut browser, "#drawer-title"), "5.10.0-43-rt-amd64");
    assert!(text(&mut browser, "#crash").contains("kmod/src/device.c:118"));
    assert!(text(&mut browser, "#chosen").contains("device.garbage"));
    assert!(
        text(&mut browser, "#chosen")
            .contains("--kernel 5.10.0-43-rt-amd64 --rerun --test device.garbage")
    );
    assert!(text(&mut browser, "#drawer .stages").contains("4.81 s"));

    let closed = "!document.querySelector('#drawer .logs details').open";
    assert_eq!(browser.eval(closed), json!(true));
    browser.click("#drawer .logs summary .name");
    assert_eq!(browser.eval(closed), json!(false));
    assert!(text(&mut browser, "#drawer .logs details[open] pre").contains("line 399 of the boot"));
    let href = browser.eval("document.querySelector('#drawer .logs a').getAttribute('href')");
    assert_eq!(href, json!("./cells/5.10.0-43-rt-amd64/boot.log"));

    browser.click("#drawer > .shell .copy");
    browser.wait_for("document.querySelector('#drawer > .shell .copy').textContent === 'Copied'");
    browser.press("Escape");
    browser.wait_for("document.getElementById('drawer').hidden");
    assert_quiet(&browser);
}

#[test]
fn the_keyboard_reaches_every_cell() {
    let dir = tempfile::tempdir().unwrap();
    let mut browser = open(&fixture::run(), dir.path());
    let stops = browser.eval("document.querySelectorAll('#grid [tabindex=\"0\"]').length");
    assert_eq!(stops, json!(1), "the table is one stop of the Tab key");
    browser.eval("document.querySelector('#grid [tabindex=\"0\"]').focus()");
    for key in [
        "ArrowDown",
        "ArrowRight",
        "ArrowRight",
        "End",
        "Home",
        "ArrowRight",
        "Enter",
    ] {
        browser.press(key);
    }
    browser
        .wait_for("document.getElementById('drawer-title')?.textContent === '5.10.0-43-rt-amd64'");
    assert_eq!(
        browser.eval("document.querySelector('#chosen .name').textContent"),
        json!("load.module")
    );
    assert_eq!(browser.eval("document.activeElement.id"), json!("close"));
    browser.press("n");
    browser
        .wait_for("document.getElementById('drawer-title').textContent === '6.1.0-56-cloud-amd64'");
    browser.press("Escape");
    assert_eq!(
        browser.eval("document.activeElement.closest('tr')?.dataset.cell"),
        json!("1")
    );
    browser.press("/");
    assert_eq!(browser.eval("document.activeElement.id"), json!("find"));
    assert_quiet(&browser);
}

#[test]
fn the_theme_follows_the_system_until_somebody_chooses() {
    let dir = tempfile::tempdir().unwrap();
    let mut browser = open(&fixture::run(), dir.path());
    let paper = "getComputedStyle(document.body).backgroundColor";
    browser.prefer("light");
    let light = browser.eval(paper);
    browser.prefer("dark");
    let dark = browser.eval(paper);
    assert_ne!(light, dark);
    browser.click("#theme");
    assert_eq!(browser.eval(paper), light);
    browser.prefer("light");
    browser.click("#theme");
    assert_eq!(browser.eval(paper), dark);
    assert_quiet(&browser);
}

#[test]
fn text_has_the_contrast_that_wcag_asks_for_in_both_themes() {
    let dir = tempfile::tempdir().unwrap();
    let mut browser = open(&fixture::run(), dir.path());
    browser.eval("document.querySelector('tr[data-cell=\"5\"] .open').click()");
    for scheme in ["light", "dark"] {
        browser.prefer(scheme);
        let poor = browser.eval(CONTRAST);
        assert_eq!(poor, json!([]), "in the {scheme} theme");
    }
}

/// Every visible text whose contrast with what is behind it is under 4.5 (WCAG 2.2, 1.4.3).
const CONTRAST: &str = r"(() => {
  const parse = (c) => (c.match(/[\d.]+/g) ?? []).map(Number);
  const luminance = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length === 3 || c[3] === 1) return c;
    }
    return [255, 255, 255];
  };
  const poor = new Set();
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walk.nextNode());) {
    const e = node.parentElement;
    if (!node.data.trim() || !e.checkVisibility() || e.closest('script, style, noscript, .vh')) continue;
    const [a, b] = [luminance(parse(getComputedStyle(e).color)), luminance(behind(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.add(`${e.tagName}.${e.className}: ${ratio.toFixed(2)}`);
  }
  return [...poor];
})()";

#[test]
fn what_is_printed_has_every_command_and_no_controls() {
    let dir = tempfile::tempdir().unwrap();
    let mut browser = open(&fixture::run(), dir.path());
    browser.eval("document.querySelector('tr[data-cell=\"5\"] .open').click()");
    browser.resize(1050, 740);
    browser.show_as_printed();
    let seen = |browser: &mut Browser, selector: &str| {
        browser.eval(&format!(
            "[...document.querySelectorAll({selector:?})].filter(e => e.checkVisibility()).length"
        ))
    };
    assert_eq!(
        seen(&mut browser, "#drawer, #tools, #theme, .copy"),
        json!(0)
    );
    assert_eq!(seen(&mut browser, ".cluster .command"), json!(6));
    assert_eq!(seen(&mut browser, "#grid tr[data-cell]"), json!(10));
    let shots = Path::new(env!("CARGO_TARGET_TMPDIR"));
    browser.screenshot(&shots.join("printed.png"));
}

#[test]
fn hostile_text_stays_text() {
    let dir = tempfile::tempdir().unwrap();
    let mut browser = open(&fixture::run(), dir.path());
    let kernels = browser.eval("document.querySelectorAll('#grid tr[data-cell]').length");
    for cell in 0..kernels.as_u64().unwrap() {
        browser.eval(&format!(
            "document.querySelector('tr[data-cell=\"{cell}\"] .open').click()"
        ));
        browser.eval("for (const d of document.querySelectorAll('details')) d.open = true");
    }
    browser.eval("document.querySelector('tr[data-cell=\"5\"] .open').click()");
    let log = browser.eval("[...document.querySelectorAll('#drawer pre')].at(-1).textContent");
    assert!(
        log.as_str().unwrap().contains("<svg onload=alert(2)>"),
        "{log}"
    );
    for (what, selector) in [
        ("an image", "img"),
        ("a foreign drawing", "svg:not(.share)"),
        ("a script", "script:not(#data):not([type=module])"),
        ("a handler", "[onerror], [onload], [onclick]"),
        (
            "a frame",
            "iframe, object, embed, link[rel=stylesheet], base, form[action]",
        ),
    ] {
        let count = browser.eval(&format!("document.querySelectorAll({selector:?}).length"));
        assert_eq!(count, json!(0), "{what} is on the page");
    }
    assert_quiet(&browser);
}

#[test]
fn the_policy_stops_what_would_get_through() {
    // The check of the checks: a script put on the page by force must not run, and the browser
    // must say so where `assert_quiet` looks.
    let dir = tempfile::tempdir().unwrap();
    let mut browser = open(&fixture::run(), dir.path());
    browser.eval(
        "(() => { const s = document.createElement('script'); s.textContent = 'window.ran = 1';
            document.body.append(s); new Image().src = 'file:///etc/hostname'; })()",
    );
    browser.wait_for("true");
    assert_eq!(browser.eval("window.ran ?? null"), Value::Null);
    assert!(!browser.events(&["Log.entryAdded"]).is_empty());
}

#[test]
fn the_whole_archive_is_one_screen_without_a_sideways_scroll() {
    let dir = tempfile::tempdir().unwrap();
    let mut browser = open(&fixture::large(), dir.path());
    assert_eq!(browser.eval(SHOWN), json!(120));
    assert_eq!(
        browser.eval("document.querySelectorAll('thead th.test').length"),
        json!(15)
    );
    for (width, height) in [(1400, 900), (1920, 1080), (800, 1000), (360, 740)] {
        browser.resize(width, height);
        let sideways = browser.eval("document.documentElement.scrollWidth - innerWidth");
        assert!(
            sideways.as_i64().unwrap() <= 0,
            "{sideways} px too wide at {width}"
        );
        let shots = Path::new(env!("CARGO_TARGET_TMPDIR"));
        for scheme in ["light", "dark"] {
            browser.prefer(scheme);
            browser.eval("scrollTo(0, 0)");
            browser.screenshot(&shots.join(format!("head-{width}-{scheme}.png")));
            browser.eval("document.getElementById('kernels').scrollIntoView()");
            browser.screenshot(&shots.join(format!("table-{width}-{scheme}.png")));
        }
    }
    browser.resize(1400, 900);
    browser.click("tr[data-cell='11'] td[data-test='1']");
    for scheme in ["light", "dark"] {
        browser.prefer(scheme);
        let shots = Path::new(env!("CARGO_TARGET_TMPDIR"));
        browser.screenshot(&shots.join(format!("drawer-{scheme}.png")));
    }
    assert_quiet(&browser);
}
