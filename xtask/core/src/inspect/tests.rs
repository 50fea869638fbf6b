// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Objects made for it: one that keeps every rule, and each rule broken once.

use gimli::{
    Encoding, Format, LittleEndian, X86_64,
    write::{
        Address, CallFrameInstruction, CommonInformationEntry, DebugFrame, EndianVec,
        FrameDescriptionEntry, FrameTable,
    },
};
use object::{
    Architecture, BinaryFormat, Endianness, RelocationFlags, SectionFlags, SectionKind,
    SymbolFlags, SymbolKind, SymbolScope, elf,
    write::{Object, Relocation, Symbol, SymbolSection},
};

use super::*;
use crate::recipe::EXPORTS;

/// What differs from an object that keeps every rule.
#[derive(Clone)]
struct Draft {
    /// Stands between `endbr64` and the return, in each function.
    body: &'static [u8],
    entry: &'static [u8],
    frame: i32,
    relocation: u32,
    undefined: Vec<&'static str>,
    functions: Vec<&'static str>,
    section: Option<(&'static str, u32)>,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            body: b"\x90",
            entry: b"\xf3\x0f\x1e\xfa",
            frame: 64,
            relocation: elf::R_X86_64_PLT32,
            undefined: vec!["tdl_alloc"],
            functions: EXPORTS.to_vec(),
            section: None,
        }
    }
}

fn symbol(name: &str, section: SymbolSection, value: u64, size: u64) -> Symbol {
    Symbol {
        name: name.into(),
        value,
        size,
        kind: SymbolKind::Text,
        scope: SymbolScope::Dynamic,
        weak: false,
        section,
        flags: SymbolFlags::None,
    }
}

fn make(draft: &Draft) -> Vec<u8> {
    let mut object = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
    let text = object.add_section(vec![], b".text".to_vec(), SectionKind::Text);
    let undefined = |name: &str| symbol(name, SymbolSection::Undefined, 0, 0);
    let thunk = object.add_symbol(undefined("__x86_return_thunk"));
    for name in &draft.undefined {
        object.add_symbol(undefined(name));
    }
    for name in &draft.functions {
        // The return is a jump to the thunk.
        let code = [draft.entry, draft.body, b"\xe9\0\0\0\0"].concat();
        let at = object.append_section_data(text, &code, 16);
        let section = SymbolSection::Section(text);
        object.add_symbol(symbol(name, section, at, code.len() as u64));
        let offset = at + code.len() as u64 - 4;
        let flags = RelocationFlags::Elf {
            r_type: draft.relocation,
        };
        let relocation = Relocation {
            offset,
            symbol: thunk,
            addend: -4,
            flags,
        };
        object.add_relocation(text, relocation).unwrap();
    }
    if let Some((name, flags)) = draft.section {
        let section = object.add_section(vec![], name.into(), SectionKind::Data);
        object.append_section_data(section, b"\x90", 1);
        object.section_mut(section).flags = SectionFlags::Elf {
            sh_flags: u64::from(flags | elf::SHF_ALLOC),
        };
    }
    let frames = object.add_section(vec![], b".debug_frame".to_vec(), SectionKind::Debug);
    object.append_section_data(frames, &frame_section(draft.frame), 8);
    object.write().unwrap()
}

/// Call frame information of the first function, as if `.text` began at 0: it does.
fn frame_section(depth: i32) -> Vec<u8> {
    let encoding = Encoding {
        address_size: 8,
        format: Format::Dwarf32,
        version: 4,
    };
    let mut table = FrameTable::default();
    let mut common = CommonInformationEntry::new(encoding, 1, -8, X86_64::RA);
    common.add_instruction(CallFrameInstruction::Cfa(X86_64::RSP, 8));
    let common = table.add_cie(common);
    let mut entry = FrameDescriptionEntry::new(Address::Constant(0), 9);
    entry.add_instruction(4, CallFrameInstruction::CfaOffset(depth));
    entry.add_instruction(8, CallFrameInstruction::CfaOffset(8));
    table.add_fde(common, entry);
    let mut section = DebugFrame::from(EndianVec::new(LittleEndian));
    table.write_debug_frame(&mut section).unwrap();
    section.0.take()
}

