// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A kernel module's file (ELF, relocatable, x86-64), as plain data.

use std::collections::{BTreeMap, BTreeSet};

use object::{
    LittleEndian as LE, elf,
    read::elf::{ElfFile64, FileHeader as _, SectionHeader as _, Sym as _},
};

use crate::modinfo::ModInfo;

/// The bytes are not a module's file.
#[derive(Debug, thiserror::Error)]
pub enum KoError {
    /// They are no ELF file, or a damaged one.
    #[error("malformed-module: {0}")]
    Elf(#[from] object::Error),
    /// They are an ELF file of another kind.
    #[error("malformed-module: not a relocatable x86-64 object")]
    NotAModule,
    /// Something every module has is missing.
    #[error("malformed-module: it lacks {0}")]
    Missing(&'static str),
    /// A section's content is not what its name promises.
    #[error("malformed-module: the section {section} {what}")]
    Section {
        /// Its name.
        section: &'static str,
        /// What is wrong.
        what: &'static str,
    },
}

/// A module's file, read far enough to judge it.
#[derive(Debug)]
pub struct KoFile<'data> {
    elf: ElfFile64<'data, LE>,
}

/// One section that the kernel keeps in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LoadedSection<'data> {
    /// Its place in the file's table of sections.
    pub index: usize,
    /// Its name.
    pub name: &'data str,
    /// `sh_flags`.
    pub flags: u64,
    /// Its bytes; none for `.bss`.
    pub data: &'data [u8],
}

impl LoadedSection<'_> {
    /// Whether the processor may run it.
    pub const fn is_code(&self) -> bool {
        self.flags & elf::SHF_EXECINSTR as u64 != 0
    }

    /// Whether it may be written.
    pub const fn is_writable(&self) -> bool {
        self.flags & elf::SHF_WRITE as u64 != 0
    }
}

/// A function or other label in a section.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Label<'data> {
    /// The section's index.
    pub section: usize,
    /// Where in the section.
    pub offset: u64,
    /// Its size, 0 where unknown.
    pub size: u64,
    /// Its name.
    pub name: &'data str,
}

/// A relocation that the kernel applies when it loads the module.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct LoadedRelocation<'data> {
    /// The name of the section it changes.
    pub section: &'data str,
    /// Where in the section.
    pub offset: u64,
    /// The name of what it refers to; empty when that has none.
    pub symbol: &'data str,
    /// `ELF64_R_TYPE`; `None` in a section without addends, which x86-64 does not load.
    pub kind: Option<u32>,
}

impl<'data> KoFile<'data> {
    /// Reads the headers.
    ///
    /// # Errors
    /// When the bytes are no relocatable x86-64 object.
    pub fn parse(bytes: &'data [u8]) -> Result<Self, KoError> {
        let elf = ElfFile64::<LE>::parse(bytes)?;
        let header = elf.elf_header();
        let (kind, machine) = (header.e_type(LE), header.e_machine(LE));
        if (kind, machine) != (elf::ET_REL, elf::EM_X86_64) {
            return Err(KoError::NotAModule);
        }
        Ok(Self { elf })
    }

