// SPDX-License-Identifier: Apache-2.0 OR MIT
//! All that a build root needs: the wanted packages and what they depend on.

use std::collections::{BTreeMap, HashMap, VecDeque};

use tidelock_archive::index::{Index, Package};

use crate::relation::{Relation, clauses};

/// A dependency that nothing offers.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("nothing offers {clause}, which {by} needs")]
pub struct Unmet {
    /// The relation.
    pub clause: String,
    /// Who needs it.
    pub by: String,
}

/// What a name is offered by without being its name.
pub(crate) type Providers<'a> = HashMap<&'a str, BTreeMap<&'a str, &'a Package>>;

/// Collects who offers which virtual names.
pub(crate) fn providers(index: &Index) -> Providers<'_> {
    let mut all = Providers::new();
    for package in index.packages() {
        for relation in clauses(&package.provides).iter().flatten() {
            let by_name = all.entry(relation.name).or_default();
            let known = by_name.entry(&package.name).or_insert(package);
            if tidelock_archive::version::compare(&known.version, &package.version).is_lt() {
                *known = package;
            }
        }
    }
    all
}

/// The wanted packages, what meets the `needs` of others, and everything that all these depend
/// on, by name.
///
/// Of several alternatives the one that is there already is taken, else the first that can be
/// had; of several versions the newest that fits; a virtual name is taken from the provider that
/// is there already, else from the first by name. The result depends on nothing but the input.
pub fn closure<'a>(
    index: &'a Index,
    wanted: &[String],
    needs: &[Need<'a>],
) -> Result<Vec<&'a Package>, Unmet> {
    let providers = providers(index);
    let mut chosen: BTreeMap<&str, &Package> = BTreeMap::new();
    let mut queue: VecDeque<Need<'_>> = VecDeque::new();
    for name in wanted {
        let package = index.versions(name).first().ok_or_else(|| Unmet {
            clause: name.clone(),
            by: "matrix.toml".into(),
        })?;
        if chosen.insert(&package.name, package).is_none() {
            queue.push_back(Need::of(package));
        }
    }
    queue.extend(needs.iter().copied());
    while let Some(need) = queue.pop_front() {
        for clause in clauses(need.depends) {
            let outside = |relation: &Relation<'_>| relation.name.starts_with(need.except);
            if !need.except.is_empty() && clause.iter().any(outside) {
                continue;
            }
            if clause.iter().any(|relation| is_met(relation, &chosen)) {
                continue;
            }
            let found = clause
                .iter()
                .find_map(|relation| candidate(relation, index, &providers, &chosen));
            let Some(found) = found else {
                return Err(Unmet {
                    clause: describe(&clause),
                    by: need.by.to_owned(),
                });
            };
            chosen.insert(&found.name, found);
            queue.push_back(Need::of(found));
        }
    }
    Ok(chosen.into_values().collect())
}

/// Dependencies to meet.
#[derive(Clone, Copy, Debug)]
pub struct Need<'a> {
    /// Whose they are.
    pub by: &'a str,
    /// In Debian's own words.
    pub depends: &'a str,
    /// Clauses that name packages beginning like this are met elsewhere; nothing when empty.
    pub except: &'a str,
}

impl<'a> Need<'a> {
    fn of(package: &'a Package) -> Self {
        Self {
            by: &package.name,
            depends: &package.depends,
            except: "",
        }
    }
}

fn is_met(relation: &Relation<'_>, chosen: &BTreeMap<&str, &Package>) -> bool {
    let real = chosen.get(relation.name);
    real.is_some_and(|package| relation.allows(&package.version))
        || chosen.values().any(|package| provides(package, relation))
}

fn provides(package: &Package, relation: &Relation<'_>) -> bool {
    !package.provides.is_empty()
        && clauses(&package.provides).iter().flatten().any(|offer| {
            offer.name == relation.name
                && match (offer.version, relation.version) {
                    (_, None) => true,
                    (Some((_, version)), Some(_)) => relation.allows(version),
                    // An offer of no version meets no relation that names one (policy 7.5).
                    (None, Some(_)) => false,
                }
        })
}

fn candidate<'a>(
    relation: &Relation<'_>,
    index: &'a Index,
    providers: &Providers<'a>,
    chosen: &BTreeMap<&str, &'a Package>,
) -> Option<&'a Package> {
    // One of another version is there already: two versions of a package cannot be.
    if !chosen.contains_key(relation.name) {
        let versions = index.versions(relation.name);
        if let Some(real) = versions
            .iter()
            .find(|package| relation.allows(&package.version))
        {
            return Some(real);
        }
    }
    let offers = providers.get(relation.name)?;
    offers
        .values()
        .copied()
        .find(|package| !chosen.contains_key(package.name.as_str()) && provides(package, relation))
}

