// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The one command that runs a cell, or one test of it, again.

use tidelock_model::{Release, Tier};

/// `cargo xtask matrix --tier full --kernel 6.1.0-56-amd64 --rerun --test load.module`.
///
/// The tier stands there because `--kernel` chooses among the kernels of a tier, and `--rerun`
/// because a verdict, a failure too, would come from the cache. A release can
/// hold no character that a shell or a glob takes for its own; a test's name is quoted when
/// it does.
pub fn command(tier: Tier, kernel: &Release, test: Option<&str>) -> String {
    let cell = format!("cargo xtask matrix --tier {tier} --kernel {kernel} --rerun");
    test.map_or_else(|| cell.clone(), |test| with_test(&cell, test))
}

/// Narrows the command of a cell to one of its tests.
pub fn with_test(cell: &str, test: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if !test.is_empty() && test.chars().all(plain) {
        return format!("{cell} --test {test}");
    }
    let literal: String = test
        .chars()
        .map(|c| match c {
            '*' | '?' | '[' | '{' => format!("[{c}]"),
            c => c.to_string(),
        })
        .collect();
    format!("{cell} --test '{}'", literal.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_names_tier_kernel_and_test() {
        let kernel = "6.12.117+deb13-cloud-amd64".parse().unwrap();
        assert_eq!(
            command(Tier::Full, &kernel, None),
            "cargo xtask matrix --tier full --kernel 6.12.117+deb13-cloud-amd64 --rerun"
        );
        assert_eq!(
            command(Tier::Quick, &kernel, Some("load.module")),
            "cargo xtask matrix --tier quick --kernel 6.12.117+deb13-cloud-amd64 --rerun --test load.module"
        );
    }

    #[test]
    fn an_odd_test_name_reaches_neither_the_shell_nor_the_glob() {
        assert_eq!(
            with_test("x", "a*b'; rm -rf /"),
            r"x --test 'a[*]b'\''; rm -rf /'"
        );
    }
}
