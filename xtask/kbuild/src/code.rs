// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a module's instructions do that a kernel's must not.

use std::collections::BTreeMap;

use iced_x86::{
    Code, Decoder, DecoderOptions, Instruction, InstructionInfoFactory, Mnemonic, OpKind, Register,
};

use crate::ko::{KoError, KoFile, Label, LoadedSection};

/// The largest frame of one function, as its instructions tell it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Frame {
    /// Bytes that it moves the stack pointer by, what it pushes first included.
    pub bytes: u64,
    /// The function.
    pub function: String,
}

/// A function that uses vector, x87 or MMX registers, which hold a user's values in the kernel.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct VectorUse {
    /// The function, or the section where no label is.
    pub function: String,
    /// Offset in the section of the first such instruction.
    pub offset: u64,
    /// That instruction's name.
    pub instruction: String,
    /// How many such instructions there are in the function.
    pub count: usize,
}

/// What all executable sections of a module come to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CodeFacts {
    /// The functions that use registers that are not the kernel's.
    pub vectors: Vec<VectorUse>,
    /// The frame of each function that has one, largest first.
    pub frames: Vec<Frame>,
}

impl CodeFacts {
    /// Decodes every executable section from its start to its end.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn of(ko: &KoFile<'_>) -> Result<Self, KoError> {
        let functions = ko.functions()?;
        let mut scan = Scan::default();
        for section in ko.loaded_sections()? {
            if section.is_code() {
                let labels: Vec<&Label<'_>> = functions
                    .iter()
                    .filter(|label| label.section == section.index)
                    .collect();
                scan.section(&section, &labels);
            }
        }
        Ok(scan.finish())
    }
}

#[derive(Default)]
struct Scan {
    vectors: BTreeMap<String, VectorUse>,
    frames: BTreeMap<String, FrameScan>,
}

#[derive(Default)]
struct FrameScan {
    pushed: u64,
    moved: u64,
    probed: u64,
    settled: bool,
}

impl Scan {
    fn section(&mut self, section: &LoadedSection<'_>, labels: &[&Label<'_>]) {
        let mut decoder = Decoder::new(64, section.data, DecoderOptions::NONE);
        let mut info = InstructionInfoFactory::new();
        let mut instruction = Instruction::default();
        let mut next = labels.iter().peekable();
        let mut function = section.name.to_owned();
        while decoder.can_decode() {
            decoder.decode_out(&mut instruction);
            while let Some(label) = next.next_if(|label| label.offset <= instruction.ip()) {
                label.name.clone_into(&mut function);
            }
            if foreign_register(&mut info, &instruction) {
                self.vectors
                    .entry(function.clone())
                    .and_modify(|found| found.count += 1)
                    .or_insert_with(|| VectorUse {
                        function: function.clone(),
                        offset: instruction.ip(),
                        instruction: format!("{:?}", instruction.mnemonic()).to_ascii_lowercase(),
                        count: 1,
                    });
            }
            if touches_stack(&instruction) {
                let frame = self.frames.entry(function.clone()).or_default();
                frame.add(&instruction);
            }
        }
    }

    fn finish(self) -> CodeFacts {
        let mut frames: Vec<Frame> = self
            .frames
            .into_iter()
            .map(|(function, frame)| Frame {
                bytes: frame.bytes(),
                function,
            })
            .collect();
        frames.sort_unstable_by(|a, b| b.bytes.cmp(&a.bytes).then(a.function.cmp(&b.function)));
        CodeFacts {
            vectors: self.vectors.into_values().collect(),
            frames,
        }
    }
}

impl FrameScan {
    fn add(&mut self, instruction: &Instruction) {
        match instruction.mnemonic() {
            Mnemonic::Push if !self.settled => self.pushed += 8,
            Mnemonic::Sub => {
                // A frame of several pages is taken in several steps, each touching its page.
                self.settled = true;
                self.moved += instruction.immediate(1);
            }
            Mnemonic::Lea => {
                let below = 0_i64.wrapping_sub(instruction.memory_displacement64().cast_signed());
                self.probed = self.probed.max(u64::try_from(below).unwrap_or(0));
            }
            _ => {}
        }
    }

    fn bytes(&self) -> u64 {
        self.pushed + self.moved.max(self.probed)
    }
}

