// SPDX-License-Identifier: Apache-2.0 OR MIT
//! On objects that this host's compiler makes, relocatable as a module is.
use std::path::Path;

use tidelock_host::{files, process};

use super::*;

/// Lines are counted as if it were the module's own file.
const SOURCE: &str = r#"#line 10 "kmod/src/chardev.c"
extern int other(int);
int tidelock_write(int a)
{
	return other(a)
		+ 1;
}
static inline __attribute__((always_inline)) void inner(volatile int *p)
{
	*p = 1;
}
void outer(volatile int *p)
{
	inner(p);
}
static __attribute__((used)) int twice(int a)
{
	return a;
}
"#;

/// A second `twice`, longer than the first.
const SECOND: &str = r#"#line 50 "kmod/src/second.c"
static __attribute__((used)) int twice(int a)
{
	volatile int b = a;
	b = b * b + a; b = b * b + a; b = b * b + a; b = b * b + a;
	return b;
}
"#;

fn cc(arguments: &[&str], dir: &Path) {
    let mut command = process::command("cc");
    let status = command.args(arguments).current_dir(dir).status().unwrap();
    assert!(status.success(), "cc {arguments:?}: {status}");
}

/// The object of both sources, made with `flags`.
fn object_of(flags: &[&str]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for (name, text) in [("first.c", SOURCE), ("second.c", SECOND)] {
        files::write_atomic(&dir.join(name), text.as_bytes()).unwrap();
        let nowhere = format!("-fdebug-prefix-map={}=/src", dir.display());
        cc(&[flags, &["-O1", &nowhere, "-c", name]].concat(), dir);
    }
    let linked = ["-r", "-nostdlib", "-o", "module.o", "first.o", "second.o"];
    cc(&linked, dir);
    files::read(&dir.join("module.o")).unwrap()
}

fn sizes(object: &[u8], name: &str) -> Vec<u64> {
    let file = object::File::parse(object).unwrap();
    let mut sizes: Vec<u64> = file
        .symbols()
        .filter(|symbol| symbol.name() == Ok(name))
        .map(|symbol| symbol.size())
        .collect();
    sizes.sort_unstable();
    sizes
}

fn annotated(symbols: &Symbols, frame: &str) -> String {
    let mut crash = Crash {
        verdict: "kernel-oops".into(),
        headline: "Oops: 0000 [#1]".into(),
        frames: vec![frame.into()],
    };
    symbols.annotate(&mut crash, "tidelock").unwrap();
    crash.frames.remove(0)
}

#[test]
fn frames_of_the_module_get_file_and_line() {
    for flags in [&["-g"][..], &["-g", "-gz"], &["-g", "-gdwarf-4"]] {
        let object = object_of(flags);
        let symbols = Symbols::read(&object).unwrap();
        let [size] = sizes(&object, "tidelock_write")[..] else {
            panic!("tidelock_write is not one function");
        };
        // Where it faulted is taken as it is.
        let first = format!("RIP: tidelock_write+0x0/{size:#x} [tidelock]");
        assert_eq!(
            annotated(&symbols, &first),
            format!("{first}: tidelock_write at /src/kmod/src/chardev.c:12"),
            "{flags:?}"
        );
        // A caller's address is the one behind its call: here, behind its last instruction.
        let last = format!("tidelock_write+{size:#x}/{size:#x} [tidelock 0123abcd]");
        assert_eq!(
            annotated(&symbols, &last),
            format!("{last}: tidelock_write at /src/kmod/src/chardev.c:15"),
            "{flags:?}"
        );
    }
}

#[test]
fn what_is_not_of_the_module_or_not_known_stays_as_it_is() {
    let object = object_of(&["-g"]);
    let symbols = Symbols::read(&object).unwrap();
    for frame in [
        "nobody+0x1a/0x40 [tidelock]",
        "tidelock_write+0x1/0x40 [tls]",
        "tidelock_write+0x1/0x40",
        // Known by its name, and too long for what the kernel says.
        "tidelock_write+0x0/0x1 [tidelock]",
        // Beyond the function's end.
        "tidelock_write+0x50/0x40 [tidelock]",
        "tidelock_write+0xffffffffffffffff/0xffffffffffffffff [tidelock]",
        "tidelock_write",
        "",
    ] {
        assert_eq!(annotated(&symbols, frame), frame);
    }
}

#[test]
fn inlined_functions_are_told_with_the_one_they_are_in() {
    let object = object_of(&["-g"]);
    let symbols = Symbols::read(&object).unwrap();
    let size = sizes(&object, "outer")[0];
    let told = (0..size)
        .map(|at| {
            annotated(
                &symbols,
                &format!("RIP: outer+{at:#x}/{size:#x} [tidelock]"),
            )
        })
        .find(|frame| frame.contains("inner"));
    let told = told.expect("an address of inner");
    assert!(
        told.ends_with(
            "inner at /src/kmod/src/chardev.c:18, inlined in outer at /src/kmod/src/chardev.c:22"
        ),
        "{told}"
    );
}

#[test]
fn of_two_functions_with_one_name_the_one_that_fits_is_meant() {
    let object = object_of(&["-g"]);
    let symbols = Symbols::read(&object).unwrap();
    let [short, long] = sizes(&object, "twice")[..] else {
        panic!("twice is not twice there");
    };
    assert!(short < long);
    let file = |size: u64| {
        let frame = format!("RIP: twice+0x0/{size:#x} [tidelock]");
        symbols.places(&frame, "tidelock").unwrap()[0].file.clone()
    };
    assert_eq!(file(short), "/src/kmod/src/chardev.c");
    assert_eq!(file(long - 1), "/src/kmod/src/chardev.c");
    assert_eq!(file(long), "/src/kmod/src/second.c");
    assert_eq!(file(long + 15), "/src/kmod/src/second.c");
}

#[test]
fn a_module_without_debug_information_is_refused() {
    let stripped = Symbols::read(&object_of(&[])).err().unwrap();
    assert!(matches!(stripped, SymboliseError::Stripped), "{stripped}");
    let noise = Symbols::read(b"no object").err().unwrap();
    assert!(matches!(noise, SymboliseError::Object(_)), "{noise}");
}
