// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Relations between packages (`Depends` and the like, deb-control(5)).

use std::cmp::Ordering;

use tidelock_archive::version;

/// One alternative of a clause.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Relation<'a> {
    pub(crate) name: &'a str,
    /// The operator and the version.
    pub(crate) version: Option<(&'a str, &'a str)>,
}

impl Relation<'_> {
    /// Whether a package of this version will do.
    pub(crate) fn allows(&self, version: &str) -> bool {
        let Some((operator, wanted)) = self.version else {
            return true;
        };
        let order = version::compare(version, wanted);
        match operator {
            "<<" => order == Ordering::Less,
            "<=" | "<" => order != Ordering::Greater,
            "=" => order == Ordering::Equal,
            ">=" | ">" => order != Ordering::Less,
            ">>" => order == Ordering::Greater,
            _ => false,
        }
    }
}

/// The clauses of a field, each with its alternatives; what cannot be read is left out, so that
/// it is missed rather than believed.
pub(crate) fn clauses(text: &str) -> Vec<Vec<Relation<'_>>> {
    text.split(',')
        .map(str::trim)
        .filter(|clause| !clause.is_empty())
        .map(|clause| clause.split('|').filter_map(relation).collect())
        .collect()
}

fn relation(text: &str) -> Option<Relation<'_>> {
    // Restrictions to architectures and build profiles do not occur in binary packages.
    let text = text
        .split(['[', '<'])
        .next()
        .filter(|_| !text.contains('('))
        .unwrap_or(text);
    let (name, rest) = match text.split_once('(') {
        Some((name, rest)) => (name, Some(rest)),
        None => (text, None),
    };
    let name = name.trim().split(':').next()?;
    if name.is_empty() {
        return None;
    }
    let version = match rest {
        None => None,
        Some(rest) => {
            let inner = rest.split(')').next()?.trim();
            let end = inner.find(|c: char| !"<=>".contains(c))?;
            Some((&inner[..end], inner[end..].trim()))
        }
    };
    Some(Relation { name, version })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_are_read() {
        let all = clauses("libc6 (>= 2.14), debconf (>= 0.5) | debconf-2.0, perl:any,\n x (<<2~)");
        let names: Vec<Vec<&str>> = all
            .iter()
            .map(|clause| clause.iter().map(|r| r.name).collect())
            .collect();
        assert_eq!(
            names,
            [
                vec!["libc6"],
                vec!["debconf", "debconf-2.0"],
                vec!["perl"],
                vec!["x"]
            ]
        );
        assert_eq!(all[0][0].version, Some((">=", "2.14")));
        assert_eq!(all[3][0].version, Some(("<<", "2~")));
    }

    #[test]
    fn operators_mean_what_dpkg_means() {
        for (relation, version, allowed) in [
            ("a", "1", true),
            ("a (= 1-1)", "1-1", true),
            ("a (= 1-1)", "1-1+b1", false),
            ("a (>= 2)", "1.9", false),
            ("a (>> 2)", "2", false),
            ("a (<< 2)", "2~rc1", true),
            ("a (<= 2)", "2", true),
            ("a (!! 2)", "2", false),
        ] {
            let all = clauses(relation);
            assert_eq!(
                all[0].first().is_some_and(|r| r.allows(version)),
                allowed,
                "{relation}"
            );
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "[a-b(<=>) |,.:0-9\\[\\]é]{0,40}") {
            for relation in clauses(&text).iter().flatten() {
                let _ = relation.allows("1");
            }
        }
    }
}
