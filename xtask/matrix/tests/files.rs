// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `matrix.toml` and `matrix.lock` as texts: strictness, and the project's own.
#![expect(clippy::unwrap_used, reason = "the helpers of a test may panic")]

mod fixture;

use fixture::{MATRIX, discovery, matrix};
use proptest::prelude::*;
use tidelock_matrix::{
    Lock, LockedPackage, Matrix, MissingKernel, Place, PlanError, missing, plan,
};
use tidelock_model::{Flavour, Tier};

fn refused(change: (&str, &str)) -> String {
    assert!(MATRIX.contains(change.0), "{change:?}");
    Matrix::parse(&MATRIX.replacen(change.0, change.1, 1))
        .unwrap_err()
        .to_string()
}

#[test]
fn what_is_not_known_is_refused_with_line_and_hint() {
    for (change, told) in [
        (
            ("flavours =", "flavors ="),
            "line 4: unknown field `flavors`",
        ),
        (("flavours =", "flavors ="), "Did you mean `flavours`?"),
        (
            ("stale-days", "stale_days"),
            "line 22: unknown field `stale_days`",
        ),
        (("stale-days", "stale_days"), "Did you mean `stale-days`?"),
        (("\"ktls\"", "\"ktsl\""), "Did you mean `ktls`?"),
        (("\"cloud\"]", "\"clowd\"]"), "Did you mean `cloud`?"),
        (("root = \"old\"", ""), "missing field `root`"),
        (("full = \"all\"", "full = \"some\""), "newest-of-each"),
        (("\"6.1\"", "\"six\""), "6.12"),
        (("format = 1", "format = 2"), "format is 2"),
        (("root = \"old\"", "root = \"odl\""), "did you mean old?"),
        (
            ("suites = [\"old\", ", "suites = [\"olt\", "),
            "did you mean old?",
        ),
        (("name = \"new\"", "name = \"old\""), "twice"),
        (
            ("[rust-src]", "[test]\nheavy = [\"[x\"]\n[rust-src]"),
            "heavy: \"[x\" is no pattern",
        ),
        (
            ("[rust-src]", "[test]\nheavy-each = 0\n[rust-src]"),
            "heavy-each is 0",
        ),
        (("{ series = \"6.1\"", "{ series = \"6.2\""), "6.2"),
        (
            ("libelf1\"]", "libelf1\"]\ncompiler = \"gcc-12\""),
            "unknown field `compiler`",
        ),
        (
            (
                "[rust-src]",
                "[[userlands]]\nname = \"apps\"\nsuites = []\npackages = []\n[rust-src]",
            ),
            "userlands: apps is there twice",
        ),
        (
            (
                "suites = [\"old\", \"old-security\"]\npackages = [\"make\"",
                "suites = [\"olt\"]\npackages = [\"make\"",
            ),
            "suites of the userland apps: \"olt\" is not defined; did you mean old?",
        ),
        (
            ("name = \"apps\"", "name = \"programs-of-the-distribution\""),
            "no serial number of a disk",
        ),
        (("[tiers]", "[tiers"), "line"),
    ] {
        let error = refused(change);
        assert!(error.contains(told), "{change:?}: {error}");
    }
}

#[test]
fn a_lock_whose_parts_do_not_fit_is_refused() {
    let text = discovery().lock.render().unwrap();
    for (from, to, told) in [
        ("format = 1", "format = 9", "format is 9"),
        (
            "    \"make_4.3-1_amd64\",",
            "    \"make_9_amd64\",",
            "make_9_amd64",
        ),
        ("root = \"new\"", "root = \"gone\"", "gone"),
        ("sha256 = \"", "sha256 = \"z", "SHA-256"),
        ("path = \"pool/", "path = \"../pool/", "../pool/"),
        ("path = \"pool/", "path = \"/pool/", "/pool/"),
        ("archive = ", "archiv = ", "archiv"),
    ] {
        assert!(text.contains(from), "{from}");
        let error = Lock::parse(&text.replacen(from, to, 1))
            .unwrap_err()
            .to_string();
        assert!(error.contains(told), "{from}: {error}");
    }
}

fn planned(tier: Option<Tier>, globs: &[&str]) -> Result<Vec<String>, PlanError> {
    let globs: Vec<String> = globs.iter().map(|glob| (*glob).into()).collect();
    let cells = plan(&matrix(), &discovery().lock, tier, &globs)?;
    Ok(cells
        .into_iter()
        .map(|cell| cell.kernel.release.to_string())
        .collect())
}

