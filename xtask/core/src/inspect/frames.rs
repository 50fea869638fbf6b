// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How much stack each function takes, by the compiler's own account: the call frame
//! information in `.debug_frame` tells where the caller's frame begins, whatever the
//! prologue looks like.

use gimli::{
    BaseAddresses, CfaRule, DebugFrame, EndianSlice, LittleEndian, UnwindContext,
    UnwindSection as _, X86_64,
};
use object::{
    Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget, read::elf::ElfFile64,
};
use serde::{Deserialize, Serialize};

use super::{Function, Violation, locate};

/// The most a single function may take. The private stack has 64 KiB, and the deepest chain
/// of calls must leave half of it free.
pub(super) const LARGEST: u64 = 8 * 1024;

/// A function and its stack.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Frame {
    /// Its name, demangled.
    pub function: String,
    /// Bytes from the caller's frame to the lowest the function goes, return address included.
    pub bytes: u64,
}

/// Frames over the bound.
pub(super) fn too_large(frames: &[Frame]) -> impl Iterator<Item = Violation> {
    let large = frames.iter().filter(|frame| frame.bytes > LARGEST);
    large.cloned().map(Violation::Frame)
}

/// Every function's frame, the largest first.
pub(super) fn frames(
    file: &ElfFile64<'_>,
    functions: &[Function],
) -> Result<Vec<Frame>, Box<dyn std::error::Error>> {
    let bytes = relocated(file, ".debug_frame")?;
    let mut section = DebugFrame::new(&bytes, LittleEndian);
    section.set_address_size(8);
    let bases = BaseAddresses::default();
    let mut context = UnwindContext::new();
    let mut entries = section.entries(&bases);
    let mut frames = Vec::new();
    while let Some(entry) = entries.next()? {
        let gimli::CieOrFde::Fde(partial) = entry else {
            continue;
        };
        let fde = partial.parse(DebugFrame::cie_from_offset)?;
        let deepest =
            deepest::<EndianSlice<'_, LittleEndian>>(&section, &bases, &mut context, &fde)?;
        let (function, _) = locate(functions, fde.initial_address());
        frames.push(Frame {
            function,
            bytes: deepest,
        });
    }
    frames.sort_by(|a, b| {
        b.bytes
            .cmp(&a.bytes)
            .then_with(|| a.function.cmp(&b.function))
    });
    Ok(frames)
}

fn deepest<R: gimli::Reader<Offset = usize>>(
    section: &DebugFrame<R>,
    bases: &BaseAddresses,
    context: &mut UnwindContext<usize>,
    fde: &gimli::FrameDescriptionEntry<R>,
) -> Result<u64, gimli::Error> {
    let mut rows = fde.rows(section, bases, context)?;
    let mut deepest = 0;
    while let Some(row) = rows.next_row()? {
        if let CfaRule::RegisterAndOffset { register, offset } = row.cfa()
            && *register == X86_64::RSP
        {
            deepest = deepest.max(u64::try_from(*offset).unwrap_or(0));
        }
    }
    Ok(deepest)
}

/// A section with its absolute relocations applied, as if everything lay at its own address.
fn relocated(file: &ElfFile64<'_>, name: &str) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let section = file
        .section_by_name(name)
        .ok_or_else(|| format!("there is no {name}: was it built without debug information?"))?;
    let mut bytes = section.data()?.to_vec();
    for (offset, relocation) in section.relocations() {
        let target = match relocation.target() {
            RelocationTarget::Symbol(index) => file.symbol_by_index(index)?.address(),
            _ => 0,
        };
        let value = target
            .wrapping_add_signed(relocation.addend())
            .to_le_bytes();
        let at = usize::try_from(offset)?;
        let len = usize::from(relocation.size()) / 8;
        let place = bytes
            .get_mut(at..at + len)
            .ok_or("a relocation points outside")?;
        place.copy_from_slice(value.get(..len).ok_or("a relocation is too wide")?);
    }
    Ok(bytes)
}
