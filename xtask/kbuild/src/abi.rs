// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whether a kernel brings what a module was built to find.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use tidelock_model::Release;

use crate::{
    ko::{KoError, KoFile},
    symvers::{Export, Symvers},
};

/// Why a kernel refuses a module because of one symbol.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AbiReason {
    /// It does not export it.
    Missing,
    /// Its type is another than the one the module was built with.
    CrcChanged {
        /// The module's check sum; `None` where it has none.
        built: Option<u32>,
        /// The kernel's.
        kernel: u32,
    },
    /// It exports it to GPL modules only, and the module is not one.
    GplOnly,
    /// It exports it in a namespace that the module does not import.
    Namespace(String),
}

impl fmt::Display for AbiReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("not exported"),
            Self::CrcChanged {
                built: Some(built),
                kernel,
            } => write!(
                f,
                "its type changed: built with {built:#010x}, the kernel has {kernel:#010x}"
            ),
            Self::CrcChanged { built: None, .. } => {
                f.write_str("the kernel checks its type, the module was built without check sums")
            }
            Self::GplOnly => f.write_str("exported to GPL modules only"),
            Self::Namespace(name) => write!(f, "exported in the namespace {name}, not imported"),
        }
    }
}

/// The first kernel that will not take a module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AbiBreak {
    /// That kernel.
    pub release: Release,
    /// The first of the symbols, by name.
    pub symbol: String,
    /// Why.
    pub reason: AbiReason,
    /// How many symbols break there.
    pub count: usize,
}

/// The first of `kernels`, in their order, that does not bring what `module` wants.
///
/// # Errors
/// When the bytes are no module.
pub fn abi(module: &[u8], kernels: &[(Release, Symvers)]) -> Result<Option<AbiBreak>, KoError> {
    let needs = Needs::of(&KoFile::parse(module)?)?;
    Ok(kernels.iter().find_map(|(release, symvers)| {
        let breaks = needs.breaks(symvers);
        let (symbol, reason) = breaks.first()?.clone();
        Some(AbiBreak {
            release: release.clone(),
            symbol,
            reason,
            count: breaks.len(),
        })
    }))
}

/// What a module wants of a kernel.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Needs {
    name: String,
    symbols: BTreeSet<String>,
    crcs: BTreeMap<String, u32>,
    imports: BTreeSet<String>,
    gpl: bool,
}

impl Needs {
    pub(crate) fn of(ko: &KoFile<'_>) -> Result<Self, KoError> {
        let info = ko.modinfo()?;
        Ok(Self {
            name: info.get("name").unwrap_or_default().into(),
            symbols: ko.undefined()?.into_iter().map(str::to_owned).collect(),
            crcs: ko.crcs()?,
            imports: info.all("import_ns").map(str::to_owned).collect(),
            gpl: info.get("license").is_some_and(is_gpl),
        })
    }

    /// Every symbol that `symvers` does not bring as wanted, by name.
    pub(crate) fn breaks(&self, symvers: &Symvers) -> Vec<(String, AbiReason)> {
        // The layout of `struct module` is checked as if it were a symbol in use.
        let layout = self
            .crcs
            .contains_key("module_layout")
            .then_some("module_layout");
        let mut names: BTreeSet<&str> = self.symbols.iter().map(String::as_str).collect();
        names.extend(layout);
        names
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), self.reason(name, symvers)?)))
            .collect()
    }

    fn reason(&self, name: &str, symvers: &Symvers) -> Option<AbiReason> {
        let Some(export) = symvers.get(name) else {
            // A kernel without check sums has no need of it.
            return (name != "module_layout").then_some(AbiReason::Missing);
        };
        if export.gpl_only && !self.gpl {
            return Some(AbiReason::GplOnly);
        }
        if !self.may_import(export) {
            return Some(AbiReason::Namespace(export.namespace.clone()));
        }
        let built = self.crcs.get(name).copied();
        (export.crc != 0 && built != Some(export.crc)).then_some(AbiReason::CrcChanged {
            built,
            kernel: export.crc,
        })
    }

    /// The rule of `verify_namespace_is_imported`: a namespace that starts with `module:` lists
    /// the modules that may, a `*` at the end of a name standing for any rest.
    fn may_import(&self, export: &Export) -> bool {
        if export.namespace.is_empty() {
            return true;
        }
        let Some(list) = export.namespace.strip_prefix("module:") else {
            return self.imports.contains(&export.namespace);
        };
        list.split(',').any(|entry| match entry.strip_suffix('*') {
            Some(start) => self.name.starts_with(start),
            None => self.name == entry,
        })
    }
}

