// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the module reported of a kernel, held against what `matrix.toml` declares.

use tidelock_matrix::Cell;
use tidelock_model::{Measured, Status, TestReport};

/// The test that reports it.
const HELLO: &str = "device.hello";

/// Holds what the module reported of the kernel against what `matrix.toml` declares.
/// What differs makes `device.hello` fail, and is returned as the reason.
pub(super) fn expect(tests: &mut [TestReport], cell: &Cell) -> Option<String> {
    let expected: Vec<&str> = cell
        .expected
        .iter()
        .map(|capability| capability.as_str())
        .collect();
    let mut tests = tests.iter_mut();
    let test = tests.find(|test| test.name == HELLO && test.status == Status::Pass)?;
    test.detail = mismatch(&expected, &test.measured)?;
    test.status = Status::Fail;
    Some(format!("{}: {}", test.name, test.detail))
}

/// What is wrong with the capabilities that were measured, if anything is.
fn mismatch(expected: &[&str], measured: &Measured) -> Option<String> {
    let Some(text) = measured.get("capabilities") else {
        return Some("capability-mismatch: the module reported none".into());
    };
    let names = |text: &str| -> Vec<String> {
        let words = text
            .split([' ', ','])
            .filter(|word| !word.is_empty() && *word != "none");
        let mut names: Vec<String> = words
            .map(|word| word.to_lowercase().replace(['_', '-'], ""))
            .collect();
        names.sort();
        names
    };
    let (want, got) = (names(&expected.join(" ")), names(text));
    (want != got).then(|| {
        let expected = expected.join(", ");
        format!("capability-mismatch: the module reported {text}; matrix.toml declares {expected}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(capabilities: &str) -> Measured {
        [("capabilities".to_owned(), capabilities.to_owned())].into()
    }

    #[test]
    fn capabilities_are_compared_by_name_whatever_their_order_and_spelling() {
        assert_eq!(
            mismatch(
                &["ipv6", "ktls-aes128gcm"],
                &measured("KTLS_AES128GCM IPV6")
            ),
            None
        );
        assert_eq!(mismatch(&[], &measured("none")), None);
    }

    #[test]
    fn one_too_few_one_too_many_and_none_at_all_are_found() {
        for said in ["IPV6", "IPV6,KTLS,MPTCP", "none"] {
            let wrong = mismatch(&["ipv6", "ktls"], &measured(said)).unwrap();
            assert!(wrong.starts_with("capability-mismatch: "), "{wrong}");
        }
        assert!(mismatch(&["ipv6"], &Measured::new()).is_some());
    }
}
