// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whether an object may become part of a kernel.
//!
//! Everything here is decided on the bytes of the finished object, not on the flags it was
//! made with: a dependency that sneaks in a vector instruction or a static variable is found.

mod code;
mod frames;
mod layout;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt};

use object::{Object as _, read::elf::ElfFile64};
use serde::{Deserialize, Serialize};

pub use frames::Frame;

/// What was found in an object that may be used.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Inspection {
    /// Bytes of machine code.
    pub text_bytes: u64,
    /// Bytes of constants.
    pub rodata_bytes: u64,
    /// How many functions there are.
    pub functions: u64,
    /// What it leaves for others.
    pub imports: Vec<String>,
    /// Relocations in what is loaded, by type.
    pub relocations: BTreeMap<String, u64>,
    /// Instructions that stop the processor (`ud2`): what is left of aborts.
    pub traps: u64,
    /// The functions that take most stack, the largest first.
    pub largest_frames: Vec<Frame>,
}

/// A rule of kernel code that an object breaks.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Violation {
    /// It calls something that the shim does not give.
    Import(String),
    /// Something the shim calls is missing.
    MissingExport(String),
    /// It shows a name that nobody should see.
    Export(String),
    /// A relocation that not every kernel's loader knows.
    Relocation {
        /// Its type.
        kind: String,
        /// In which section.
        section: String,
    },
    /// A section that has no place in it.
    Section {
        /// Its name.
        name: String,
        /// Why.
        why: &'static str,
    },
    /// An instruction that a kernel must not execute there.
    Instruction {
        /// In which function.
        function: String,
        /// Where in it.
        offset: u64,
        /// What it is.
        what: String,
        /// Why not.
        why: &'static str,
    },
    /// A function that takes too much stack.
    Frame(Frame),
}

/// The object cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// It cannot be read.
    #[error("the core's object cannot be read: {0}")]
    Unreadable(String),
    /// It breaks rules.
    #[error("the core's object breaks {} rule(s) of kernel code:{}", .0.len(), list(.0))]
    Refused(Vec<Violation>),
}

/// Reads an object and checks every rule.
///
/// # Errors
/// When it cannot be read or breaks a rule; all that it breaks is told.
pub fn inspect(bytes: &[u8]) -> Result<Inspection, InspectError> {
    let unreadable = |error: &dyn fmt::Display| InspectError::Unreadable(error.to_string());
    let file: ElfFile64<'_> = ElfFile64::parse(bytes).map_err(|error| unreadable(&error))?;
    let functions = layout::functions(&file);
    let mut violations = layout::violations(&file);
    let code = code::scan(&file, &functions).map_err(|error| unreadable(&error))?;
    violations.extend(code.violations);
    let frames = frames::frames(&file, &functions).map_err(|error| unreadable(&error))?;
    violations.extend(frames::too_large(&frames));
    if !violations.is_empty() {
        violations.sort();
        return Err(InspectError::Refused(violations));
    }
    let size = |name| layout::size(&file, name);
    Ok(Inspection {
        text_bytes: size(".text"),
        rodata_bytes: size(".rodata"),
        functions: functions.len() as u64,
        imports: layout::imports(&file),
        relocations: layout::relocations(&file),
        traps: code.traps,
        largest_frames: frames.into_iter().take(10).collect(),
    })
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Import(name) => write!(f, "{name} is called, and nobody gives it"),
            Self::MissingExport(name) => write!(f, "{name} is missing"),
            Self::Export(name) => write!(f, "{name} is visible to the rest of the kernel"),
            Self::Relocation { kind, section } => {
                write!(
                    f,
                    "relocation {kind} in {section}: not every kernel's loader knows it"
                )
            }
            Self::Section { name, why } => write!(f, "section {name}: {why}"),
            Self::Instruction {
                function,
                offset,
                what,
                why,
            } => write!(f, "{function}+{offset:#x}: {what}: {why}"),
            Self::Frame(frame) => write!(
                f,
                "{} takes {} bytes of stack, and {} are allowed",
                frame.function,
                frame.bytes,
                frames::LARGEST
            ),
        }
    }
}

/// The first few; a wrong flag can break a rule thousands of times.
fn list(violations: &[Violation]) -> String {
    const SHOWN: usize = 12;
    let shown = violations.iter().take(SHOWN);
    let text: String = shown.map(|violation| format!("\n  {violation}")).collect();
    match violations.len().checked_sub(SHOWN) {
        None | Some(0) => text,
        Some(more) => format!("{text}\n  and {more} more"),
    }
}

/// A function's place in the code.
pub(crate) struct Function {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) name: String,
}

/// Which function `address` belongs to, and where in it.
pub(crate) fn locate(functions: &[Function], address: u64) -> (String, u64) {
    let after = functions.partition_point(|function| function.start <= address);
    match after.checked_sub(1).and_then(|at| functions.get(at)) {
        Some(function) if address < function.end => {
            (function.name.clone(), address - function.start)
        }
        _ => (".text".into(), address),
    }
}

/// Whether `file` has a section `name`, and its bytes.
pub(crate) fn section_data<'a>(
    file: &ElfFile64<'a>,
    name: &str,
) -> Result<(u64, &'a [u8]), object::Error> {
    use object::ObjectSection as _;
    match file.section_by_name(name) {
        Some(section) => Ok((section.address(), section.data()?)),
        None => Ok((0, &[])),
    }
}
