// SPDX-License-Identifier: GPL-2.0-only
use core::fmt::Write as _;

use crate::text::BoundedText;

#[test]
fn a_bounded_text_is_cut_at_a_character_and_has_no_controls() {
    let mut text = BoundedText::<8>::new();
    assert!(write!(text, "a\nb\u{1b}[0m").is_ok());
    assert_eq!(text.as_str(), "a b [0m");
    assert!(write!(text, "\u{e9}").is_err());
    assert_eq!(text.as_str(), "a b [0m");
    assert!(write!(text, "xyz").is_err());
    assert_eq!(text.as_str(), "a b [0mx");
}