/// `license_is_gpl_compatible` of include/linux/license.h.
pub(crate) fn is_gpl(license: &str) -> bool {
    [
        "GPL",
        "GPL v2",
        "GPL and additional rights",
        "Dual BSD/GPL",
        "Dual MIT/GPL",
        "Dual MPL/GPL",
    ]
    .contains(&license)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symvers(lines: &str) -> Symvers {
        Symvers::parse(&lines.replace(' ', "\t")).unwrap()
    }

    fn needs() -> Needs {
        Needs {
            name: "tidelock".into(),
            symbols: ["misc_register".to_owned(), "vmalloc".to_owned()].into(),
            crcs: [
                ("misc_register".to_owned(), 1),
                ("module_layout".to_owned(), 3),
                ("vmalloc".to_owned(), 2),
            ]
            .into(),
            imports: BTreeSet::new(),
            gpl: true,
        }
    }

    const GOOD: &str = "0x00000001 misc_register vmlinux EXPORT_SYMBOL \n\
                        0x00000002 vmalloc vmlinux EXPORT_SYMBOL_GPL \n\
                        0x00000003 module_layout vmlinux EXPORT_SYMBOL ";

    #[test]
    fn a_kernel_that_brings_all_breaks_nothing() {
        assert_eq!(needs().breaks(&symvers(GOOD)), []);
    }

    #[test]
    fn each_reason_is_told_with_its_symbol() {
        let namespace = |name: &str| AbiReason::Namespace(name.into());
        for (from, to, symbol, reason) in [
            (" vmalloc", " vmalloc_noprof", "vmalloc", AbiReason::Missing),
            (
                "0x00000003",
                "0x00000009",
                "module_layout",
                AbiReason::CrcChanged {
                    built: Some(3),
                    kernel: 9,
                },
            ),
            ("_GPL ", "_GPL NET", "vmalloc", namespace("NET")),
            (
                "_GPL ",
                "_GPL module:kvm,kvm-*",
                "vmalloc",
                namespace("module:kvm,kvm-*"),
            ),
        ] {
            let breaks = needs().breaks(&symvers(&GOOD.replace(from, to)));
            assert_eq!(breaks, [(symbol.to_owned(), reason)], "{from} -> {to}");
        }
        let mut proprietary = needs();
        proprietary.gpl = false;
        assert_eq!(
            proprietary.breaks(&symvers(GOOD)),
            [("vmalloc".to_owned(), AbiReason::GplOnly)]
        );
        let mut unversioned = needs();
        unversioned.crcs.clear();
        assert_eq!(unversioned.breaks(&symvers(GOOD)).len(), 2);
    }

    #[test]
    fn imports_and_lists_of_modules_open_a_namespace() {
        let mut importing = needs();
        importing.imports.insert("NET".into());
        let kernel =
            |namespace: &str| symvers(&GOOD.replace("_GPL ", &format!("_GPL {namespace}")));
        assert_eq!(importing.breaks(&kernel("NET")), []);
        assert_eq!(needs().breaks(&kernel("module:kvm,tide*")), []);
        assert_eq!(needs().breaks(&kernel("module:tidelock")), []);
    }

    #[test]
    fn a_kernel_without_check_sums_compares_none() {
        let text = GOOD
            .replace("0x00000001", "0x00000000")
            .replace("0x00000002", "0x00000000");
        let kernel = symvers(text.split("\n0x00000003").next().unwrap());
        assert_eq!(needs().breaks(&kernel), []);
    }
}
