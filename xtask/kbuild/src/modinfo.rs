// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The `.modinfo` section: `name=value` strings, each ended by a zero byte.

use crate::ko::{KoError, KoFile};

/// What a module says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ModInfo {
    fields: Vec<(String, String)>,
}

impl ModInfo {
    /// Reads the bytes of a `.modinfo` section. Padding and strings without `=` are passed
    /// over, as the kernel does.
    pub fn parse(section: &[u8]) -> Self {
        let fields = section
            .split(|byte| *byte == 0)
            .filter_map(|text| {
                let text = String::from_utf8_lossy(text);
                let (name, value) = text.split_once('=')?;
                Some((name.to_owned(), value.to_owned()))
            })
            .collect();
        Self { fields }
    }

    /// The first value of `name`: the one the kernel takes.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        let (_, value) = fields.find(|(field, _)| field == name)?;
        Some(value)
    }

    /// Every value of `name`.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields
            .iter()
            .filter(move |(field, _)| field == name)
            .map(|(_, value)| value.as_str())
    }
}

/// The `vermagic` of a module: of one that a kernel's packages bring, it is what that kernel
/// wants of every other.
///
/// # Errors
/// When the bytes are no module, or it has none.
pub fn vermagic_of(module: &[u8]) -> Result<String, KoError> {
    let info = KoFile::parse(module)?.modinfo()?;
    info.get("vermagic")
        .map(str::to_owned)
        .ok_or(KoError::Missing("a vermagic in .modinfo"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_are_read_with_padding_repeats_and_equal_signs() {
        let info = ModInfo::parse(
            b"license=GPL\0\0\0parm=a:b=c\0import_ns=CXL\0import_ns=DEVMEM\0noise\0depends=\0name=t",
        );
        assert_eq!(info.get("license"), Some("GPL"));
        assert_eq!(info.get("parm"), Some("a:b=c"));
        assert_eq!(info.all("import_ns").collect::<Vec<_>>(), ["CXL", "DEVMEM"]);
        assert_eq!(info.get("depends"), Some(""));
        assert_eq!(info.get("name"), Some("t"));
        assert_eq!(info.get("noise"), None);
    }

    proptest! {
        #[test]
        fn never_panics(bytes: Vec<u8>) {
            let _ = ModInfo::parse(&bytes);
        }

        #[test]
        fn what_is_written_is_read_again(
            fields in proptest::collection::vec(("[a-z_]{1,9}", "[ -~]{0,20}"), 0..9)
        ) {
            let bytes: Vec<u8> = fields.iter().flat_map(|(name, value)| {
                format!("{name}={value}\0").into_bytes()
            }).collect();
            prop_assert_eq!(ModInfo::parse(&bytes).fields, fields);
        }
    }
}
