// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reasons as the numbers that the kernel carries, and what those mean.
//!
//! A number is made from the text, so that it means the same after a restart: the kernel's
//! verdicts outlive the daemon. The table is bounded; the longest unused is forgotten first, and
//! its number then means nothing until the text comes up again.

use std::{
    num::NonZeroUsize,
    path::PathBuf,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use lru::LruCache;
use sha2::{Digest as _, Sha256};
use tidelock_api::Reason;
use tidelock_wire::{KernelReason, Verdict};

use crate::state::{self, StateError};

/// How many reasons are known at once.
const CAPACITY: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4095);
/// The longest text, in bytes; a policy's own limit is the same.
const MAX_TEXT: usize = 256;

/// The table.
#[derive(Debug)]
pub struct Reasons {
    known: Mutex<LruCache<u32, String>>,
    path: PathBuf,
    dirty: AtomicBool,
}

impl Reasons {
    /// Kept in this file; what cannot be read of it is told and forgotten.
    pub fn load(path: PathBuf) -> Self {
        let mut known = LruCache::new(CAPACITY);
        match state::read(&path) {
            Ok(text) => {
                for (number, text) in parse(text.as_deref().unwrap_or_default()) {
                    known.put(number, text);
                }
            }
            Err(error) => tracing::warn!("reasons of earlier verdicts are not known: {error}"),
        }
        Self {
            known: Mutex::new(known),
            path,
            dirty: AtomicBool::new(false),
        }
    }

    /// The number for a text, from now on.
    pub fn number(&self, text: &str) -> u32 {
        let text = clean(text);
        let mut known = self.known();
        let mut number = hash(&text);
        loop {
            match known.get(&number) {
                Some(found) if *found == text => return number,
                // Two texts of one number: the later one moves up.
                Some(_) => number = in_range(number.wrapping_add(1)),
                None => break,
            }
        }
        known.put(number, text);
        self.dirty.store(true, Ordering::Relaxed);
        number
    }

    /// What a number means, be it ours or the module's.
    pub fn text(&self, number: u32) -> Option<String> {
        if let Some(reason) = KernelReason::from_number(number) {
            return Some(of_kernel(reason).to_owned());
        }
        self.known().peek(&number).cloned()
    }

    /// Everything that is known, by number.
    pub fn all(&self) -> Vec<Reason> {
        let reason = |number, text: &str| Reason {
            number,
            text: text.to_owned(),
        };
        let ours = self.known();
        let ours = ours.iter().map(|(number, text)| reason(*number, text));
        let theirs = KernelReason::ALL.map(|of| reason(of.number(), of_kernel(of)));
        let mut all: Vec<Reason> = ours.chain(theirs).collect();
        all.sort_by_key(|reason| reason.number);
        all
    }

    /// Writes the table down, when it has changed.
    ///
    /// # Errors
    /// When it cannot be written; it is tried again the next time.
    pub fn save(&self) -> Result<(), StateError> {
        if !self.dirty.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        // The longest unused first, so that it is again when the lines are read.
        let text: String = {
            let known = self.known();
            let lines = known.iter().rev();
            lines
                .map(|(number, text)| format!("{number}\t{text}\n"))
                .collect()
        };
        state::write(&self.path, &text).inspect_err(|_| self.dirty.store(true, Ordering::Relaxed))
    }

    fn known(&self) -> MutexGuard<'_, LruCache<u32, String>> {
        // The table is whole after every statement that changes it.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn parse(text: &str) -> impl Iterator<Item = (u32, String)> + '_ {
    text.lines().filter_map(|line| {
        let (number, text) = line.split_once('\t')?;
        let number = number.parse().ok()?;
        // What was not written here is not believed.
        (in_range(number) == number && clean(text) == text).then(|| (number, text.to_owned()))
    })
}

/// One line, of a bounded length.
fn clean(text: &str) -> String {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = text.get(..end).unwrap_or_default();
    text.replace(char::is_control, " ")
}

