// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Saved machines: booted once, then each test begins with a copy.
//!
//! A state is a folder named by the digest of all it depends on. The guest's memory is a file of
//! its own that every restored QEMU maps copy-on-write, so that a restore reads next to nothing.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};
use tidelock_host::files::{self, FileError};
use tidelock_model::{KeyBuilder, Sha256};
use tokio::time::sleep;

use crate::{
    machine::{
        arguments::{Machine, Memory, Start},
        qemu::Qemu,
    },
    spec::{CellSpec, Disk},
};

/// Raise it when the same inputs give another state, or are held to another standard.
const VERSION: u32 = 3;
/// How much all saved states may take on disk.
pub const BUDGET: u64 = 4 << 30;
/// Written last: without it a state is not whole.
const FACTS: &str = "facts.json";
const POLL: Duration = Duration::from_millis(50);

/// What was learnt while the state was made.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Facts {
    /// What `uname -r` said.
    pub release: String,
    /// From the start of QEMU to READY.
    pub boot_ms: u64,
    /// The number of the log's last record.
    pub last_record: Option<u64>,
}

/// The folder of one state, held: nobody else makes, uses or removes it as long as this lives,
/// but that several may use it.
#[derive(Debug)]
pub struct Slot {
    dir: PathBuf,
    lock: File,
    role: Role,
}

/// What a slot is held for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    /// To see what is in it.
    Looking,
    /// To fill it: emptied again when that does not come to an end.
    Making,
    /// To restore from it.
    Using,
}

/// A state that is whole.
#[derive(Debug)]
pub struct Saved {
    slot: Slot,
    /// What is known of it.
    pub facts: Facts,
}

/// What was found under a key.
#[derive(Debug)]
pub enum Found {
    /// A state.
    Saved(Saved),
    /// Nothing: it is for the caller to make, alone.
    Absent(Slot),
}

/// The name of the state of a cell under this QEMU.
pub fn key(qemu: &Qemu, machine: &Machine, spec: &CellSpec, initramfs: &[u8]) -> Sha256 {
    // Paths say nothing of what they lead to; that is hashed itself.
    let nowhere = |disk: &Disk| Disk {
        image: PathBuf::new(),
        ..disk.clone()
    };
    let bare = Machine {
        kernel: PathBuf::new(),
        initramfs: PathBuf::new(),
        disks: machine.disks.iter().map(nowhere).collect(),
        memory: Memory::File(PathBuf::new()),
        start: Start::Reset,
        serial: PathBuf::new(),
        sockets: PathBuf::new(),
        ..machine.clone()
    };
    let key = KeyBuilder::new("saved-state", VERSION)
        .digest("qemu", &qemu.digest)
        .text("arguments", &bare.arguments(qemu.version).join("\n"))
        .digest("kernel", &spec.kernel.key)
        .digest("initramfs", &Sha256::of(initramfs));
    let add = |key: KeyBuilder, disk: &Disk| key.digest(&disk.name, &disk.sha256);
    spec.disks.iter().fold(key, add).finish()
}

impl Slot {
    /// The guest's memory.
    pub fn memory(&self) -> PathBuf {
        self.dir.join("memory")
    }

    /// All else of the machine.
    pub fn machine(&self) -> PathBuf {
        self.dir.join("machine")
    }

    /// What it was booted with; QEMU wants it again for a restore.
    pub fn initramfs(&self) -> PathBuf {
        self.dir.join("initramfs")
    }

    /// Marks the state as whole.
    pub fn finish(mut self, facts: Facts) -> Result<Saved, FileError> {
        let path = self.dir.join(FACTS);
        let text = serde_json::to_vec_pretty(&facts)
            .map_err(io::Error::other)
            .map_err(FileError::of("describe", &path))?;
        files::write_atomic(&path, &text)?;
        self.lock
            .lock_shared()
            .map_err(FileError::of("share the lock of", &self.dir))?;
        self.role = Role::Using;
        Ok(Saved { slot: self, facts })
    }

