// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Small modules, made for tests of what is read out of a module's bytes.

use object::{
    Architecture, BinaryFormat, Endianness, RelocationFlags, SectionFlags, SectionKind,
    SymbolFlags, SymbolKind, SymbolScope, elf,
    write::{Object, Relocation, SectionId, Symbol, SymbolSection},
};

/// What is right for [`crate::CheckPolicy`] with the module `t` and the kernel 6.1.
pub(crate) const MODINFO: &[u8] = b"name=t\0license=GPL\0depends=\0vermagic=6.1.0 SMP \0";

/// A module under construction.
pub(crate) struct Builder {
    object: Object<'static>,
    text: SectionId,
}

impl Builder {
    /// A module with `modinfo`, and `code` as the function `f`.
    pub(crate) fn new(modinfo: &[u8], code: &[u8]) -> Self {
        let mut object = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
        let info = object.add_section(Vec::new(), b".modinfo".to_vec(), SectionKind::ReadOnlyData);
        object.append_section_data(info, modinfo, 1);
        let text = object.add_section(Vec::new(), b".text".to_vec(), SectionKind::Text);
        object.append_section_data(text, code, 16);
        object.add_symbol(Symbol {
            name: b"f".to_vec(),
            value: 0,
            size: code.len() as u64,
            kind: SymbolKind::Text,
            scope: SymbolScope::Compilation,
            weak: false,
            section: SymbolSection::Section(text),
            flags: SymbolFlags::None,
        });
        Self { object, text }
    }

    /// Adds a section.
    pub(crate) fn section(mut self, name: &str, sh_flags: u32, data: &[u8]) -> Self {
        let kind = SectionKind::ReadOnlyData;
        let section = self.object.add_section(Vec::new(), name.into(), kind);
        self.object.append_section_data(section, data, 1);
        self.object.section_mut(section).flags = SectionFlags::Elf {
            sh_flags: sh_flags.into(),
        };
        self
    }

    /// Refers to a symbol that is not in the module, from the start of its code.
    pub(crate) fn undefined(self, name: &str, r_type: u32, weak: bool) -> Self {
        let text = self.text;
        self.undefined_in(text, name, r_type, weak)
    }

    /// The same from debug information, which is never loaded.
    pub(crate) fn undefined_in_debug(mut self, name: &str, r_type: u32) -> Self {
        let debug =
            self.object
                .add_section(Vec::new(), b".debug_info".to_vec(), SectionKind::Debug);
        self.object.append_section_data(debug, &[0; 16], 1);
        self.undefined_in(debug, name, r_type, false)
    }

    fn undefined_in(mut self, section: SectionId, name: &str, r_type: u32, weak: bool) -> Self {
        let symbol = self.object.add_symbol(Symbol {
            name: name.into(),
            value: 0,
            size: 0,
            kind: SymbolKind::Unknown,
            scope: SymbolScope::Dynamic,
            weak,
            section: SymbolSection::Undefined,
            flags: SymbolFlags::None,
        });
        let relocation = Relocation {
            offset: 0,
            symbol,
            addend: -4,
            flags: RelocationFlags::Elf { r_type },
        };
        self.object.add_relocation(section, relocation).unwrap();
        self
    }

    /// The module's bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.object.write().unwrap()
    }
}

/// A module that is fit for 6.1.0: it wants one symbol, `wanted`.
pub(crate) fn fit() -> Builder {
    Builder::new(MODINFO, &[0x90; 16]).undefined("wanted", elf::R_X86_64_PLT32, false)
}

/// `__versions` of a symbol.
pub(crate) fn version(crc: u32, name: &str) -> Vec<u8> {
    let mut entry = vec![0; 64];
    entry[..4].copy_from_slice(&crc.to_le_bytes());
    entry[8..8 + name.len()].copy_from_slice(name.as_bytes());
    entry
}