    /// The content of a section.
    fn section(&self, name: &str) -> Result<Option<&'data [u8]>, KoError> {
        match self
            .elf
            .elf_section_table()
            .section_by_name(LE, name.as_bytes())
        {
            Some((_, section)) => Ok(Some(section.data(LE, self.elf.data())?)),
            None => Ok(None),
        }
    }

    /// What the module says of itself.
    ///
    /// # Errors
    /// When it has no `.modinfo`.
    pub fn modinfo(&self) -> Result<ModInfo, KoError> {
        let section = self.section(".modinfo")?;
        section
            .map(ModInfo::parse)
            .ok_or(KoError::Missing("a .modinfo section"))
    }

    /// The symbols that the kernel or other modules must bring. What is weak may stay absent.
    ///
    /// # Errors
    /// When the symbol table is damaged.
    pub fn undefined(&self) -> Result<BTreeSet<&'data str>, KoError> {
        let table = self.elf.elf_symbol_table();
        let mut names = BTreeSet::new();
        for symbol in table.iter().skip(1) {
            if symbol.st_shndx(LE) == elf::SHN_UNDEF && symbol.st_bind() != elf::STB_WEAK {
                names.insert(text(symbol.name(LE, table.strings())?)?);
            }
        }
        Ok(names)
    }

    /// The labels of code, in order.
    ///
    /// # Errors
    /// When the symbol table is damaged.
    pub fn functions(&self) -> Result<Vec<Label<'data>>, KoError> {
        let table = self.elf.elf_symbol_table();
        let mut labels = Vec::new();
        for symbol in table.iter() {
            if symbol.st_type() == elf::STT_FUNC && symbol.st_shndx(LE) != elf::SHN_UNDEF {
                labels.push(Label {
                    section: symbol.st_shndx(LE).into(),
                    offset: symbol.st_value(LE),
                    size: symbol.st_size(LE),
                    name: text(symbol.name(LE, table.strings())?)?,
                });
            }
        }
        labels.sort_unstable();
        Ok(labels)
    }

    /// The check sum of each symbol's type as the module was built with it: the `__versions`
    /// section, and the pair of sections that Linux 6.14 brought for long names.
    ///
    /// # Errors
    /// When a section's size cannot be.
    pub fn crcs(&self) -> Result<BTreeMap<String, u32>, KoError> {
        let mut crcs = BTreeMap::new();
        if let Some(versions) = self.section("__versions")? {
            classic_crcs(versions, &mut crcs)?;
        }
        if let (Some(sums), Some(names)) = (
            self.section("__version_ext_crcs")?,
            self.section("__version_ext_names")?,
        ) {
            extended_crcs(sums, names, &mut crcs)?;
        }
        Ok(crcs)
    }

    /// The sections that the kernel keeps in memory.
    ///
    /// # Errors
    /// When a section's header is damaged.
    pub fn loaded_sections(&self) -> Result<Vec<LoadedSection<'data>>, KoError> {
        let table = self.elf.elf_section_table();
        let mut sections = Vec::new();
        for (index, section) in table.iter().enumerate() {
            if section.sh_flags(LE) & u64::from(elf::SHF_ALLOC) != 0 {
                sections.push(LoadedSection {
                    index,
                    name: text(table.section_name(LE, section)?)?,
                    flags: section.sh_flags(LE),
                    data: section.data(LE, self.elf.data())?,
                });
            }
        }
        Ok(sections)
    }

    /// The relocations of those sections; those of debug information are never applied.
    ///
    /// # Errors
    /// When a table of relocations is damaged.
    pub fn relocations(&self) -> Result<Vec<LoadedRelocation<'data>>, KoError> {
        let table = self.elf.elf_section_table();
        let symbols = self.elf.elf_symbol_table();
        let symbol = |index: u32| -> Result<&'data str, KoError> {
            let symbol = symbols.symbol(object::SymbolIndex(index as usize))?;
            text(symbols.symbol_name(LE, symbol)?)
        };
        let mut relocations = Vec::new();
        for section in table.iter() {
            let kind = section.sh_type(LE);
            if kind != elf::SHT_RELA && kind != elf::SHT_REL {
                continue;
            }
            let target = table.section(object::SectionIndex(section.sh_info(LE) as usize))?;
            if target.sh_flags(LE) & u64::from(elf::SHF_ALLOC) == 0 {
                continue;
            }
            let name = text(table.section_name(LE, target)?)?;
            if let Some((entries, _)) = section.rela(LE, self.elf.data())? {
                for entry in entries {
                    relocations.push(LoadedRelocation {
                        section: name,
                        offset: entry.r_offset.get(LE),
                        symbol: symbol(entry.r_sym(LE, false))?,
                        kind: Some(entry.r_type(LE, false)),
                    });
                }
            }
            if let Some((entries, _)) = section.rel(LE, self.elf.data())? {
                relocations.extend(entries.iter().map(|entry| LoadedRelocation {
                    section: name,
                    offset: entry.r_offset.get(LE),
                    symbol: "",
                    kind: None,
                }));
            }
        }
        Ok(relocations)
    }
}

fn text(bytes: &[u8]) -> Result<&str, KoError> {
    std::str::from_utf8(bytes).map_err(|_| KoError::Missing("names in UTF-8"))
}

/// `struct modversion_info`: an unsigned long and a name that fills up 64 bytes.
fn classic_crcs(section: &[u8], crcs: &mut BTreeMap<String, u32>) -> Result<(), KoError> {
    let broken = |what| KoError::Section {
        section: "__versions",
        what,
    };
    let (entries, rest) = section.as_chunks::<64>();
    if !rest.is_empty() {
        return Err(broken("is not a multiple of 64 bytes"));
    }
    for entry in entries {
        let (crc, name) = entry.split_at(8);
        let crc = crc
            .first_chunk::<4>()
            .map(|bytes| u32::from_le_bytes(*bytes))
            .ok_or(broken("is too short"))?;
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        crcs.insert(text(name)?.to_owned(), crc);
    }
    Ok(())
}

fn extended_crcs(
    sums: &[u8],
    names: &[u8],
    crcs: &mut BTreeMap<String, u32>,
) -> Result<(), KoError> {
    let (sums, rest) = sums.as_chunks::<4>();
    let names: Vec<&[u8]> = names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .collect();
    if !rest.is_empty() || sums.len() != names.len() {
        return Err(KoError::Section {
            section: "__version_ext_crcs",
            what: "does not match __version_ext_names",
        });
    }
    for (sum, name) in sums.iter().zip(names) {
        crcs.insert(text(name)?.to_owned(), u32::from_le_bytes(*sum));
    }
    Ok(())
}
