// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The order of Debian's version numbers (deb-version(7)).

use std::cmp::Ordering;

/// Compares two versions as dpkg does.
pub fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (split(a), split(b));
    a.0.cmp(&b.0)
        .then_with(|| compare_part(a.1, b.1))
        .then_with(|| compare_part(a.2, b.2))
}

/// Epoch, upstream version, Debian's revision.
fn split(version: &str) -> (u64, &str, &str) {
    let (epoch, rest) = match version.split_once(':') {
        Some((epoch, rest)) => (epoch.parse().unwrap_or(0), rest),
        None => (0, version),
    };
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    (epoch, upstream, revision)
}

/// Takes turns between what is no digit and what is one.
fn compare_part(mut a: &str, mut b: &str) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        let (text_a, text_b) = (take(&mut a, false), take(&mut b, false));
        let (number_a, number_b) = (take(&mut a, true), take(&mut b, true));
        let order = compare_text(text_a, text_b).then_with(|| compare_number(number_a, number_b));
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

fn take<'a>(text: &mut &'a str, digits: bool) -> &'a str {
    let end = text
        .find(|c: char| c.is_ascii_digit() != digits)
        .unwrap_or(text.len());
    let (head, tail) = text.split_at(end);
    *text = tail;
    head
}

fn compare_number(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// A tilde sorts before the end, the end before letters, letters before all else.
fn compare_text(a: &str, b: &str) -> Ordering {
    let weight = |c: Option<char>| match c {
        Some('~') => -1,
        None => 0,
        Some(c) if c.is_ascii_alphabetic() => i64::from(u32::from(c)),
        Some(c) => i64::from(u32::from(c)) + 0x11_0000,
    };
    let (mut a, mut b) = (a.chars(), b.chars());
    loop {
        let (next_a, next_b) = (a.next(), b.next());
        let order = weight(next_a).cmp(&weight(next_b));
        if order.is_ne() || (next_a.is_none() && next_b.is_none()) {
            return order;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn versions_are_ordered_as_dpkg_orders_them() {
        let ascending = [
            "5.10.218-1",
            "6.1.176-1~deb11u1",
            "6.1.176-1",
            "6.12.94-1",
            "6.12.115-1",
            "6.12.115-2~deb12u1",
            "6.12.115-2",
            "6.12.117-1~deb12u1",
            "6.12.117-1",
            "7.2.9-1~bpo13+1",
            "7.2.12-1~bpo13+1",
            "7.3~rc7-1~exp1",
            "7.3-1",
            "7.3.4-1~bpo13+1",
            "1:0.1",
        ];
        for pair in ascending.windows(2) {
            assert_eq!(compare(pair[0], pair[1]), Ordering::Less, "{pair:?}");
            assert_eq!(compare(pair[1], pair[0]), Ordering::Greater, "{pair:?}");
        }
        for (a, b) in [
            ("1.0", "1.0-0"),
            ("0:1", "1"),
            ("1.01", "1.1"),
            ("1-00", "1-0"),
        ] {
            assert_eq!(compare(a, b), Ordering::Equal, "{a} {b}");
        }
    }

    proptest! {
        #[test]
        fn is_an_order(a in "[0-9a-c.~+:-]{0,8}", b in "[0-9a-c.~+:-]{0,8}", c in "[0-9a-c.~+:-]{0,8}") {
            prop_assert_eq!(compare(&a, &a), Ordering::Equal);
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            if compare(&a, &b).is_le() && compare(&b, &c).is_le() {
                prop_assert!(compare(&a, &c).is_le());
            }
        }

        #[test]
        fn never_panics(a in "\\PC{0,20}", b in "\\PC{0,20}") {
            let _ = compare(&a, &b);
        }
    }
}
