// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Attestation of real processes: the true one is attested, each kind of other one refused with
//! a reason of its own.

use std::{
    fs,
    num::NonZeroUsize,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::subjects::{Facts, program, sleeper, start};
use sha2::{Digest as _, Sha256};
use tidelock_host::process;
use tidelockd::attest::{
    self, AttestError, Attestation, Attestor, Attestors, Attributes, Hasher, Subject,
};

fn attestors() -> Attestors {
    let some = |number| NonZeroUsize::new(number).unwrap();
    Attestors::new(Attestors::built_in(Arc::new(Hasher::new(
        some(16),
        some(2),
    ))))
}

fn attest(facts: &Facts) -> Result<Attestation, AttestError> {
    let deadline = Instant::now() + Duration::from_mins(1);
    attestors().attest(attest::Facts::of_task(&facts.task()), deadline)
}

fn sha256(path: &Path) -> String {
    hex::encode(Sha256::digest(fs::read(path).unwrap()))
}

#[test]
fn the_true_process_is_attested() {
    let dir = tempfile::tempdir().unwrap();
    let subject = sleeper(dir.path());
    let attestation = attest(&subject.facts()).unwrap();
    assert_eq!(
        attestation.attributes.exe_sha256,
        Some(sha256(&subject.exe))
    );
    assert_eq!(attestation.facts.comm, "sleeper");
    let mounts = fs::read_link(format!("/proc/{}/ns/mnt", subject.pid())).unwrap();
    let found = format!("mnt:[{}]", attestation.facts.namespaces.mount);
    assert_eq!(mounts.to_str(), Some(found.as_str()));
    // Replaced: it is still the file that runs, and no other, that counts.
    fs::remove_file(&subject.exe).unwrap();
    fs::copy("/bin/true", &subject.exe).unwrap();
    let attestation = attest(&subject.facts()).unwrap();
    let expected = sha256(Path::new("/bin/sleep"));
    assert_eq!(attestation.attributes.exe_sha256, Some(expected));
}

#[test]
fn a_number_that_belongs_to_another_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let subject = sleeper(dir.path());
    for change in [-10_000_000, 10_000_000] {
        let mut facts = subject.facts();
        facts.started = facts.started.wrapping_add_signed(change);
        let error = attest(&facts).unwrap_err();
        assert!(matches!(error, AttestError::Reused { .. }), "{error}");
    }
}

#[test]
fn who_has_ended_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut subject = sleeper(dir.path());
    let facts = subject.facts();
    // Ended and not yet waited for: its number is still its own, and nothing of it can be read.
    subject.child.kill().unwrap();
    while !subject.has_ended() {
        std::thread::yield_now();
    }
    let error = attest(&facts).unwrap_err();
    assert!(matches!(error, AttestError::Gone { .. }), "{error}");
    subject.end();
    let error = attest(&facts).unwrap_err();
    assert!(matches!(error, AttestError::Gone { .. }), "{error}");
    let nobody = Facts {
        pid: u32::MAX,
        ..facts
    };
    assert!(matches!(attest(&nobody), Err(AttestError::Gone { .. })));
}

#[test]
fn who_runs_something_else_by_now_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let next = program(dir.path(), "next");
    let mut shell = process::command("sh");
    shell.args(["-c", "read line; exec \"$0\" 1000"]).arg(&next);
    let sh = fs::canonicalize("/bin/sh").unwrap();
    let mut subject = start(shell, sh.file_name().unwrap().to_str().unwrap());
    let facts = subject.facts();
    attest(&facts).unwrap();
    subject.go_on();
    while !subject.runs(&next) {
        std::thread::yield_now();
    }
    let error = attest(&facts).unwrap_err();
    assert!(
        matches!(error, AttestError::ExecutableChanged { .. }),
        "{error}"
    );
}