fn hash(text: &str) -> u32 {
    let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(text));
    in_range(u32::from_le_bytes([a, b, c, d]))
}

/// Not 0, which is what nobody gave a reason for, and none of the module's own.
const fn in_range(number: u32) -> u32 {
    match number % Verdict::KERNEL_REASONS {
        0 => 1,
        number => number,
    }
}

const fn of_kernel(reason: KernelReason) -> &'static str {
    match reason {
        KernelReason::Timeout => "kernel: nobody answered in time",
        KernelReason::Overflow => "kernel: too many connections wait for a verdict",
        KernelReason::NoTask => "kernel: the process cannot be told",
        KernelReason::NoMemory => "kernel: no memory",
        KernelReason::Dead => "kernel: the module's core is dead",
        KernelReason::NoMtls => "kernel: policy wants mTLS, which this module cannot do",
        KernelReason::Exempt => "kernel: the address is exempt",
        KernelReason::Daemon => "kernel: the daemon's own connection",
        KernelReason::Off => "kernel: nothing is in force",
        KernelReason::NoSvid => "kernel: policy wants mTLS, and the process has no SVID",
        KernelReason::Handshake => "kernel: the TLS handshake failed",
        KernelReason::Peer => "kernel: the peer is not who policy allows, or nobody vouches for it",
        KernelReason::Slow => "kernel: the TLS handshake was not done in time",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(dir: &tempfile::TempDir) -> Reasons {
        Reasons::load(dir.path().join("reasons"))
    }

    #[test]
    fn a_text_keeps_its_number_over_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let first = table(&dir);
        let number = first.number("denied: not listed");
        assert_eq!(first.number("denied: not listed"), number);
        assert_ne!(first.number("another"), number);
        first.save().unwrap();
        let second = table(&dir);
        assert_eq!(second.text(number).as_deref(), Some("denied: not listed"));
        assert_eq!(second.number("denied: not listed"), number);
        // Nothing new, nothing written.
        std::fs::remove_file(dir.path().join("reasons")).unwrap();
        second.save().unwrap();
        assert!(!dir.path().join("reasons").exists());
    }

    #[test]
    fn texts_of_one_number_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let reasons = table(&dir);
        let wanted = hash("mine");
        reasons.known().put(wanted, "somebody's".into());
        let mine = reasons.number("mine");
        assert_eq!(mine, wanted + 1);
        assert_eq!(reasons.number("mine"), mine);
        assert_eq!(reasons.text(wanted).as_deref(), Some("somebody's"));
    }

    #[test]
    fn the_table_is_bounded_and_its_lines_are_too() {
        let dir = tempfile::tempdir().unwrap();
        let reasons = table(&dir);
        let first = reasons.number("first");
        for at in 0..CAPACITY.get() {
            reasons.number(&format!("reason {at}"));
        }
        assert_eq!(reasons.text(first), None);
        let long = reasons.number(&format!("a\nb\t{}", "ö".repeat(200)));
        let text = reasons.text(long).unwrap();
        assert!(
            text.starts_with("a b ö") && text.len() <= MAX_TEXT,
            "{text}"
        );
        assert_eq!(
            reasons.all().len(),
            CAPACITY.get() + KernelReason::ALL.len()
        );
    }

    #[test]
    fn the_numbers_of_the_kernel_stay_its_own() {
        assert_eq!(in_range(0), 1);
        assert_eq!(in_range(Verdict::KERNEL_REASONS), 1);
        assert_eq!(in_range(u32::MAX), 0xffff);
        let dir = tempfile::tempdir().unwrap();
        let number = KernelReason::Timeout.number();
        assert!(table(&dir).text(number).unwrap().contains("in time"));
        let parsed: Vec<_> = parse("7\tok\n4294901761\tkernel's\nx\ty\n0\tz\n9\n").collect();
        assert_eq!(parsed, [(7, "ok".to_owned())]);
    }
}
