// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The verdict without booting: will this kernel load this module, and is it fit to run there?

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::{
    abi::{AbiReason, Needs, is_gpl},
    code::{CodeFacts, Frame},
    ko::{KoError, KoFile},
    modinfo::ModInfo,
    relocation, returns,
    symvers::Symvers,
};

/// What a kernel wants of a module.
#[derive(Clone, Copy, Debug)]
pub struct KernelFacts<'a> {
    /// The `vermagic` of a module that came with the kernel: see [`crate::vermagic_of`].
    pub vermagic: &'a str,
    /// What it exports.
    pub symvers: &'a Symvers,
}

/// What we want of the module beyond that.
#[derive(Clone, Copy, Debug)]
pub struct CheckPolicy<'a> {
    /// Its name.
    pub module: &'a str,
    /// The largest frame that may lie on a kernel stack, in bytes.
    pub frame_limit: u64,
    /// Whether a function only ever runs on the private stack, whose use the self-test measures.
    pub on_private_stack: fn(&str) -> bool,
}

impl CheckPolicy<'_> {
    /// What holds for tidelock.ko: the Rust core, told by its mangled names and the prefix of
    /// its exports, has a stack of its own.
    pub const TIDELOCK: Self = Self {
        module: "tidelock",
        frame_limit: 1024,
        on_private_stack: |name| {
            ["_R", "_ZN", "tdl_core_"]
                .iter()
                .any(|start| name.starts_with(start))
        },
    };
}

/// What can be wrong with a module.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// It was built for another kernel or another configuration.
    VermagicMismatch,
    /// The kernel does not export a symbol.
    UnresolvedSymbol,
    /// A symbol's type is not the one the module was built with.
    CrcMismatch,
    /// A symbol is in a namespace that the module does not import.
    MissingNamespace,
    /// A symbol is for GPL modules.
    GplOnlySymbol,
    /// The loader does not know a relocation.
    UnknownRelocation,
    /// It uses registers that hold a user's values.
    VectorRegister,
    /// A function takes too much of a kernel stack.
    FrameTooLarge,
    /// A section can be both written and run.
    WritableCode,
    /// The kernel cannot patch a return for the processor it runs on.
    UnlistedReturn,
    /// `.modinfo` lacks a field or has another value than it must.
    BadModinfo,
}

impl FindingKind {
    /// The stable name of the verdict.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::VermagicMismatch => "vermagic-mismatch",
            Self::UnresolvedSymbol => "unresolved-symbol",
            Self::CrcMismatch => "crc-mismatch",
            Self::MissingNamespace => "missing-namespace",
            Self::GplOnlySymbol => "gpl-only-symbol",
            Self::UnknownRelocation => "unknown-relocation",
            Self::VectorRegister => "vector-register",
            Self::FrameTooLarge => "frame-too-large",
            Self::WritableCode => "writable-code",
            Self::UnlistedReturn => "unlisted-return",
            Self::BadModinfo => "bad-modinfo",
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// What kind of thing.
    pub kind: FindingKind,
    /// The symbol, section, function or field.
    pub subject: String,
    /// The rest, for people.
    pub detail: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}: {}",
            self.kind.as_str(),
            self.subject,
            self.detail
        )
    }
}

/// All that can be said of a module and a kernel without booting.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct StaticVerdict {
    /// Everything that is wrong, in order; empty when the module is fit.
    pub findings: Vec<Finding>,
    /// How many symbols it wants of the kernel.
    pub symbols: usize,
    /// The largest frames that lie on a kernel stack.
    pub kernel_frames: Vec<(String, u64)>,
    /// The largest frames that lie on the private stack.
    pub private_frames: Vec<(String, u64)>,
}

impl StaticVerdict {
    /// Whether nothing is wrong.
    pub fn is_fit(&self) -> bool {
        self.findings.is_empty()
    }
}

/// How many of the largest frames a verdict lists.
const FRAMES_LISTED: usize = 10;

/// Judges a module's bytes against a kernel.
///
/// # Errors
/// When the bytes are no module.
pub fn check(
    module: &[u8],
    kernel: &KernelFacts<'_>,
    policy: &CheckPolicy<'_>,
) -> Result<StaticVerdict, KoError> {
    let ko = KoFile::parse(module)?;
    let code = CodeFacts::of(&ko)?;
    let mut findings = modinfo(&ko.modinfo()?, kernel, policy);
    let needs = Needs::of(&ko)?;
    findings.extend(needs.breaks(kernel.symvers).into_iter().map(symbol));
    findings.extend(relocations(&ko)?);
    findings.extend(sections(&ko)?);
    findings.extend(returns::unlisted(&ko)?);
    findings.extend(code.vectors.iter().map(|found| Finding {
        kind: FindingKind::VectorRegister,
        subject: found.function.clone(),
        detail: format!(
            "{} at {:#x}, {} such instructions in all",
            found.instruction, found.offset, found.count
        ),
    }));
    let (private, kernels): (Vec<Frame>, Vec<Frame>) = code
        .frames
        .into_iter()
        .partition(|frame| (policy.on_private_stack)(&frame.function));
    findings.extend(frames(&kernels, policy));
    let listed = |frames: Vec<Frame>| {
        let frames = frames.into_iter().take(FRAMES_LISTED);
        frames.map(|frame| (frame.function, frame.bytes)).collect()
    };
    Ok(StaticVerdict {
        findings,
        symbols: ko.undefined()?.len(),
        kernel_frames: listed(kernels),
        private_frames: listed(private),
    })
}

