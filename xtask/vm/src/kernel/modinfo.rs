// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a kernel's modules say of themselves, and the order to load them in.

use std::collections::{BTreeMap, BTreeSet};

use object::{Object as _, ObjectSection as _};

/// Whether a kernel without the module is still of use.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Need {
    /// Without it the machine cannot do its work.
    Required,
    /// Some kernels do without it.
    Optional,
}

/// A module asked for by name; `-` and `_` are the same, as for modprobe.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Wanted {
    /// Without `.ko`.
    pub name: String,
    /// What to do when the kernel lacks it.
    pub need: Need,
}

impl Wanted {
    /// A module without which there is no test.
    pub fn required(name: &str) -> Self {
        Self {
            name: normal(name),
            need: Need::Required,
        }
    }

    /// A module that some kernels lack.
    pub fn optional(name: &str) -> Self {
        Self {
            name: normal(name),
            need: Need::Optional,
        }
    }
}

/// The modules cannot be put in order.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum OrderError {
    /// Neither a module nor built in.
    #[error(
        "the kernel has no module {name}{}, and it is not built in either; \
         if the tests can do without it, ask for it as optional", wanted_by(by.as_deref())
    )]
    Absent {
        /// Which.
        name: String,
        /// The module that depends on it, if one does.
        by: Option<String>,
    },
    /// Modules depend on one another.
    #[error("the module {0} depends on itself, by way of its dependencies")]
    Cycle(String),
}

fn wanted_by(by: Option<&str>) -> String {
    by.map(|by| format!(" (wanted by {by})"))
        .unwrap_or_default()
}

/// The name as the kernel spells it.
pub fn normal(name: &str) -> String {
    name.replace('-', "_")
}

/// The module's name, when `path` is that of a module, compressed or not.
pub fn name_of(path: &str) -> Option<String> {
    let file = path.rsplit('/').next()?;
    let stem = [".ko", ".ko.xz", ".ko.zst", ".ko.gz"]
        .iter()
        .find_map(|suffix| file.strip_suffix(suffix))?;
    Some(normal(stem))
}

/// The names in `modules.builtin`: one path a line.
pub fn builtin(text: &str) -> BTreeSet<String> {
    text.lines().filter_map(name_of).collect()
}

/// What the `.modinfo` section of `module` says it depends on; `None` when there is none.
pub fn depends(module: &[u8]) -> Option<Vec<String>> {
    let file = object::File::parse(module).ok()?;
    let section = file.section_by_name(".modinfo")?;
    let data = section.data().ok()?;
    let value = data
        .split(|byte| *byte == 0)
        .find_map(|entry| entry.strip_prefix(b"depends="))?;
    let value = String::from_utf8_lossy(value);
    Some(
        value
            .split(',')
            .filter(|name| !name.is_empty())
            .map(normal)
            .collect(),
    )
}

/// Every wanted module after all that it depends on, without those that are built in.
///
/// `depends` knows each module of the kernel that was looked at, by name.
pub fn order(
    wanted: &[Wanted],
    depends: &BTreeMap<String, Vec<String>>,
    builtin: &BTreeSet<String>,
) -> Result<Vec<String>, OrderError> {
    let mut walk = Walk {
        depends,
        builtin,
        done: Vec::new(),
        open: Vec::new(),
    };
    for Wanted { name, need } in wanted {
        let there = depends.contains_key(name) || builtin.contains(name);
        if there || *need == Need::Required {
            walk.visit(name)?;
        }
    }
    Ok(walk.done)
}

struct Walk<'a> {
    depends: &'a BTreeMap<String, Vec<String>>,
    builtin: &'a BTreeSet<String>,
    done: Vec<String>,
    open: Vec<String>,
}

impl Walk<'_> {
    fn visit(&mut self, name: &str) -> Result<(), OrderError> {
        if self.builtin.contains(name) || self.done.iter().any(|done| done == name) {
            return Ok(());
        }
        if self.open.iter().any(|open| open == name) {
            return Err(OrderError::Cycle(name.into()));
        }
        let Some(needs) = self.depends.get(name) else {
            return Err(OrderError::Absent {
                name: name.into(),
                by: self.open.last().cloned(),
            });
        };
        self.open.push(name.into());
        for need in needs {
            self.visit(need)?;
        }
        self.open.pop();
        self.done.push(name.into());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[(&str, &[&str])]) -> BTreeMap<String, Vec<String>> {
        edges
            .iter()
            .map(|(name, needs)| ((*name).into(), needs.iter().map(|n| (*n).into()).collect()))
            .collect()
    }

    #[test]
    fn dependencies_come_first_and_once_and_built_ins_not_at_all() {
        let graph = graph(&[
            ("virtio_pci", &["virtio", "virtio_ring"]),
            ("virtio_console", &["virtio_ring", "virtio"]),
            ("virtio", &["virtio_ring"]),
            ("virtio_ring", &[]),
            ("tls", &["gcm"]),
        ]);
        let builtin = builtin("kernel/crypto/gcm.ko\nkernel/crypto/ghash-generic.ko\n");
        let wanted = [
            Wanted::required("virtio-pci"),
            Wanted::required("virtio_console"),
            Wanted::required("ghash-generic"),
            Wanted::optional("no-such"),
            Wanted::required("tls"),
        ];
        assert_eq!(
            order(&wanted, &graph, &builtin).unwrap(),
            [
                "virtio_ring",
                "virtio",
                "virtio_pci",
                "virtio_console",
                "tls"
            ]
        );
    }

    #[test]
    fn what_is_absent_is_named_with_who_wants_it() {
        let graph = graph(&[("tls", &["gcm"])]);
        let none = BTreeSet::new();
        let error = order(&[Wanted::required("tls")], &graph, &none).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("the kernel has no module gcm (wanted by tls)"),
            "{error}"
        );
        let error = order(&[Wanted::required("sctp")], &graph, &none).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("the kernel has no module sctp,")
        );
        // A module that some kernels lack may be absent; what it depends on may not.
        assert!(order(&[Wanted::optional("tls")], &graph, &none).is_err());
    }

    #[test]
    fn a_cycle_ends() {
        let graph = graph(&[("a", &["b"]), ("b", &["a"])]);
        let error = order(&[Wanted::required("a")], &graph, &BTreeSet::new());
        assert_eq!(error, Err(OrderError::Cycle("a".into())));
    }

    #[test]
    fn names_are_taken_from_paths() {
        for (path, name) in [
            ("kernel/crypto/ghash-generic.ko.xz", Some("ghash_generic")),
            ("./lib/modules/6.1/kernel/net/tls/tls.ko", Some("tls")),
            ("kernel/a.ko.zst", Some("a")),
            ("lib/modules/modules.builtin", None),
            ("kernel/a.kov", None),
        ] {
            assert_eq!(name_of(path).as_deref(), name, "{path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_are_no_module(bytes: Vec<u8>) {
            proptest::prop_assert_eq!(depends(&bytes), None);
        }
    }
}
