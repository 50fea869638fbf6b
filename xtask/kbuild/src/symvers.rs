// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `Module.symvers`: what a kernel exports (Documentation/kbuild/modules.rst, section 6.3).

use std::collections::HashMap;

/// A line of `Module.symvers` is not one.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("Module.symvers, line {line}: {what}")]
pub struct SymversError {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

/// One exported symbol.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Export {
    /// The check sum of its type; 0 where the kernel does not version symbols.
    pub crc: u32,
    /// Who defines it: `vmlinux` or a module's path.
    pub module: String,
    /// Whether only modules under the GPL may use it.
    pub gpl_only: bool,
    /// The namespace to import; empty when there is none.
    pub namespace: String,
}

/// The exported symbols by name.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Symvers {
    exports: HashMap<String, Export>,
}

impl Symvers {
    /// Reads the text of a `Module.symvers`.
    ///
    /// # Errors
    /// At the first line that is not five fields between tabs (four before Linux 5.4).
    pub fn parse(text: &str) -> Result<Self, SymversError> {
        let mut exports = HashMap::new();
        for (number, line) in text.lines().enumerate() {
            let (name, export) = parse_line(line).map_err(|what| SymversError {
                line: number + 1,
                what,
            })?;
            exports.insert(name, export);
        }
        Ok(Self { exports })
    }

    /// The export called `name`.
    pub fn get(&self, name: &str) -> Option<&Export> {
        self.exports.get(name)
    }

    /// How many symbols there are.
    pub fn len(&self) -> usize {
        self.exports.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.exports.is_empty()
    }

    /// Whether the kernel checks the types of symbols: it has a check sum of any.
    pub fn has_crcs(&self) -> bool {
        self.exports.values().any(|export| export.crc != 0)
    }
}

impl FromIterator<(String, Export)> for Symvers {
    fn from_iter<I: IntoIterator<Item = (String, Export)>>(exports: I) -> Self {
        Self {
            exports: exports.into_iter().collect(),
        }
    }
}

fn parse_line(line: &str) -> Result<(String, Export), &'static str> {
    let mut fields = line.split('\t');
    let mut next = |what| fields.next().filter(|field| !field.is_empty()).ok_or(what);
    let crc = next("no check sum")?;
    let name = next("no symbol: are the fields separated by tabs?")?;
    let module = next("no module")?;
    let kind = next("no kind of export")?;
    let namespace = fields.next().unwrap_or_default();
    if fields.next().is_some() {
        return Err("more than five fields");
    }
    let crc = crc
        .strip_prefix("0x")
        .filter(|digits| digits.len() == 8 && !digits.starts_with('+'))
        .and_then(|digits| u32::from_str_radix(digits, 16).ok())
        .ok_or("the check sum is not 0x and eight hex digits")?;
    let gpl_only = match kind {
        "EXPORT_SYMBOL" => false,
        "EXPORT_SYMBOL_GPL" => true,
        _ => return Err("the kind is neither EXPORT_SYMBOL nor EXPORT_SYMBOL_GPL"),
    };
    let export = Export {
        crc,
        module: module.into(),
        gpl_only,
        namespace: namespace.into(),
    };
    Ok((name.into(), export))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "0x55417264\tunregister_vt_notifier\tvmlinux\tEXPORT_SYMBOL_GPL\t\n\
                        0xc0f59216\tusb_stor_suspend\tdrivers/usb/storage/usb-storage\tEXPORT_SYMBOL_GPL\tUSB_STORAGE\n\
                        0x00000000\tmisc_register\tvmlinux\tEXPORT_SYMBOL\t\n\
                        0x00000000\twrite_ibpb\tvmlinux\tEXPORT_SYMBOL_GPL\tmodule:kvm,kvm-amd\n";

    #[test]
    fn lines_of_5_10_and_of_7_3_are_read() {
        let symvers = Symvers::parse(TEXT).unwrap();
        assert_eq!(symvers.len(), 4);
        assert!(symvers.has_crcs());
        assert_eq!(
            symvers.get("usb_stor_suspend"),
            Some(&Export {
                crc: 0xc0f5_9216,
                module: "drivers/usb/storage/usb-storage".into(),
                gpl_only: true,
                namespace: "USB_STORAGE".into(),
            })
        );
        assert!(!symvers.get("misc_register").unwrap().gpl_only);
        assert_eq!(symvers.get("nothing"), None);
    }

    #[test]
    fn what_is_no_line_is_named_by_number() {
        for (line, what) in [
            ("", "no check sum"),
            ("0x1\ta\tvmlinux\tEXPORT_SYMBOL\t", "the check sum"),
            ("0x00000001 a vmlinux EXPORT_SYMBOL", "no symbol"),
            ("0x00000001\ta\tvmlinux\tEXPORT_UNUSED\t", "the kind"),
            ("0x00000001\ta\tvmlinux\tEXPORT_SYMBOL\tN\tx", "more than"),
        ] {
            let text = format!("0x00000001\ta\tvmlinux\tEXPORT_SYMBOL\t\n{line}\n");
            let error = Symvers::parse(&text).unwrap_err();
            assert_eq!(error.line, 2, "{line}");
            assert!(error.what.starts_with(what), "{line}: {}", error.what);
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "(0x[0-9a-f]{0,9}|\t|\n|EXPORT_SYMBOL|[ -~])*|\\PC*") {
            let _ = Symvers::parse(&text);
        }

        #[test]
        fn what_is_written_is_read_again(
            lines in proptest::collection::hash_map(
                "[a-zA-Z_][a-zA-Z0-9_]{0,20}",
                (any::<u32>(), "[a-z/]{1,20}", any::<bool>(), "[A-Z_]{0,9}"),
                0..20,
            )
        ) {
            let symvers: Symvers = lines.into_iter().map(|(name, (crc, module, gpl_only, namespace))| {
                (name, Export { crc, module, gpl_only, namespace })
            }).collect();
            let text: String = symvers.exports.iter().map(|(name, export)| {
                let gpl = if export.gpl_only { "_GPL" } else { "" };
                format!("{:#010x}\t{name}\t{}\tEXPORT_SYMBOL{gpl}\t{}\n", export.crc, export.module, export.namespace)
            }).collect();
            prop_assert_eq!(Symvers::parse(&text).unwrap(), symvers);
        }
    }
}