#[test]
fn an_executable_that_was_touched_since_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let subject = sleeper(dir.path());
    let facts = subject.facts();
    // Any change of the inode, be it of nothing that matters: what it was cannot be told.
    let mode = fs::metadata(&subject.exe).unwrap().permissions();
    fs::set_permissions(&subject.exe, mode).unwrap();
    let error = attest(&facts).unwrap_err();
    assert!(
        matches!(error, AttestError::ExecutableChanged { .. }),
        "{error}"
    );
    attest(&subject.facts()).unwrap();
}

#[test]
fn another_device_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let subject = sleeper(dir.path());
    let mut facts = subject.facts();
    facts.executable.minor ^= 1;
    let error = attest(&facts).unwrap_err();
    assert!(matches!(error, AttestError::OtherDevice { .. }), "{error}");
}

/// On overlayfs stat(2) shows the device of a layer, and the kernel's inode names the overlay's.
#[test]
fn an_executable_on_overlayfs_is_the_kernels() {
    let dir = tempfile::tempdir().unwrap();
    let dir = fs::canonicalize(dir.path()).unwrap();
    for name in ["base", "base/lower", "merged"] {
        fs::create_dir(dir.join(name)).unwrap();
    }
    // A mount namespace of its own, with a user namespace where that is what it takes.
    let user = if rustix::process::geteuid().is_root() {
        "-m"
    } else {
        "-rm"
    };
    let script = "set -e; cd \"$1\"
        mount -t tmpfs layer base; mkdir base/lower base/upper base/work
        cp /bin/sleep base/lower/layered
        mount -t overlay -o lowerdir=base/lower,upperdir=base/upper,workdir=base/work over merged
        exec merged/layered 1000";
    let mut shell = process::command("unshare");
    shell.args([user, "sh", "-c", script, "sh"]).arg(&dir);
    let subject = start(shell, "layered");
    let facts = subject.facts();
    attest(&facts).unwrap();
    let mut other = facts.clone();
    other.executable.minor ^= 1 << 10;
    let error = attest(&other).unwrap_err();
    assert!(matches!(error, AttestError::OtherDevice { .. }), "{error}");
}

struct Refuses;

impl Attestor for Refuses {
    fn name(&self) -> &'static str {
        "refuses"
    }

    fn attest(&self, subject: &Subject<'_>, found: &mut Attributes) -> Result<(), AttestError> {
        assert!(found.exe_sha256.is_some(), "the built-in ones come first");
        assert_eq!(subject.process.pid(), subject.facts.pid);
        Err(AttestError::Refused {
            attestor: self.name(),
            message: "on purpose".into(),
        })
    }
}

#[test]
fn a_plug_in_can_refuse() {
    let dir = tempfile::tempdir().unwrap();
    let subject = sleeper(dir.path());
    let some = |number| NonZeroUsize::new(number).unwrap();
    let mut list = Attestors::built_in(Arc::new(Hasher::new(some(1), some(1))));
    list.push(Box::new(Refuses));
    let deadline = Instant::now() + Duration::from_mins(1);
    let facts = attest::Facts::of_task(&subject.facts().task());
    let error = Attestors::new(list).attest(facts, deadline).unwrap_err();
    assert_eq!(error.to_string(), "refuses: on purpose");
}

#[test]
fn a_survey_says_what_the_kernel_would() {
    let dir = tempfile::tempdir().unwrap();
    let subject = sleeper(dir.path());
    let truth = subject.facts();
    let survey = attest::survey(subject.pid()).unwrap();
    let id = truth.executable;
    assert_eq!(survey.executable.device, (id.major, id.minor));
    assert_eq!(
        (survey.executable.inode, survey.executable.changed),
        (id.inode, id.changed)
    );
    assert_eq!(survey.exe.as_deref(), Some(truth.exe.as_str()));
    assert_eq!(survey.uid, rustix::process::getuid().as_raw());
    let deadline = Instant::now() + Duration::from_mins(1);
    attestors().attest(survey, deadline).unwrap();
}