#[test]
fn tests_that_take_long_are_for_the_kernels_of_their_tier() {
    let mut matrix = matrix();
    matrix.test.heavy = vec!["load.cycles".into(), "apps.*".into()];
    let fits = |test| matrix.test.is_heavy(test);
    assert!(fits("load.cycles") && fits("apps.caddy") && !fits("load.module"));
    let heavy = |tier| {
        let mut matrix = matrix.clone();
        matrix.test.heavy_tier = tier;
        let cells = plan(&matrix, &discovery().lock, Some(Tier::Full), &[]).unwrap();
        let heavy = cells.into_iter().filter(|cell| cell.heavy.is_some());
        heavy
            .map(|cell| cell.kernel.release.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(heavy(Tier::Quick), planned(Some(Tier::Quick), &[]).unwrap());
    assert_eq!(heavy(Tier::Full), planned(Some(Tier::Full), &[]).unwrap());
}

#[test]
fn what_is_dealt_out_comes_to_each_place_as_often_as_to_any_other() {
    for of in 1..12 {
        for each in 1..14_u32 {
            let takes = |index, nth| Place { index, of }.takes(nth, each);
            for nth in 0..30 {
                let places = (0..of).filter(|index| takes(*index, nth)).count();
                assert_eq!(
                    places,
                    of.min(each as usize),
                    "the {nth}th, each to {each} of {of}"
                );
            }
            let loads = (0..of).map(|index| (0..of).filter(|nth| takes(index, *nth)).count());
            assert!(loads.clone().max() == loads.min(), "each to {each} of {of}");
        }
    }
    // A number without end is all of them.
    assert!(Place { index: 8, of: 9 }.takes(5, u32::MAX));
}

#[test]
fn tiers_and_patterns_select() {
    let all = [
        "6.1.0-1-amd64",
        "6.1.0-2-amd64",
        "6.1.0-2-cloud-amd64",
        "6.1.0-3-amd64",
        "7.2.1+deb13-amd64",
    ];
    assert_eq!(
        planned(None, &[]).unwrap(),
        ["6.1.0-3-amd64", "7.2.1+deb13-amd64"]
    );
    assert_eq!(planned(Some(Tier::Standard), &[]).unwrap(), all[1..]);
    assert_eq!(planned(Some(Tier::Full), &[]).unwrap(), all);
    assert_eq!(
        planned(None, &["6.1.0-1-*", "7.*"]).unwrap(),
        [all[0], all[4]]
    );
    assert_eq!(planned(Some(Tier::Quick), &["6*"]).unwrap(), [all[3]]);
    let error = planned(None, &["7*", "6.1.0-4-amd64"]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no locked kernel fits \"6.1.0-4-amd64\"; did you mean 6.1.0-1-amd64? `cargo xtask kernels list` shows them all"
    );
    let error = planned(Some(Tier::Quick), &["6.1.0-1-*"])
        .unwrap_err()
        .to_string();
    assert!(error.contains("of this tier"), "{error}");
    assert!(matches!(
        planned(None, &["[x"]),
        Err(PlanError::Glob { .. })
    ));
}

#[test]
fn a_lock_that_lags_behind_the_matrix_is_noticed() {
    let mut lock = discovery().lock;
    lock.kernels.retain(|kernel| kernel.series.major == 6);
    let error = plan(&matrix(), &lock, None, &[]).unwrap_err();
    assert!(matches!(error, PlanError::Empty { .. }), "{error}");
    let mut narrower = matrix();
    narrower.series.retain(|series| series.name.major == 6);
    let error = plan(&narrower, &discovery().lock, Some(Tier::Full), &[]).unwrap_err();
    assert!(matches!(error, PlanError::Undeclared { .. }), "{error}");
}

#[test]
fn kernels_that_are_gone_are_missed_where_they_are_asked_for() {
    let mut lock = discovery().lock;
    for index in [4, 0] {
        let kernel = lock.kernels.remove(index);
        lock.missing.push(MissingKernel {
            packages: kernel.image.iter().map(LockedPackage::id).collect(),
            release: kernel.release,
            series: kernel.series,
            flavour: kernel.flavour,
            arch: kernel.arch,
            suite: kernel.suite,
            version: kernel.version,
        });
    }
    let of = |tier, globs: &[&str]| -> Result<Vec<String>, PlanError> {
        let globs: Vec<String> = globs.iter().map(|glob| (*glob).into()).collect();
        let kernels = missing(&matrix(), &lock, tier, &globs)?;
        Ok(kernels
            .into_iter()
            .map(|kernel| kernel.release.to_string())
            .collect())
    };
    let (newer, older) = ("7.2.1+deb13-amd64", "6.1.0-1-amd64");
    let none: [&str; 0] = [];
    assert_eq!(of(Some(Tier::Full), &[]).unwrap(), [newer, older]);
    assert_eq!(of(Some(Tier::Full), &["6*"]).unwrap(), [older]);
    assert_eq!(of(None, &["7*", "6.1.0-2-*"]).unwrap(), [newer]);
    assert_eq!(of(None, &[]).unwrap(), none, "the quick tier");
    assert_eq!(of(Some(Tier::Standard), &[]).unwrap(), none);
    assert!(matches!(of(None, &["["]), Err(PlanError::Glob { .. })));
    // Alone it fits no cell, and the message says what became of it.
    let error = plan(&matrix(), &lock, None, &["6.1.0-1-*".into()]).unwrap_err();
    assert!(
        error.to_string().contains("did not serve 6.1.0-1-amd64"),
        "{error}"
    );
}

fn own(name: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(name);
    std::fs::read_to_string(path).unwrap()
}

/// The promises of the project's own files.
#[test]
fn the_projects_own_matrix_and_lock_keep_their_promises() {
    let matrix = Matrix::parse(&own("matrix.toml")).unwrap();
    let text = own("matrix.lock");
    let lock = Lock::parse(&text).unwrap();
    assert_eq!(
        lock.render().unwrap(),
        text,
        "it was edited, or its form has changed"
    );
    let tiers = Tier::ALL.iter().map(|tier| {
        let cells = plan(&matrix, &lock, Some(*tier), &[]).unwrap();
        cells
            .into_iter()
            .map(|cell| cell.kernel)
            .collect::<Vec<_>>()
    });
    let [quick, standard, full] = tiers.collect::<Vec<_>>().try_into().unwrap();
    assert!(quick.len() >= 8);
    for series in &matrix.series {
        assert!(
            quick.iter().any(|kernel| kernel.series == series.name),
            "{}",
            series.name
        );
    }
    for flavour in Flavour::ALL {
        assert!(
            quick.iter().any(|kernel| kernel.flavour == *flavour),
            "{flavour}"
        );
    }
    assert!(quick.iter().all(|kernel| standard.contains(kernel)));
    assert!(standard.iter().all(|kernel| full.contains(kernel)));
    assert_eq!(full.len(), lock.kernels.len());
    for suite in &matrix.suites {
        assert!(
            lock.suites.iter().any(|locked| locked.name == suite.name),
            "{}",
            suite.name
        );
    }
    for forbidden in ["http://", "https://", "ftp."] {
        assert!(!text.contains(forbidden), "a lock names no host");
        assert!(
            !own("matrix.toml").contains(forbidden),
            "nor does the matrix"
        );
    }
}

proptest! {
    #[test]
    fn readers_never_panic(text in "(?s).{0,200}") {
        let _ = Matrix::parse(&text);
        let _ = Lock::parse(&text);
    }

    #[test]
    fn readers_never_panic_on_what_is_nearly_right(cut in 0..MATRIX.len(), garbage in "[\\[\\]{}\"=,a-z0-9.\n-]{0,6}") {
        prop_assume!(MATRIX.is_char_boundary(cut));
        let _ = Matrix::parse(&format!("{}{garbage}{}", &MATRIX[..cut], &MATRIX[cut..]));
        let _ = Matrix::parse(&format!("{garbage}{}", &MATRIX[..cut]));
    }

    #[test]
    fn locks_round_trip(kernels in proptest::collection::vec(any::<prop::sample::Index>(), 0..5)) {
        let mut lock = discovery().lock;
        for index in kernels {
            if !lock.kernels.is_empty() {
                let at = index.index(lock.kernels.len());
                lock.kernels.remove(at);
            }
        }
        let text = lock.render().unwrap();
        prop_assert_eq!(Lock::parse(&text).unwrap(), lock);
    }
}
