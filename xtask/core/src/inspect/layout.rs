// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Names, sections and relocations.

use std::collections::{BTreeMap, BTreeSet};

use object::{
    Object as _, ObjectSection as _, ObjectSymbol as _, RelocationFlags, SectionFlags, SymbolKind,
    elf, read::elf::ElfFile64,
};

use super::{Function, Violation};
use crate::recipe::{EXPORTS, IMPORTS};

/// What `apply_relocate_add` of every kernel from 5.10 to 7.3 knows (arch/x86/kernel/module.c).
const RELOCATIONS: [(u32, &str); 7] = [
    (elf::R_X86_64_NONE, "R_X86_64_NONE"),
    (elf::R_X86_64_64, "R_X86_64_64"),
    (elf::R_X86_64_PC32, "R_X86_64_PC32"),
    (elf::R_X86_64_PLT32, "R_X86_64_PLT32"),
    (elf::R_X86_64_32, "R_X86_64_32"),
    (elf::R_X86_64_32S, "R_X86_64_32S"),
    (elf::R_X86_64_PC64, "R_X86_64_PC64"),
];

/// Every function, in the order of addresses; names are demangled.
pub(super) fn functions(file: &ElfFile64<'_>) -> Vec<Function> {
    let mut functions: Vec<Function> = file
        .symbols()
        .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0)
        .map(|symbol| Function {
            start: symbol.address(),
            end: symbol.address() + symbol.size(),
            name: demangle(symbol.name().unwrap_or("?")),
        })
        .collect();
    functions.sort_by_key(|function| (function.start, function.end));
    functions.dedup_by_key(|function| function.start);
    functions
}

fn demangle(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}

/// Names that are left for others, in order.
pub(super) fn imports(file: &ElfFile64<'_>) -> Vec<String> {
    let undefined = file.symbols().filter(object::ObjectSymbol::is_undefined);
    let names: BTreeSet<&str> = undefined
        .filter_map(|symbol| symbol.name().ok())
        .filter(|name| !name.is_empty())
        .collect();
    names.into_iter().map(str::to_owned).collect()
}

/// How many relocations of each type what is loaded has.
pub(super) fn relocations(file: &ElfFile64<'_>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for (_, kind) in loaded_relocations(file) {
        let name = RELOCATIONS.iter().find(|(known, _)| *known == kind);
        let name = name.map_or_else(|| format!("type {kind}"), |(_, name)| (*name).to_owned());
        *counts.entry(name).or_default() += 1;
    }
    counts
}

/// The size of all sections called `name`, or whose name goes on after it with a dot.
pub(super) fn size(file: &ElfFile64<'_>, name: &str) -> u64 {
    file.sections()
        .filter(|section| {
            let rest = section.name().ok().and_then(|own| own.strip_prefix(name));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
        .map(|section| section.size())
        .sum()
}

/// All that names, sections and relocations break.
pub(super) fn violations(file: &ElfFile64<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    let imports = imports(file);
    let unknown = imports
        .into_iter()
        .filter(|name| !IMPORTS.contains(&name.as_str()));
    found.extend(unknown.map(Violation::Import));
    let exports: BTreeSet<&str> = file
        .symbols()
        .filter(|symbol| symbol.is_definition() && symbol.is_global())
        .filter_map(|symbol| symbol.name().ok())
        .collect();
    let missing = EXPORTS.iter().filter(|name| !exports.contains(*name));
    found.extend(missing.map(|name| Violation::MissingExport((*name).into())));
    let surplus = exports.iter().filter(|name| !EXPORTS.contains(name));
    found.extend(surplus.map(|name| Violation::Export((*name).into())));
    found.extend(section_violations(file));
    let mut strange = BTreeSet::new();
    for (section, kind) in loaded_relocations(file) {
        if !RELOCATIONS.iter().any(|(known, _)| *known == kind) {
            let kind = format!("type {kind}");
            strange.insert(Violation::Relocation { kind, section });
        }
    }
    found.extend(strange);
    found
}

fn section_violations(file: &ElfFile64<'_>) -> Vec<Violation> {
    let loaded = file
        .sections()
        .filter(|section| flags(section) & ALLOC != 0);
    loaded
        .filter(|section| section.size() > 0)
        .filter_map(|section| {
            let name = section.name().unwrap_or("?").to_owned();
            let has = |flag| flags(&section) & flag != 0;
            let why = if has(u64::from(elf::SHF_TLS)) {
                "thread-local data: a kernel has none"
            } else if has(u64::from(elf::SHF_WRITE)) {
                "writable data: the core keeps nothing between two calls"
            } else if has(u64::from(elf::SHF_EXECINSTR)) && name != ".text" {
                "code outside .text is not inspected"
            } else if name.starts_with(".eh_frame") || name.ends_with("_array") {
                "nobody unwinds here, and nobody calls constructors"
            } else {
                return None;
            };
            Some(Violation::Section { name, why })
        })
        .collect()
}

const ALLOC: u64 = elf::SHF_ALLOC as u64;

fn flags<'a>(section: &impl object::ObjectSection<'a>) -> u64 {
    match section.flags() {
        SectionFlags::Elf { sh_flags } => sh_flags,
        _ => 0,
    }
}

/// Section and type of each relocation in what is loaded.
fn loaded_relocations<'f>(file: &'f ElfFile64<'_>) -> impl Iterator<Item = (String, u32)> + 'f {
    file.sections()
        .filter(|section| flags(section) & ALLOC != 0)
        .flat_map(|section| {
            let name = section.name().unwrap_or("?").to_owned();
            section
                .relocations()
                .map(move |(_, relocation)| match relocation.flags() {
                    RelocationFlags::Elf { r_type } => (name.clone(), r_type),
                    _ => (name.clone(), u32::MAX),
                })
        })
}
