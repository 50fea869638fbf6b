// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The machine code, instruction by instruction.

use iced_x86::{
    Code, CpuidFeature, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory,
    Mnemonic, Register,
};
use object::read::elf::ElfFile64;

use super::{Function, Violation, locate, section_data};
use crate::recipe::EXPORTS;

/// What the code is like.
pub(super) struct CodeScan {
    pub(super) violations: Vec<Violation>,
    pub(super) traps: u64,
}

/// Decodes all of `.text`. The compiler puts no data into it: jump tables are constants.
pub(super) fn scan(
    file: &ElfFile64<'_>,
    functions: &[Function],
) -> Result<CodeScan, object::Error> {
    let (base, bytes) = section_data(file, ".text")?;
    let mut found = CodeScan {
        violations: Vec::new(),
        traps: 0,
    };
    let mut decoder = Decoder::with_ip(64, bytes, base, DecoderOptions::NONE);
    let mut info = InstructionInfoFactory::new();
    let mut instruction = Instruction::default();
    while decoder.can_decode() {
        decoder.decode_out(&mut instruction);
        if instruction.mnemonic() == Mnemonic::Ud2 {
            found.traps += 1;
        }
        let wrong =
            objection(&instruction, &mut info).or_else(|| entry_objection(&instruction, functions));
        if let Some(why) = wrong {
            let (function, offset) = locate(functions, instruction.ip());
            found.violations.push(Violation::Instruction {
                function,
                offset,
                what: format!("{:?}", instruction.mnemonic()).to_lowercase(),
                why,
            });
        }
    }
    Ok(found)
}

/// What is wrong with an instruction anywhere in the core.
fn objection(instruction: &Instruction, info: &mut InstructionInfoFactory) -> Option<&'static str> {
    if instruction.code() == Code::INVALID {
        return Some("cannot be decoded");
    }
    let is_vector = |register: Register| {
        register.is_vector_register()
            || register.is_st()
            || register.is_mm()
            || register.is_k()
            || register.is_tmm()
            || register.is_bnd()
    };
    let used = info.info(instruction).used_registers();
    if used.iter().any(|used| is_vector(used.register())) {
        return Some("the vector and floating-point registers belong to user space");
    }
    let foreign = [CpuidFeature::FPU, CpuidFeature::MMX];
    if foreign
        .iter()
        .any(|feature| instruction.cpuid_features().contains(feature))
    {
        return Some("the floating-point unit belongs to user space");
    }
    if instruction.is_privileged() {
        return Some("privileged: the C shim alone speaks to the machine");
    }
    match instruction.flow_control() {
        FlowControl::Return => Some("returns without the kernel's return thunk"),
        FlowControl::IndirectCall | FlowControl::IndirectBranch => {
            Some("jumps without the kernel's indirect thunk")
        }
        FlowControl::Interrupt if instruction.mnemonic() != Mnemonic::Ud2 => {
            Some("interrupts itself")
        }
        _ => None,
    }
}

/// What C calls by name must be a branch target where the processor checks for one.
fn entry_objection(instruction: &Instruction, functions: &[Function]) -> Option<&'static str> {
    let at = functions.binary_search_by_key(&instruction.ip(), |function| function.start);
    let function = functions.get(at.ok()?)?;
    let is_entry = EXPORTS.contains(&function.name.as_str());
    (is_entry && instruction.mnemonic() != Mnemonic::Endbr64)
        .then_some("an entry does not begin with endbr64")
}