    fn clear(&self) -> Result<(), FileError> {
        for path in [
            self.dir.join(FACTS),
            self.memory(),
            self.machine(),
            self.initramfs(),
        ] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(FileError::of("remove", &path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn facts(&self) -> Option<Facts> {
        let text = fs::read(self.dir.join(FACTS)).ok()?;
        let whole = self.memory().is_file() && self.machine().is_file();
        serde_json::from_slice(&text).ok().filter(|_| whole)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.role == Role::Making {
            // Should it fail, the next who looks for this state empties the slot.
            let _ = self.clear();
        }
    }
}

impl Saved {
    /// Where its files are.
    pub fn slot(&self) -> &Slot {
        &self.slot
    }
}

/// Looks for the state `key` among those in `cache`; waits while another makes it.
pub async fn find(cache: &Path, key: &Sha256) -> Result<Found, FileError> {
    let dir = states(cache).join(&key.to_hex()[..32]);
    loop {
        files::make_dir(&dir)?;
        let path = dir.join("lock");
        let lock = File::create(&path).map_err(FileError::of("create", &path))?;
        let mut slot = Slot {
            dir: dir.clone(),
            lock,
            role: Role::Looking,
        };
        if slot.lock.try_lock_shared().is_ok()
            && let Some(facts) = slot.facts()
        {
            touch(&slot);
            slot.role = Role::Using;
            return Ok(Found::Saved(Saved { slot, facts }));
        }
        // Whoever prunes removes the folder under its lock: it must still be the same one.
        if slot.lock.try_lock().is_ok() && same(&slot.lock, &path) && slot.facts().is_none() {
            slot.clear()?;
            slot.role = Role::Making;
            return Ok(Found::Absent(slot));
        }
        drop(slot);
        sleep(POLL).await;
    }
}

fn states(cache: &Path) -> PathBuf {
    cache.join("states")
}

fn same(file: &File, path: &Path) -> bool {
    let id = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    file.metadata().ok().map(id) == fs::metadata(path).ok().map(id)
}

/// Notes that the state was used; when that fails it is merely pruned sooner.
fn touch(slot: &Slot) {
    let _ = slot.lock.set_modified(SystemTime::now());
}

/// Removes states, the longest unused first, until they take no more than `budget` bytes on
/// disk. Those in use stay. Returns how many went.
pub fn prune(cache: &Path, budget: u64) -> Result<usize, FileError> {
    let parent = states(cache);
    let Ok(entries) = fs::read_dir(&parent) else {
        return Ok(0);
    };
    let mut all: Vec<(SystemTime, u64, PathBuf)> = entries
        .flatten()
        .map(|entry| entry.path())
        .map(|dir| (used(&dir), size(&dir), dir))
        .collect();
    all.sort();
    let mut total: u64 = all.iter().map(|(_, size, _)| size).sum();
    let mut gone = 0;
    for (_, size, dir) in all {
        if total <= budget {
            break;
        }
        let path = dir.join("lock");
        let Ok(lock) = File::options().write(true).open(&path) else {
            continue;
        };
        if lock.try_lock().is_err() || !same(&lock, &path) {
            continue;
        }
        fs::remove_dir_all(&dir).map_err(FileError::of("remove", &dir))?;
        total -= size;
        gone += 1;
    }
    Ok(gone)
}

fn used(dir: &Path) -> SystemTime {
    let time = fs::metadata(dir.join("lock")).and_then(|metadata| metadata.modified());
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}

/// What a folder's files take on disk; the guest's memory has holes.
fn size(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.metadata().ok())
        .map(|metadata| metadata.blocks() * 512)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            release: "6.1".into(),
            boot_ms: 5,
            last_record: Some(3),
        }
    }

    async fn absent(cache: &Path, name: &[u8]) -> Slot {
        match find(cache, &Sha256::of(name)).await.unwrap() {
            Found::Absent(slot) => slot,
            Found::Saved(saved) => panic!("{saved:?}"),
        }
    }

    async fn make(cache: &Path, name: &[u8]) -> Saved {
        let slot = absent(cache, name).await;
        files::write_atomic(&slot.memory(), &[7; 8_192]).unwrap();
        files::write_atomic(&slot.machine(), b"m").unwrap();
        slot.finish(facts()).unwrap()
    }

    #[tokio::test]
    async fn a_state_is_found_again_and_shared_and_a_half_one_is_not() {
        let cache = tempfile::tempdir().unwrap();
        let slot = absent(cache.path(), b"a").await;
        let memory = slot.memory();
        files::write_atomic(&memory, b"m").unwrap();
        drop(slot);
        assert!(!memory.exists(), "an unfinished state was left");
        let saved = make(cache.path(), b"a").await;
        let Found::Saved(again) = find(cache.path(), &Sha256::of(b"a")).await.unwrap() else {
            panic!("not found");
        };
        assert_eq!(again.facts, saved.facts);
        fs::remove_file(saved.slot().machine()).unwrap();
        drop((saved, again));
        drop(absent(cache.path(), b"a").await);
    }

    #[tokio::test]
    async fn one_makes_it_and_the_other_waits() {
        let cache = tempfile::tempdir().unwrap();
        let slot = absent(cache.path(), b"a").await;
        let key = Sha256::of(b"a");
        let waits = find(cache.path(), &key);
        let early = tokio::time::timeout(POLL * 3, waits).await;
        assert!(early.is_err(), "it did not wait: {early:?}");
        files::write_atomic(&slot.memory(), b"m").unwrap();
        files::write_atomic(&slot.machine(), b"m").unwrap();
        let _saved = slot.finish(facts()).unwrap();
        let found = find(cache.path(), &key).await.unwrap();
        assert!(matches!(found, Found::Saved(_)));
    }

    #[tokio::test]
    async fn what_is_unused_goes_and_what_is_used_stays() {
        let cache = tempfile::tempdir().unwrap();
        drop(make(cache.path(), b"old").await);
        let used = make(cache.path(), b"used").await;
        drop(make(cache.path(), b"new").await);
        assert_eq!(prune(cache.path(), u64::MAX).unwrap(), 0);
        assert_eq!(prune(cache.path(), 0).unwrap(), 2);
        assert!(used.slot().memory().is_file());
        drop(absent(cache.path(), b"old").await);
    }
}
