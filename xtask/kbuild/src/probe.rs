// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Questions about a kernel, asked by compiling a few lines each.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path, time::Instant};

use tidelock_host::files;
use tidelock_model::{KeyBuilder, Sha256};

use crate::{
    error::KbuildError,
    headers::Headers,
    infrastructure,
    root::Root,
    sandbox::{self, Sandbox},
    stage::{self, Stage},
};

/// Raise it when the code below can answer the same probe otherwise.
const RECIPE: u32 = 1;

/// Compiles on every kernel whose headers and toolchain are whole.
const CONTROL_YES: (&str, &str) = (
    "tdl_control_yes",
    "#include <linux/kernel.h>\nint tdl_probe(void);\nint tdl_probe(void)\n{\n\treturn 0;\n}\n",
);

/// Compiles on none; with the words that its failure must show.
const CONTROL_NO: (&str, &str) = (
    "tdl_control_no",
    "#error \"tidelock: this must not compile\"\n",
);

/// One question: does this text compile?
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Probe {
    name: String,
    text: Vec<u8>,
}

impl Probe {
    /// A probe called `name`: small letters, digits and `_`, for it becomes a macro's name.
    ///
    /// # Errors
    /// When the name has anything else in it, or is one of the factory's own controls.
    pub fn new(name: &str, text: Vec<u8>) -> Result<Self, KbuildError> {
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if name.is_empty() || !name.chars().all(legal) || name.starts_with("tdl_control") {
            return Err(KbuildError::Sources {
                what: format!(
                    "a probe cannot be called {name:?}: use small letters, digits and _, and not tdl_control..."
                ),
            });
        }
        Ok(Self {
            name: name.into(),
            text,
        })
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The digest of the question.
    pub fn digest(&self) -> Sha256 {
        Sha256::of(&self.text)
    }
}

/// The probes of one kernel.
#[derive(Clone, Copy, Debug)]
pub struct ProbeRequest<'a> {
    /// The toolchain.
    pub root: &'a Root,
    /// The kernel.
    pub headers: &'a Headers,
    /// The questions.
    pub probes: &'a [Probe],
    /// Where to write the log; it is written only when something was compiled.
    pub log: &'a Path,
}

/// What a kernel answered, by the probe's name.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Answers(pub BTreeMap<String, bool>);

impl Answers {
    /// The text of `compat_config.h`.
    pub fn config_header(&self) -> String {
        let mut text = String::from(
            "/* SPDX-License-Identifier: GPL-2.0-only */\n\
             /* What this kernel answered to compat/probes/. */\n",
        );
        for (name, yes) in &self.0 {
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "#define TDL_HAVE_{} {}",
                name.to_ascii_uppercase(),
                u8::from(*yes)
            );
        }
        text
    }
}

/// Asks a kernel every probe that it has not been asked before.
///
/// The stage's key is that of the answers: a probe that changes and is answered as before
/// changes nothing downstream.
///
/// # Errors
/// When the controls show that the toolchain, not the probe, decides what compiles.
pub fn run_probes(cache: &Path, request: &ProbeRequest<'_>) -> Result<Stage<Answers>, KbuildError> {
    let started = Instant::now();
    let mut answers = BTreeMap::new();
    let mut missing = Vec::new();
    for probe in request.probes {
        let key = probe_key(request, probe);
        let place = stage::place(cache, "probes", &key);
        match fs::read(&place).ok().as_deref() {
            Some(b"1") => drop(answers.insert(probe.name.clone(), true)),
            Some(b"0") => drop(answers.insert(probe.name.clone(), false)),
            _ => missing.push((probe, place)),
        }
    }
    let cached = missing.is_empty();
    if !cached {
        let probes: Vec<&Probe> = missing.iter().map(|(probe, _)| *probe).collect();
        let answered = ask(cache, request, &probes)?;
        for (probe, place) in missing {
            let yes = answered.get(&probe.name).copied().unwrap_or(false);
            files::write_atomic(&place, if yes { b"1" } else { b"0" })?;
            answers.insert(probe.name.clone(), yes);
        }
    }
    let answers = Answers(answers);
    let key = KeyBuilder::new("answers", RECIPE)
        .text("config", &answers.config_header())
        .finish();
    Ok(Stage::new(answers, key, cached, started))
}

fn probe_key(request: &ProbeRequest<'_>, probe: &Probe) -> Sha256 {
    let key = KeyBuilder::new("probe", RECIPE)
        .text("name", &probe.name)
        .bytes("text", &probe.text)
        .digest("root", &request.root.key)
        .digest("headers", &request.headers.key)
        .text("kbuild", &kbuild(""))
        .text("script", &script(request.headers, ""));
    sandbox::in_key(key).finish()
}

/// What makes the objects. A probe that warns is a probe whose answer cannot be trusted; objtool
/// has no say in it.
fn kbuild(objects: &str) -> String {
    format!("obj-m :={objects}\nccflags-y := -Werror -g0\nOBJECT_FILES_NON_STANDARD := y\n")
}