fn describe(clause: &[Relation<'_>]) -> String {
    let one = |relation: &Relation<'_>| match relation.version {
        Some((operator, version)) => format!("{} ({operator} {version})", relation.name),
        None => relation.name.to_owned(),
    };
    clause.iter().map(one).collect::<Vec<_>>().join(" | ")
}

#[cfg(test)]
mod tests {
    use tidelock_archive::FileRef;
    use tidelock_model::Sha256;

    use super::*;

    /// Lines of `name version / depends / provides`.
    fn index(lines: &[&str]) -> Index {
        let mut index = Index::default();
        for line in lines {
            let parts: Vec<&str> = line.split('/').map(str::trim).collect();
            let (name, version) = parts[0].split_once(' ').unwrap();
            index.add(Package {
                name: name.into(),
                version: version.into(),
                arch: "amd64".into(),
                depends: parts.get(1).copied().unwrap_or_default().into(),
                provides: parts.get(2).copied().unwrap_or_default().into(),
                file: FileRef {
                    archive: "debian".into(),
                    path: line.replace([' ', '/'], "_"),
                    size: 1,
                    sha256: Sha256::of(line.as_bytes()),
                },
            });
        }
        index
    }

    fn resolve(lines: &[&str], wanted: &[&str]) -> Result<Vec<String>, Unmet> {
        let wanted: Vec<String> = wanted.iter().map(|name| (*name).into()).collect();
        let index = index(lines);
        let found = closure(&index, &wanted, &[])?;
        Ok(found
            .iter()
            .map(|p| format!("{} {}", p.name, p.version))
            .collect())
    }

    type Names = &'static [&'static str];

    #[test]
    fn closures() {
        let cases: &[(&str, Names, Names, Names)] = &[
            (
                "chain",
                &["a 1 / b", "b 1 / c (>= 1)", "c 2"],
                &["a"],
                &["a 1", "b 1", "c 2"],
            ),
            ("circle", &["a 1 / b", "b 1 / a"], &["a"], &["a 1", "b 1"]),
            (
                "first alternative",
                &["a 1 / b | c", "b 1", "c 1"],
                &["a"],
                &["a 1", "b 1"],
            ),
            (
                "second alternative",
                &["a 1 / b | c", "c 1"],
                &["a"],
                &["a 1", "c 1"],
            ),
            (
                "one that is there",
                &["a 1 / b | c", "b 1", "c 1"],
                &["a", "c"],
                &["a 1", "c 1"],
            ),
            (
                "newest that fits",
                &["a 1 / b (<< 3)", "b 1", "b 2", "b 3"],
                &["a"],
                &["a 1", "b 2"],
            ),
            (
                "virtual",
                &["a 1 / v", "y 1 / / v", "x 1 / / v"],
                &["a"],
                &["a 1", "x 1"],
            ),
            (
                "virtual there",
                &["a 1 / v", "y 1 / / v", "x 1 / / v"],
                &["a", "y"],
                &["a 1", "y 1"],
            ),
            (
                "virtual version",
                &["a 1 / v (= 2)", "x 1 / / v", "y 1 / / v (= 2)"],
                &["a"],
                &["a 1", "y 1"],
            ),
            (
                "renamed",
                &["a 1 / libssl3 (>= 3)", "libssl3t64 3 / / libssl3 (= 3)"],
                &["a"],
                &["a 1", "libssl3t64 3"],
            ),
        ];
        for (name, lines, wanted, expected) in cases {
            assert_eq!(resolve(lines, wanted).unwrap(), *expected, "{name}");
        }
    }

    #[test]
    fn what_nothing_offers_is_named_with_who_needs_it() {
        let error = resolve(&["a 1 / b (>= 2) | v", "b 1"], &["a"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "nothing offers b (>= 2) | v, which a needs"
        );
        assert_eq!(resolve(&[], &["a"]).unwrap_err().by, "matrix.toml");
        let pinned = resolve(&["a 1 / b (= 1)", "b 1", "b 2"], &["b", "a"]).unwrap_err();
        assert_eq!(pinned.clause, "b (= 1)");
    }

    #[test]
    fn needs_of_others_are_met_but_for_their_own_family() {
        let index = index(&["libc6 2", "gcc 1", "linux-x 1"]);
        let meet = |depends| {
            let need = Need {
                by: "the headers",
                depends,
                except: "linux-",
            };
            let found = closure(&index, &[], &[need])?;
            Ok(found.iter().map(|p| p.name.clone()).collect::<Vec<_>>())
        };
        assert_eq!(
            meet("linux-x (>= 4), gcc, libc6 (>= 2)"),
            Ok(vec!["gcc".into(), "libc6".into()])
        );
        let unmet: Result<Vec<String>, Unmet> = meet("libc6 (>= 3)");
        assert_eq!(unmet.unwrap_err().by, "the headers");
    }
}