fn broken(draft: &Draft) -> Vec<String> {
    match inspect(&make(draft)) {
        Err(InspectError::Refused(violations)) => {
            violations.iter().map(ToString::to_string).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_object_that_keeps_every_rule_is_measured() {
    let found = inspect(&make(&Draft::default())).unwrap();
    assert_eq!(found.functions, EXPORTS.len() as u64);
    assert_eq!(found.imports, ["__x86_return_thunk", "tdl_alloc"]);
    let relocations: Vec<_> = found.relocations.into_iter().collect();
    assert_eq!(
        relocations,
        [("R_X86_64_PLT32".into(), EXPORTS.len() as u64)]
    );
    let frame = Frame {
        function: EXPORTS[0].into(),
        bytes: 64,
    };
    assert_eq!((found.largest_frames, found.traps), (vec![frame], 0));
}

#[test]
fn each_instruction_that_has_no_place_in_a_kernel_is_found() {
    let cases: [(&str, &'static [u8], &str); 12] = [
        ("SSE", b"\x0f\x57\xc0", "xorps: the vector"),
        ("SSE, a move", b"\x66\x0f\x6f\x07", "movdqa: the vector"),
        ("AVX", b"\xc5\xfc\x57\xc0", "vxorps: the vector"),
        ("AVX-512", b"\x62\xf1\x7c\x48\x57\xc0", "vxorps: the vector"),
        ("MMX", b"\x0f\x77", "emms: the floating-point unit"),
        ("x87", b"\xd9\xe8", "fld1: the floating-point unit"),
        (
            "x87, no register",
            b"\xdb\xe3",
            "fninit: the floating-point unit",
        ),
        ("a bare return", b"\xc3", "ret: returns without"),
        ("an indirect call", b"\xff\xd0", "call: jumps without"),
        ("an indirect jump", b"\xff\x20", "jmp: jumps without"),
        ("privileged", b"\xfa", "cli: privileged"),
        ("not an instruction", b"\x06", "cannot be decoded"),
    ];
    for (what, body, said) in cases {
        let draft = Draft {
            body,
            ..Draft::default()
        };
        let found = broken(&draft);
        assert_eq!(found.len(), EXPORTS.len(), "{what}: {found:?}");
        assert!(
            found[0].starts_with(&format!("{}+0x4: ", EXPORTS[0])),
            "{what}: {found:?}"
        );
        assert!(found[0].contains(said), "{what}: {found:?}");
    }
}

#[test]
fn names_relocations_and_entries_are_checked() {
    let draft = Draft::default();
    let undefined = vec!["memcpy_toio"];
    let foreign = Draft {
        undefined,
        ..draft.clone()
    };
    assert_eq!(
        broken(&foreign),
        ["memcpy_toio is called, and nobody gives it"]
    );
    let mut functions = EXPORTS.to_vec();
    let missing = std::mem::replace(&mut functions[3], "surplus");
    let renamed = Draft {
        functions,
        ..draft.clone()
    };
    assert_eq!(
        broken(&renamed),
        [
            format!("{missing} is missing"),
            "surplus is visible to the rest of the kernel".into(),
        ]
    );
    let gotpcrel = Draft {
        relocation: elf::R_X86_64_GOTPCREL,
        ..draft.clone()
    };
    assert_eq!(
        broken(&gotpcrel),
        ["relocation type 9 in .text: not every kernel's loader knows it"]
    );
    let unmarked = Draft {
        entry: b"\x90\x90\x90\x90",
        ..draft
    };
    assert_eq!(
        broken(&unmarked)[0],
        format!(
            "{}+0x0: nop: an entry does not begin with endbr64",
            EXPORTS[0]
        )
    );
}

#[test]
fn sections_and_frames_are_checked() {
    let cases = [
        (".data", elf::SHF_WRITE, "writable data"),
        (".tbss", elf::SHF_WRITE | elf::SHF_TLS, "thread-local"),
        (".text.hot", elf::SHF_EXECINSTR, "not inspected"),
        (".eh_frame", 0, "nobody unwinds"),
        (".init_array", 0, "nobody calls constructors"),
    ];
    for (name, flags, said) in cases {
        let draft = Draft {
            section: Some((name, flags)),
            ..Draft::default()
        };
        let found = broken(&draft);
        assert!(
            found.len() == 1 && found[0].contains(said),
            "{name}: {found:?}"
        );
    }
    let deep = Draft {
        frame: 8200,
        ..Draft::default()
    };
    assert_eq!(
        broken(&deep),
        [format!(
            "{} takes 8200 bytes of stack, and 8192 are allowed",
            EXPORTS[0]
        )]
    );
}

#[test]
fn what_is_no_object_is_said_to_be_unreadable() {
    let whole = make(&Draft::default());
    for bytes in [&b""[..], b"not an object", &whole[..whole.len() / 2]] {
        let error = inspect(bytes).unwrap_err();
        assert!(matches!(error, InspectError::Unreadable(_)), "{error}");
    }
}

#[test]
fn a_long_list_is_cut() {
    let violations = vec![Violation::Import("x".into()); 20];
    let text = InspectError::Refused(violations).to_string();
    assert!(text.contains("breaks 20 rule(s)"), "{text}");
    assert!(
        text.ends_with("and 8 more") && text.lines().count() == 14,
        "{text}"
    );
}