/// What runs in the sandbox.
fn script(headers: &Headers, objects: &str) -> String {
    let dir = headers.build_dir();
    format!("make -k -j2 --output-sync=target -C {dir} M=/work{objects}")
}

/// Compiles the controls and `probes` in one `make` that goes on after failures.
fn ask(
    cache: &Path,
    request: &ProbeRequest<'_>,
    probes: &[&Probe],
) -> Result<BTreeMap<String, bool>, KbuildError> {
    let work = stage::work_dir(cache)?;
    let mut names = vec![CONTROL_YES.0, CONTROL_NO.0];
    for (name, text) in [CONTROL_YES, CONTROL_NO] {
        files::write_atomic(&work.path().join(format!("{name}.c")), text.as_bytes())?;
    }
    for probe in probes {
        files::write_atomic(&work.path().join(format!("{}.c", probe.name)), &probe.text)?;
        names.push(&probe.name);
    }
    let objects: String = names.iter().map(|name| format!(" {name}.o")).collect();
    files::write_atomic(&work.path().join("Kbuild"), kbuild(&objects).as_bytes())?;
    let sandbox = Sandbox {
        root: request.root,
        headers: request.headers,
        work: work.path(),
    };
    let ran = sandbox.run(&script(request.headers, &objects))?;
    files::write_atomic(request.log, ran.log.as_bytes())?;
    if let Some(what) = ran.killed() {
        return Err(KbuildError::Toolchain {
            what,
            log: request.log.into(),
        });
    }
    let made: BTreeMap<&str, bool> = names
        .iter()
        .map(|name| (*name, work.path().join(format!("{name}.o")).exists()))
        .collect();
    judge(&made, &ran.log).map_err(|what| KbuildError::Toolchain {
        what,
        log: request.log.into(),
    })
}

/// Whether what was made can be believed: the controls came out right, and every object that is
/// missing has an error in its own file that says why.
fn judge(made: &BTreeMap<&str, bool>, log: &str) -> Result<BTreeMap<String, bool>, String> {
    if let Some(sign) = infrastructure::sign(log) {
        return Err(sign.into());
    }
    if made.get(CONTROL_YES.0) != Some(&true) {
        return Err("a module of one empty function does not compile".into());
    }
    if made.get(CONTROL_NO.0) != Some(&false) || !log.contains("this must not compile") {
        return Err("a file with an #error in it compiles".into());
    }
    let mut answers = BTreeMap::new();
    for (name, yes) in made {
        if [CONTROL_YES.0, CONTROL_NO.0].contains(name) {
            continue;
        }
        if !yes && !log.lines().any(|line| names_file(line, name)) {
            return Err(format!(
                "the probe {name} was not made and nothing says why"
            ));
        }
        answers.insert((*name).to_owned(), *yes);
    }
    Ok(answers)
}

/// Whether a line of the log is about the probe called `name` and no other.
fn names_file(line: &str, name: &str) -> bool {
    line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.'))
        .any(|word| word.strip_suffix(".c") == Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "/work/tdl_control_no.c:2:2: error: #error \"tidelock: this must not compile\"\n\
                       /work/b.c:2:9: error: 'X' undeclared (first use in this function)\n";

    fn made(list: &[(&'static str, bool)]) -> BTreeMap<&'static str, bool> {
        let controls = [(CONTROL_YES.0, true), (CONTROL_NO.0, false)];
        controls.into_iter().chain(list.iter().copied()).collect()
    }

    #[test]
    fn the_header_is_sorted_and_complete() {
        let answers = [("ktls_rekey", false), ("accept_arg", true)];
        let answers = answers
            .into_iter()
            .map(|(name, yes)| (name.to_owned(), yes));
        insta::assert_snapshot!(Answers(answers.collect()).config_header());
    }

    #[test]
    fn answers_are_believed_when_the_controls_are_right() {
        let answers = judge(&made(&[("a", true), ("b", false)]), LOG).unwrap();
        assert_eq!(answers.get("a"), Some(&true));
        assert_eq!(answers.get("b"), Some(&false));
        assert_eq!(answers.len(), 2, "controls are no answers");
    }

    #[test]
    fn a_broken_toolchain_is_no_answer() {
        let broken = |changes: &[(&'static str, bool)], log: &str| {
            judge(&made(changes), log).expect_err("was believed")
        };
        broken(&[(CONTROL_YES.0, false)], LOG);
        broken(&[(CONTROL_NO.0, true)], LOG);
        broken(
            &[("b", false)],
            &format!("{LOG}/bin/sh: 1: awk: not found\n"),
        );
        broken(&[("a", false)], LOG);
        let without = LOG.replace("must not compile", "x");
        broken(&[("b", false)], &without);
    }

    #[test]
    fn a_probes_name_is_not_taken_for_that_of_another() {
        assert!(names_file("/work/ktls.c:1:1: error: x", "ktls"));
        assert!(!names_file("/work/not_ktls.c:1:1: error: x", "ktls"));
        for bad in ["", "Ktls", "a-b", "../x", "tdl_control_yes"] {
            assert!(Probe::new(bad, Vec::new()).is_err(), "{bad}");
        }
    }
}