fn modinfo(info: &ModInfo, kernel: &KernelFacts<'_>, policy: &CheckPolicy<'_>) -> Vec<Finding> {
    let field = |name: &str| info.get(name).unwrap_or("(none)");
    let mut findings = Vec::new();
    let mut expect = |kind, name: &str, right: bool, wanted: &str| {
        if !right {
            findings.push(Finding {
                kind,
                subject: name.into(),
                detail: format!("is {:?}, must be {wanted}", field(name)),
            });
        }
    };
    expect(
        FindingKind::VermagicMismatch,
        "vermagic",
        // The kernel's ends with a space, and a tool may have trimmed it.
        field("vermagic").trim_end() == kernel.vermagic.trim_end(),
        &format!("{:?}", kernel.vermagic.trim_end()),
    );
    let bad = FindingKind::BadModinfo;
    let name = field("name") == policy.module;
    expect(bad, "name", name, &format!("{:?}", policy.module));
    expect(bad, "license", is_gpl(field("license")), "one with GPL");
    expect(bad, "depends", info.get("depends").is_some(), "there");
    findings
}

fn symbol((subject, reason): (String, AbiReason)) -> Finding {
    Finding {
        kind: match reason {
            AbiReason::Missing => FindingKind::UnresolvedSymbol,
            AbiReason::CrcChanged { .. } => FindingKind::CrcMismatch,
            AbiReason::GplOnly => FindingKind::GplOnlySymbol,
            AbiReason::Namespace(_) => FindingKind::MissingNamespace,
        },
        subject,
        detail: reason.to_string(),
    }
}

/// One finding for each section and type: a compiler's option causes hundreds of the same.
fn relocations(ko: &KoFile<'_>) -> Result<Vec<Finding>, KoError> {
    let mut unknown: BTreeMap<(&str, Option<u32>), (u64, usize)> = BTreeMap::new();
    for found in ko.relocations()? {
        if !found.kind.is_some_and(relocation::is_known) {
            let entry = unknown
                .entry((found.section, found.kind))
                .or_insert((found.offset, 0));
            entry.1 += 1;
        }
    }
    let finding = |((section, kind), (offset, count)): ((&str, Option<u32>), (u64, usize))| {
        let name = kind.map_or("REL, without addend".into(), relocation::name);
        Finding {
            kind: FindingKind::UnknownRelocation,
            subject: section.into(),
            detail: format!("{name} at {offset:#x}, {count} of its kind in all"),
        }
    };
    Ok(unknown.into_iter().map(finding).collect())
}

fn sections(ko: &KoFile<'_>) -> Result<Vec<Finding>, KoError> {
    let sections = ko.loaded_sections()?;
    let both = sections
        .iter()
        .filter(|section| section.is_code() && section.is_writable());
    Ok(both
        .map(|section| Finding {
            kind: FindingKind::WritableCode,
            subject: section.name.into(),
            detail: "it can be both written and run".into(),
        })
        .collect())
}

