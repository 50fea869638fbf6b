// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which tests the guest has, and which of them were asked for.

use std::path::Path;

use anyhow::{Context as _, Result};
use tidelock_host::process;

use crate::exit::UsageError;

/// The tests of a guest, in the order it runs them in: it is asked, so that no list here can
/// fall behind.
pub(crate) fn of_guest(guest: &Path) -> Result<Vec<String>> {
    let mut list = process::command(guest);
    list.arg("--list");
    let text = process::run(list, None).context("asking the guest for its tests")?;
    Ok(String::from_utf8(text)?
        .lines()
        .map(str::to_owned)
        .collect())
}

/// The tests that fit one of the patterns; all when there is none.
pub(crate) fn chosen(all: &[String], globs: &[String]) -> Result<Vec<String>> {
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
