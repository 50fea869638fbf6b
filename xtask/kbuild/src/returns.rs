// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whether the kernel can patch every return of a module.
//!
//! Code built with `-mfunction-return=thunk-extern` returns by a jump to `__x86_return_thunk`.
//! What the processor at hand needs instead (Retbleed, SRSO, ITS) the kernel writes over those
//! jumps when it loads the module, but only over those that objtool has listed in
//! `.return_sites` (`apply_returns()`, arch/x86/kernel/alternative.c). An object that objtool
//! never saw keeps the plain thunk, which mitigates nothing.

use crate::{
    check::{Finding, FindingKind},
    ko::{KoError, KoFile},
};

const THUNK: &str = "__x86_return_thunk";
const SITES: &str = ".return_sites";
/// An entry of the list: an offset from itself.
const ENTRY: usize = 4;

/// A finding when there are returns that are in no list.
///
/// # Errors
/// When the module's tables are damaged.
pub(crate) fn unlisted(ko: &KoFile<'_>) -> Result<Option<Finding>, KoError> {
    let returns = ko
        .relocations()?
        .iter()
        .filter(|relocation| relocation.symbol == THUNK)
        .count();
    let sections = ko.loaded_sections()?;
    let bytes = sections
        .iter()
        .filter(|section| section.name == SITES)
        .map(|section| section.data.len());
    let listed = bytes.sum::<usize>() / ENTRY;
    Ok((listed < returns).then(|| Finding {
        kind: FindingKind::UnlistedReturn,
        subject: THUNK.into(),
        detail: format!(
            "{returns} returns, of which {SITES} lists {listed}: the kernel cannot patch the \
             others, objtool has not seen them"
        ),
    }))
}

#[cfg(test)]
mod tests {
    use object::elf;

    use super::*;
    use crate::testing;

    fn found(sites: usize) -> Option<String> {
        let module = testing::fit()
            .undefined(THUNK, elf::R_X86_64_PLT32, false)
            .section(SITES, elf::SHF_ALLOC, &vec![0; sites * ENTRY])
            .bytes();
        unlisted(&KoFile::parse(&module).unwrap())
            .unwrap()
            .map(|finding| finding.to_string())
    }

    #[test]
    fn each_return_must_be_in_the_list() {
        assert_eq!(found(1), None);
        assert_eq!(found(2), None);
        let text = found(0).unwrap();
        assert!(text.starts_with("unlisted-return: "), "{text}");
        assert!(
            text.contains("1 returns, of which .return_sites lists 0"),
            "{text}"
        );
        let none = testing::fit().bytes();
        assert_eq!(unlisted(&KoFile::parse(&none).unwrap()).unwrap(), None);
    }
}
