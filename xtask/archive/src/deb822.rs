// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The paragraphs of Debian's control files and indexes (deb822(5)), read without copying.

/// A text that is not deb822.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct Deb822Error {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

/// One paragraph: fields in the order of the text.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Paragraph<'a> {
    fields: Vec<(&'a str, &'a str)>,
}

impl<'a> Paragraph<'a> {
    /// The value of a field, whatever the case of its name; continuation lines are part of it.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.fields
            .iter()
            .find(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| *value)
    }

    /// Every field with its value.
    pub fn fields(&self) -> impl Iterator<Item = (&'a str, &'a str)> + '_ {
        self.fields.iter().copied()
    }
}

/// Reads the paragraphs of `text` one after the other.
pub fn paragraphs(text: &str) -> Paragraphs<'_> {
    Paragraphs {
        text,
        offset: 0,
        line: 0,
    }
}

/// The one paragraph of `text`; an empty one when there is none.
pub fn paragraph(text: &str) -> Result<Paragraph<'_>, Deb822Error> {
    let mut all = paragraphs(text);
    let first = all.next().transpose()?.unwrap_or_default();
    match all.next() {
        None => Ok(first),
        Some(_) => Err(Deb822Error {
            line: all.line,
            what: "a second paragraph where there must be one",
        }),
    }
}

/// Iterator of [`paragraphs`]; ends after the first error.
#[derive(Debug)]
pub struct Paragraphs<'a> {
    text: &'a str,
    offset: usize,
    line: usize,
}

impl<'a> Paragraphs<'a> {
    /// The next line without its end, and where it starts.
    fn next_line(&mut self) -> Option<(usize, &'a str)> {
        let start = self.offset;
        let rest = &self.text[start..];
        if rest.is_empty() {
            return None;
        }
        let length = rest.find('\n').unwrap_or(rest.len());
        self.offset = (start + length + 1).min(self.text.len());
        self.line += 1;
        Some((start, &rest[..length]))
    }

    fn fail(&mut self, what: &'static str) -> Deb822Error {
        self.offset = self.text.len();
        Deb822Error {
            line: self.line,
            what,
        }
    }
}

impl<'a> Iterator for Paragraphs<'a> {
    type Item = Result<Paragraph<'a>, Deb822Error>;

    fn next(&mut self) -> Option<Self::Item> {
        // Name, start and end of the value: a continuation line moves the end.
        let mut spans: Vec<(&'a str, usize, usize)> = Vec::new();
        while let Some((start, line)) = self.next_line() {
            if line.trim().is_empty() {
                if spans.is_empty() {
                    continue;
                }
                break;
            }
            if line.starts_with([' ', '\t']) {
                match spans.last_mut() {
                    Some(last) => last.2 = start + line.len(),
                    None => return Some(Err(self.fail("a continuation of no field"))),
                }
                continue;
            }
            let Some((name, _)) = line.split_once(':') else {
                return Some(Err(self.fail("neither a field, a continuation nor empty")));
            };
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic()) {
                return Some(Err(self.fail("a field's name with a space or no letter")));
            }
            if spans.iter().any(|span| span.0.eq_ignore_ascii_case(name)) {
                return Some(Err(self.fail("a field named twice")));
            }
            spans.push((name, start + name.len() + 1, start + line.len()));
        }
        if spans.is_empty() {
            return None;
        }
        let text = self.text;
        let fields = spans
            .into_iter()
            .map(|(name, start, end)| (name, text[start..end].trim()))
            .collect();
        Some(Ok(Paragraph { fields }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str =
        "Package: a\nDepends: b,\n c (>= 1)\n\n\nPackage: d\r\nSHA256:\n 00 1 x\n 01 2 y\n";

    #[test]
    fn paragraphs_fields_and_continuations_are_read() {
        let all: Vec<_> = paragraphs(TEXT).collect::<Result<_, _>>().unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].get("depends"), Some("b,\n c (>= 1)"));
        assert_eq!(all[0].get("Version"), None);
        assert_eq!(all[1].get("Package"), Some("d"));
        assert_eq!(all[1].get("SHA256"), Some("00 1 x\n 01 2 y"));
    }

    #[test]
    fn faults_name_their_line() {
        for (text, line) in [
            (" x\n", 1),
            ("A: b\nno field\n", 2),
            ("A: b\n\nA: b\nC d: e\n", 4),
            ("A: b\na: c\n", 2),
            (": b\n", 1),
        ] {
            let error = paragraphs(text).find_map(Result::err).unwrap();
            assert_eq!(error.line, line, "{text:?}");
        }
        assert!(paragraph(TEXT).is_err());
    }

    proptest! {
        #[test]
        fn never_panics_and_always_ends(text in "(?s).{0,200}") {
            let _ = paragraphs(&text).count();
        }

        #[test]
        fn never_panics_on_what_looks_right(text in "[A-C :\n\t\ré]{0,80}") {
            let _ = paragraphs(&text).count();
        }

        #[test]
        fn round_trips(fields in proptest::collection::btree_map(
            "[a-z][a-z0-9-]{0,10}", "[!-~]{1,10}(\n [!-~]{1,9}){0,3}", 1..6)) {
            let text: String = fields.iter().map(|(k, v)| format!("{k}: {v}\n")).collect();
            let read = paragraph(&text).unwrap();
            let read: std::collections::BTreeMap<String, String> =
                read.fields().map(|(k, v)| (k.into(), v.into())).collect();
            prop_assert_eq!(read, fields);
        }
    }
}
