// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Faulty modules, built for real kernels: each must get its own named verdict.

use tidelock_kbuild::{AbiReason, Export, Symvers, abi};
use tidelock_model::Series;

use crate::lab;

/// The verdict of a module that must not build.
fn refused(kernel: &lab::Kernel, name: &str) -> &'static str {
    match kernel.build(name) {
        Ok(_) => panic!("{name} was built for {}", kernel.release),
        Err(error) => {
            assert!(!error.is_infrastructure(), "{}: {error}", kernel.release);
            error.verdict()
        }
    }
}

#[test]
fn a_module_with_nothing_wrong_is_fit_for_every_kernel() {
    for kernel in lab::kernels() {
        let verdict = kernel.check(&kernel.bytes("clean"));
        assert!(
            verdict.is_fit(),
            "{}: {:#?}",
            kernel.release,
            verdict.findings
        );
        assert!(verdict.symbols > 0);
    }
}

#[test]
fn one_that_compiles_on_some_series_only() {
    let changed = Series { major: 6, minor: 4 };
    for kernel in lab::kernels() {
        if kernel.series() < changed {
            kernel.build("one_series_only").unwrap();
        } else {
            assert_eq!(refused(kernel, "one_series_only"), "compile-error");
        }
    }
}

#[test]
fn what_does_not_build_is_named() {
    for kernel in lab::kernels() {
        for (name, verdict) in [
            ("unresolved_symbol", "unresolved-symbol"),
            ("warns", "compile-warning"),
            ("gpl_only", "gpl-only-symbol"),
        ] {
            assert_eq!(
                refused(kernel, name),
                verdict,
                "{name} on {}",
                kernel.release
            );
        }
        // Linux 5.10 still let it pass with a warning.
        let license = match kernel.series().major {
            5 => "compile-warning",
            _ => "modpost-error",
        };
        assert_eq!(refused(kernel, "no_license"), license);
        // Cloud kernels have no USB storage: there the symbol is missing altogether.
        let namespace = match kernel.symvers.get("usb_stor_reset_resume") {
            Some(_) => "missing-namespace",
            None => "unresolved-symbol",
        };
        assert_eq!(refused(kernel, "missing_namespace"), namespace);
    }
}

#[test]
fn an_sse_instruction_and_a_large_frame_are_found_in_the_object() {
    for kernel in lab::kernels() {
        let release = &kernel.release;
        let vector = kernel.bytes("vector_register");
        assert_eq!(kernel.findings(&vector), ["vector-register"], "{release}");
        let frame = kernel.check(&kernel.bytes("large_frame"));
        let found: Vec<_> = frame
            .findings
            .iter()
            // Compilers put the name of a pass behind that of the function.
            .map(|finding| (finding.kind.as_str(), finding.subject.split('.').next()))
            .collect();
        let expected = [("frame-too-large", Some("corpus_large"))];
        assert_eq!(found, expected, "{release}");
    }
}

/// Replaces `from` in the module's bytes by as many of `to`.
fn patched(module: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let place = module
        .windows(from.len())
        .position(|window| window == from.as_bytes())
        .unwrap_or_else(|| panic!("no {from} in the module"));
    let mut module = module.to_vec();
    module[place..place + to.len()].copy_from_slice(to.as_bytes());
    module
}

#[test]
fn patched_bytes_are_found() {
    for kernel in lab::kernels() {
        let clean = kernel.bytes("clean");
        for (from, to, verdict) in [
            ("mod_unload", "mod_Unload", "vermagic-mismatch"),
            ("misc_register\0", "misc_registeR\0", "unresolved-symbol"),
            ("license=GPL\0", "license=MPL\0", "bad-modinfo"),
        ] {
            // A symbol's name is in the table of check sums too, before that of symbols.
            let strings = clean.len() / 2;
            let (head, tail) = clean.split_at(if to.starts_with("misc") { strings } else { 0 });
            let module = [head, &patched(tail, from, to)].concat();
            assert!(
                kernel.findings(&module).contains(&verdict),
                "{from}: {:?}",
                kernel.check(&module).findings
            );
        }
    }
}

#[test]
fn a_module_of_one_kernel_is_not_for_the_next_series() {
    let kernels = lab::kernels();
    let [first, second] = [&kernels[0], &kernels[kernels.len() - 1]];
    assert_ne!(first.series(), second.series(), "the lab is too small");
    let found = second.findings(&first.bytes("clean"));
    assert_eq!(found.first(), Some(&"vermagic-mismatch"), "{found:?}");
}

#[test]
fn the_first_kernel_that_breaks_is_named_with_its_symbol() {
    let kernel = lab::kernel();
    let module = kernel.bytes("clean");
    let without = |name: &str, change: fn(&Export) -> Option<Export>| -> Symvers {
        let text = kernel.headers.module_symvers().unwrap();
        text.lines()
            .filter_map(|line| {
                let symbol = line.split('\t').nth(1)?.to_owned();
                let export = kernel.symvers.get(&symbol)?;
                let export = if symbol == name {
                    change(export)?
                } else {
                    export.clone()
                };
                Some((symbol, export))
            })
            .collect()
    };
    let same = without("", |export| Some(export.clone()));
    let release = |text: &str| text.parse().unwrap();
    let kernels = [
        (kernel.release.clone(), same.clone()),
        (release("9.1.0-1-amd64"), same.clone()),
        (
            release("9.2.0-1-amd64"),
            without("misc_deregister", |_| None),
        ),
    ];
    assert_eq!(abi(&module, &kernels[..2]).unwrap(), None);
    let found = abi(&module, &kernels).unwrap().unwrap();
    assert_eq!(found.release, release("9.2.0-1-amd64"));
    assert_eq!(found.symbol, "misc_deregister");
    assert_eq!(found.reason, AbiReason::Missing);
    let other = without("misc_register", |export| {
        let crc = export.crc ^ 0xff;
        Some(Export {
            crc,
            ..export.clone()
        })
    });
    let found = abi(&module, &[(release("9.3.0-1-amd64"), other)])
        .unwrap()
        .unwrap();
    assert_eq!(found.symbol, "misc_register");
    assert!(matches!(found.reason, AbiReason::CrcChanged { .. }));
}

#[test]
fn sparse_sees_what_the_compiler_does_not() {
    let mut seen = 0;
    for kernel in lab::kernels() {
        let clean = match kernel.sparse("clean") {
            Err(error) => {
                assert_eq!(error.verdict(), "incomplete-packages", "{error}");
                continue;
            }
            Ok(clean) => clean,
        };
        assert!(clean.is_clean(), "{}: {clean:?}", kernel.release);
        kernel.build("sparse").unwrap();
        let report = kernel.sparse("sparse").unwrap();
        assert_eq!(report.complaints.len(), 1, "{report:?}");
        assert!(report.complaints[0].contains("address space"), "{report:?}");
        seen += 1;
    }
    assert!(seen > 0, "no root of the lab has sparse in it");
}