/// `push`, `sub rsp, imm`, and `lea reg, [rsp - imm]`, with which a loop that touches page by
/// page begins.
fn touches_stack(instruction: &Instruction) -> bool {
    match instruction.mnemonic() {
        Mnemonic::Push => true,
        Mnemonic::Sub => {
            instruction.op0_register() == Register::RSP
                && instruction.op1_kind() != OpKind::Register
                && instruction.op1_kind() != OpKind::Memory
                && instruction.immediate(1) < 1 << 31
        }
        Mnemonic::Lea => {
            instruction.memory_base() == Register::RSP
                && instruction.memory_index() == Register::None
                && instruction.memory_displacement64().cast_signed() < 0
        }
        _ => false,
    }
}

/// Whether the instruction reads or writes a register whose content is a user's.
fn foreign_register(info: &mut InstructionInfoFactory, instruction: &Instruction) -> bool {
    if instruction.code() == Code::INVALID {
        return false;
    }
    if matches!(
        instruction.mnemonic(),
        Mnemonic::Emms | Mnemonic::Vzeroall | Mnemonic::Vzeroupper | Mnemonic::Fninit
    ) {
        return true;
    }
    info.info(instruction).used_registers().iter().any(|used| {
        let register = used.register();
        register.is_vector_register()
            || register.is_mm()
            || register.is_st()
            || register.is_k()
            || register.is_tmm()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(code: &[u8], labels: &[(u64, &str)]) -> CodeFacts {
        let labels: Vec<Label<'_>> = labels
            .iter()
            .map(|(offset, name)| Label {
                section: 1,
                offset: *offset,
                size: 0,
                name,
            })
            .collect();
        let section = LoadedSection {
            index: 1,
            name: ".text",
            flags: 6,
            data: code,
        };
        let mut scan = Scan::default();
        scan.section(&section, &labels.iter().collect::<Vec<_>>());
        scan.finish()
    }

    #[test]
    fn each_family_of_registers_is_found_and_named_with_its_function() {
        for (code, name) in [
            (&[0x66, 0x0f, 0xef, 0xc0][..], "pxor"),
            (&[0x0f, 0x28, 0xc1], "movaps"),
            (&[0xc5, 0xfd, 0xef, 0xc0], "vpxor"),
            (&[0x0f, 0xef, 0xc0], "pxor"),
            (&[0xd8, 0xc1], "fadd"),
            (&[0x0f, 0x77], "emms"),
            (&[0xc5, 0xf8, 0x77], "vzeroupper"),
            (&[0xc5, 0xf8, 0x90, 0xc8], "kmovw"),
        ] {
            let mut text = vec![0x90, 0xc3];
            text.extend_from_slice(code);
            let facts = facts(&text, &[(0, "first"), (2, "second")]);
            assert_eq!(facts.vectors.len(), 1, "{name}");
            assert_eq!(facts.vectors[0].function, "second");
            assert_eq!(facts.vectors[0].offset, 2);
            assert_eq!(facts.vectors[0].instruction, name);
        }
    }

    #[test]
    fn what_only_shares_their_feature_bit_is_the_kernels_too() {
        // pause; lfence; mfence; movnti [rax], ecx; prefetcht0 [rax]; rep stosq; nop [rax]
        let code = [
            0xf3, 0x90, 0x0f, 0xae, 0xe8, 0x0f, 0xae, 0xf0, 0x0f, 0xc3, 0x08, 0x0f, 0x18, 0x08,
            0xf3, 0x48, 0xab, 0x0f, 0x1f, 0x00,
        ];
        assert_eq!(facts(&code, &[(0, "f")]).vectors, []);
    }

    #[test]
    fn frames_are_what_is_pushed_and_what_is_taken() {
        // push rbp; push rbx; sub rsp, 0x200; ret
        let small = [0x55, 0x53, 0x48, 0x81, 0xec, 0, 2, 0, 0, 0xc3];
        // lea r11, [rsp - 0x5000]; sub rsp, 0x1000; ret
        let probed = [
            0x4c, 0x8d, 0x9c, 0x24, 0, 0xb0, 0xff, 0xff, 0x48, 0x81, 0xec, 0, 0x10, 0, 0, 0xc3,
        ];
        let code = [&small[..], &probed].concat();
        let facts = facts(&code, &[(0, "small"), (10, "probed")]);
        let frames: Vec<(&str, u64)> = facts
            .frames
            .iter()
            .map(|frame| (frame.function.as_str(), frame.bytes))
            .collect();
        assert_eq!(frames, [("probed", 0x5000), ("small", 0x210)]);
    }

    proptest::proptest! {
        #[test]
        fn never_panics(code: Vec<u8>) {
            facts(&code, &[(0, "f"), (3, "g")]);
        }
    }
}
