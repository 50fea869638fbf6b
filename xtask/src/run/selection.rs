// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which tests the guest has, and which of them were asked for.

use std::{collections::BTreeSet, path::Path};

use anyhow::{Context as _, Result, bail};
use tidelock_host::process;

use crate::exit::UsageError;

/// What a guest offers.
#[derive(PartialEq, Eq, Debug, Default)]
pub(crate) struct Offer {
    /// The names of its tests, in the order it runs them in.
    pub(crate) tests: Vec<String>,
    /// Those of them that may follow another in one machine.
    pub(crate) sharing: BTreeSet<String>,
    /// Those of them that run the project's own programs.
    pub(crate) running: BTreeSet<String>,
}

impl Offer {
    /// Fails unless each pattern of `matrix.toml` fits a test: a name that is wrong would say
    /// nothing.
    pub(crate) fn knows(&self, heavy: &[String]) -> Result<()> {
        for glob in heavy {
            chosen(&self.tests, std::slice::from_ref(glob)).context("matrix.toml: test: heavy")?;
        }
        Ok(())
    }

    /// Without the tests that fit none of the patterns, if there are any.
    pub(crate) fn chosen(self, globs: &[String]) -> Result<Self> {
        Ok(Self {
            tests: chosen(&self.tests, globs)?,
            ..self
        })
    }
}

/// The tests of a guest: it is asked, so that no list here can fall behind.
pub(crate) fn offered(guest: &Path) -> Result<Offer> {
    let mut list = process::command(guest);
    list.arg("--list");
    let text = process::run(list, None).context("asking the guest for its tests")?;
    read(&String::from_utf8(text)?)
}

/// Reads `tidelock-guest --list`: a test a line, then whether it is shared, and whether it runs our
/// programs.
fn read(text: &str) -> Result<Offer> {
    let mut offer = Offer::default();
    for line in text.lines() {
        let (name, shares, runs) = match *line.split(' ').collect::<Vec<_>>() {
            [name] if !name.is_empty() => (name, false, false),
            [name, "shared"] => (name, true, false),
            [name, "programs"] => (name, false, true),
            [name, "shared", "programs"] => (name, true, true),
            _ => bail!("the guest lists a test as {line:?}"),
        };
        offer.tests.push(name.to_owned());
        if shares {
            offer.sharing.insert(name.to_owned());
        }
        if runs {
            offer.running.insert(name.to_owned());
        }
    }
    Ok(offer)
}

/// The tests that fit one of the patterns; all when there is none.
fn chosen(all: &[String], globs: &[String]) -> Result<Vec<String>> {
    let mut patterns = Vec::new();
    for glob in globs {
        let pattern = glob::Pattern::new(glob)
            .map_err(|error| UsageError(format!("{glob:?} is no pattern: {error}")))?;
        if !all.iter().any(|test| pattern.matches(test)) {
            let text = format!("no test fits {glob:?}; the tests are {}", all.join(", "));
            return Err(UsageError(text).into());
        }
        patterns.push(pattern);
    }
    let fits = |test: &&String| {
        patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches(test))
    };
    Ok(all.iter().filter(fits).cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_says_which_of_its_tests_share_a_machine() {
        let text = "load.module\npolicy.off shared\ndaemon.a programs\ndaemon.b shared programs\n";
        let offer = read(text).unwrap();
        let names = ["load.module", "policy.off", "daemon.a", "daemon.b"];
        assert_eq!(offer.tests, names);
        assert!(offer.sharing.iter().eq(["daemon.b", "policy.off"]));
        assert!(offer.running.iter().eq(["daemon.a", "daemon.b"]));
        offer.knows(&["load.*".into()]).unwrap();
        let error = format!("{:#}", offer.knows(&["laod.*".into()]).unwrap_err());
        assert!(
            error.contains("heavy") && error.contains("laod.*"),
            "{error}"
        );
        for bad in ["load.module alone", "", "a shared b"] {
            let error = read(&format!("{bad}\n")).unwrap_err().to_string();
            assert!(error.contains(&format!("{bad:?}")), "{error}");
        }
    }

    #[test]
    fn patterns_choose_in_the_order_of_the_guest_and_must_fit_something() {
        let all = ["load.module", "load.cycles", "device.hello"].map(str::to_owned);
        let choose = |globs: &[&str]| {
            let globs: Vec<String> = globs.iter().map(|glob| (*glob).to_owned()).collect();
            chosen(&all, &globs)
        };
        assert_eq!(choose(&[]).unwrap(), all);
        assert_eq!(
            choose(&["device.*", "*.module"]).unwrap(),
            ["load.module", "device.hello"]
        );
        for bad in ["nothing.*", "[", ""] {
            assert!(
                choose(&[bad]).unwrap_err().is::<UsageError>(),
                "{bad:?} was taken"
            );
        }
    }
}
