// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Turns the module's frames of a call trace into file and line.

use std::collections::BTreeMap;

use addr2line::{
    Context,
    gimli::{self, Dwarf, EndianSlice, LittleEndian},
};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind};
use tidelock_model::Crash;

use crate::scan::trace;

mod relocate;

/// The module cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SymboliseError {
    /// It is no object file.
    #[error("the module is no object file: {0}")]
    Object(#[from] object::Error),
    /// Its debug information is broken.
    #[error("the module's debug information: {0}")]
    Dwarf(#[from] gimli::Error),
    /// A relocation of its debug information is of an unknown kind.
    #[error("the module's debug information: relocation of {section} at {offset:#x} is unknown")]
    Relocation {
        /// The section.
        section: String,
        /// In the section.
        offset: u64,
    },
    /// It was stripped.
    #[error(
        "the module has no debug information: keep the one that the build made, not a stripped copy"
    )]
    Stripped,
}

type Slice<'data> = EndianSlice<'data, LittleEndian>;

/// A function of the module.
struct Function {
    /// Where it begins, in the addresses that [`relocate::Layout`] gives.
    address: u64,
    size: u64,
}

/// A module, unstripped, as the build made it (a relocatable object).
pub struct Symbols {
    /// Debug sections with their relocations applied.
    sections: BTreeMap<String, Vec<u8>>,
    functions: BTreeMap<String, Vec<Function>>,
}

/// A place in the source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The function, demangled.
    pub function: String,
    /// As the compiler was given it.
    pub file: String,
    /// Counted from 1; 0 when unknown.
    pub line: u32,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {}:{}", self.function, self.file, self.line)
    }
}

impl Symbols {
    /// Reads the module's symbols and debug information.
    ///
    /// # Errors
    /// When it is no object file or has no debug information.
    pub fn read(module: &[u8]) -> Result<Self, SymboliseError> {
        let file = object::File::parse(module)?;
        let layout = relocate::Layout::of(&file);
        let mut functions: BTreeMap<String, Vec<Function>> = BTreeMap::new();
        for symbol in file.symbols() {
            let is_code = matches!(symbol.kind(), SymbolKind::Text | SymbolKind::Label);
            if let (true, Ok(name), Some(section)) =
                (is_code, symbol.name(), symbol.section_index())
            {
                functions.entry(name.into()).or_default().push(Function {
                    address: layout.address(section) + symbol.address(),
                    size: symbol.size(),
                });
            }
        }
        let mut sections = BTreeMap::new();
        for section in file.sections() {
            let name = section.name()?;
            if name.starts_with(".debug_") {
                sections.insert(name.to_owned(), relocate::apply(&file, &layout, &section)?);
            }
        }
        if !sections.contains_key(".debug_line") {
            return Err(SymboliseError::Stripped);
        }
        Ok(Self {
            sections,
            functions,
        })
    }

    /// Adds file and line to each frame of `crash` that is in `module` and can be found.
    ///
    /// # Errors
    /// When the debug information is broken.
    pub fn annotate(&self, crash: &mut Crash, module: &str) -> Result<(), SymboliseError> {
        let context = self.context()?;
        for text in &mut crash.frames {
            let places = self.places_in(&context, text, module)?;
            if !places.is_empty() {
                let list: Vec<String> = places.iter().map(Place::to_string).collect();
                *text = format!("{text}: {}", list.join(", inlined in "));
            }
        }
        Ok(())
    }

    /// The places of one frame: inlined functions first, the one they are in last. Empty when
    /// the frame is not of `module`, or its function or line is unknown.
    ///
    /// # Errors
    /// When the debug information is broken.
    pub fn places(&self, frame: &str, module: &str) -> Result<Vec<Place>, SymboliseError> {
        self.places_in(&self.context()?, frame, module)
    }

    fn context(&self) -> Result<Context<Slice<'_>>, SymboliseError> {
        let load = |id: gimli::SectionId| -> Result<Slice<'_>, gimli::Error> {
            let bytes = self.sections.get(id.name()).map_or(&[][..], Vec::as_slice);
            Ok(EndianSlice::new(bytes, LittleEndian))
        };
        Ok(Context::from_dwarf(Dwarf::load(load)?)?)
    }

    fn places_in(
        &self,
        context: &Context<Slice<'_>>,
        text: &str,
        module: &str,
    ) -> Result<Vec<Place>, SymboliseError> {
        let (is_exact, text) = match text.strip_prefix("RIP: ") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let Some(address) = trace::parse(text)
            .filter(|frame| frame.module == module)
            .and_then(|frame| self.address(frame.symbol, frame.offset, frame.size))
        else {
            return Ok(Vec::new());
        };
        // A caller's frame holds the address behind the call, which can be the next line's.
        let address = if is_exact {
            address
        } else {
            address.saturating_sub(1)
        };
        let mut frames = context.find_frames(address).skip_all_loads()?;
        let mut places = Vec::new();
        while let Some(found) = frames.next()? {
            let Some(location) = found.location else {
                continue;
            };
            let function = match &found.function {
                Some(name) => name.demangle()?.into_owned(),
                None => "?".into(),
            };
            places.push(Place {
                function,
                file: location.file.unwrap_or("?").into(),
                line: location.line.unwrap_or(0),
            });
        }
        Ok(places)
    }

    /// The kernel says how far it is from a function to the next symbol, padding included:
    /// of several functions of one name, the one that fits best into that is meant.
    fn address(&self, symbol: &str, offset: u64, size: u64) -> Option<u64> {
        let functions = self.functions.get(symbol)?;
        let best = functions
            .iter()
            .filter(|function| function.size <= size && offset <= size)
            .min_by_key(|function| size - function.size)?;
        best.address.checked_add(offset)
    }
}

#[cfg(test)]
mod tests;