fn frames(kernels: &[Frame], policy: &CheckPolicy<'_>) -> Vec<Finding> {
    let large = kernels
        .iter()
        .filter(|frame| frame.bytes > policy.frame_limit);
    large
        .map(|frame| Finding {
            kind: FindingKind::FrameTooLarge,
            subject: frame.function.clone(),
            detail: format!(
                "{} bytes of a kernel stack, {} are allowed",
                frame.bytes, policy.frame_limit
            ),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use object::elf;

    use super::*;
    use crate::testing::{self, Builder};

    fn verdict(module: &[u8]) -> StaticVerdict {
        let symvers = Symvers::parse("0x00000007\twanted\tvmlinux\tEXPORT_SYMBOL_GPL\t\n").unwrap();
        let kernel = KernelFacts {
            vermagic: "6.1.0 SMP ",
            symvers: &symvers,
        };
        let policy = CheckPolicy {
            module: "t",
            ..CheckPolicy::TIDELOCK
        };
        check(module, &kernel, &policy).unwrap()
    }

    fn findings(builder: &Builder) -> Vec<(&'static str, String)> {
        let findings = verdict(&builder.bytes()).findings;
        let pair = |finding: Finding| (finding.kind.as_str(), finding.subject);
        findings.into_iter().map(pair).collect()
    }

    fn fit() -> Builder {
        testing::fit().section("__versions", elf::SHF_ALLOC, &testing::version(7, "wanted"))
    }

    #[test]
    fn a_fit_module_has_no_finding() {
        assert_eq!(findings(&fit()), []);
        assert_eq!(verdict(&fit().bytes()).symbols, 1);
        let weak = fit().undefined("absent", elf::R_X86_64_PC32, true);
        assert_eq!(findings(&weak), [], "what is weak may be absent");
        let debug = fit().undefined_in_debug("wanted", elf::R_X86_64_16);
        assert_eq!(findings(&debug), [], "what is not loaded is not relocated");
    }

    #[test]
    fn relocations_and_sections_that_no_kernel_takes_are_found() {
        let got = fit().undefined("wanted", elf::R_X86_64_GOTPCREL, false);
        assert_eq!(findings(&got), [("unknown-relocation", ".text".to_owned())]);
        let text = verdict(&got.bytes()).findings[0].to_string();
        assert!(text.contains("R_X86_64_GOTPCREL at 0x0, 1 of"), "{text}");
        let flags = elf::SHF_ALLOC | elf::SHF_WRITE | elf::SHF_EXECINSTR;
        let writable = fit().section(".wx", flags, &[0x90]);
        assert_eq!(findings(&writable), [("writable-code", ".wx".to_owned())]);
    }

    #[test]
    fn check_sums_are_read_in_both_formats() {
        let wrong = testing::version(8, "wanted");
        let classic = testing::fit().section("__versions", elf::SHF_ALLOC, &wrong);
        let extended = |sum: u8| {
            testing::fit()
                .section("__version_ext_crcs", elf::SHF_ALLOC, &[sum, 0, 0, 0])
                .section("__version_ext_names", elf::SHF_ALLOC, b"wanted\0")
        };
        let mismatch = [("crc-mismatch", "wanted".to_owned())];
        assert_eq!(findings(&classic), mismatch);
        assert_eq!(findings(&extended(8)), mismatch);
        assert_eq!(findings(&extended(7)), []);
        assert_eq!(findings(&testing::fit()), mismatch, "there is none at all");
    }

    #[test]
    fn what_a_module_says_of_itself_is_compared() {
        for (from, to, kind, subject) in [
            ("6.1.0 SMP", "6.1.1 SMP", "vermagic-mismatch", "vermagic"),
            ("name=t", "name=u", "bad-modinfo", "name"),
            ("depends", "DEPENDS", "bad-modinfo", "depends"),
        ] {
            let modinfo = String::from_utf8_lossy(testing::MODINFO).replace(from, to);
            let module = Builder::new(modinfo.as_bytes(), &[0x90]);
            assert_eq!(findings(&module), [(kind, subject.to_owned())]);
        }
        let proprietary = testing::MODINFO.to_vec();
        let text = String::from_utf8_lossy(&proprietary).replace("=GPL", "=MIT");
        let module =
            Builder::new(text.as_bytes(), &[0x90]).undefined("wanted", elf::R_X86_64_PC32, false);
        let kinds: Vec<&str> = findings(&module).iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, ["bad-modinfo", "gpl-only-symbol"]);
    }

    #[test]
    fn large_frames_count_where_they_lie_on_a_kernel_stack() {
        // sub rsp, 0x500; ret
        let code = [0x48, 0x81, 0xec, 0, 5, 0, 0, 0xc3];
        let module = Builder::new(testing::MODINFO, &code).bytes();
        let found = verdict(&module);
        assert_eq!(found.findings.len(), 1);
        assert_eq!(found.findings[0].kind, FindingKind::FrameTooLarge);
        assert_eq!(found.kernel_frames, [("f".to_owned(), 0x500)]);
        let on_private_stack = CheckPolicy::TIDELOCK.on_private_stack;
        for name in ["_RNvCs1_4core3foo", "_ZN4core3fooE", "tdl_core_frame"] {
            assert!(on_private_stack(name), "{name}");
        }
        assert!(!on_private_stack("tdl_device_read"));
    }

    #[test]
    fn what_is_no_module_is_an_error() {
        for bytes in [&b""[..], b"\x7fELF", b"#!/bin/sh\n"] {
            assert!(KoFile::parse(bytes).is_err());
        }
        let mut machine = fit().bytes();
        machine[18] = 0xb7;
        let error = KoFile::parse(&machine).unwrap_err().to_string();
        assert!(error.contains("x86-64"), "{error}");
    }

    proptest::proptest! {
        #[test]
        fn a_damaged_module_never_panics(places in proptest::collection::vec((0_usize..2000, 0_u8..), 1..9)) {
            let mut module = fit().bytes();
            for (place, byte) in places {
                let length = module.len();
                module[place % length] = byte;
            }
            let symvers = Symvers::default();
            let kernel = KernelFacts { vermagic: "", symvers: &symvers };
            let _ = check(&module, &kernel, &CheckPolicy::TIDELOCK);
            let _ = crate::abi(&module, &[]);
        }
    }
}
