// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The SHA-256 of files, each computed once, few at a time.

use std::{
    collections::HashSet,
    io::{self, Read},
    num::NonZeroUsize,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use lru::LruCache;
use sha2::{Digest as _, Sha256};

/// A state of a file: another content has another key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Key {
    /// The device, as stat(2) gives it.
    pub device: u64,
    /// The inode number.
    pub inode: u64,
    /// The last change of the inode, in nanoseconds since 1970.
    pub changed: i64,
    /// The size in bytes.
    pub size: u64,
}

/// A SHA-256.
pub type Digest = [u8; 32];

/// No digest.
#[derive(Debug)]
pub enum HashError {
    /// There was no time to wait for it.
    Timeout,
    /// The file was changed while it was read.
    Changing,
    /// The file cannot be read.
    Io(io::Error),
}

/// A change within this time of its being seen may be followed by another one under the same
/// time stamp, for file systems count in ticks: such a digest is used and not kept.
const SETTLED: Duration = Duration::from_secs(2);

/// Computes digests and keeps the latest.
#[derive(Debug)]
pub struct Hasher {
    state: Mutex<State>,
    changed: Condvar,
    at_once: usize,
    computed: AtomicU64,
}

#[derive(Debug)]
struct State {
    kept: LruCache<Key, Digest>,
    running: HashSet<Key>,
}

impl Hasher {
    /// One that keeps `capacity` digests and computes `at_once` of them side by side.
    pub fn new(capacity: NonZeroUsize, at_once: NonZeroUsize) -> Self {
        Self {
            state: Mutex::new(State {
                kept: LruCache::new(capacity),
                running: HashSet::new(),
            }),
            changed: Condvar::new(),
            at_once: at_once.get(),
            computed: AtomicU64::new(0),
        }
    }

    /// How many files were read so far.
    pub fn computed(&self) -> u64 {
        self.computed.load(Ordering::Relaxed)
    }

    /// The digest of what `file` reads, whose state is `key`. `key_now` says what the state is
    /// when it has been read; `now` is the time since 1970 that `key.changed` is held against.
    ///
    /// Waits no longer than `deadline` for its turn; once it reads it reads to the end, so that
    /// the next to ask finds the digest there.
    ///
    /// # Errors
    /// When there is no turn in time, the file cannot be read or is changed meanwhile.
    pub fn digest(
        &self,
        key: Key,
        file: impl Read,
        key_now: impl FnOnce() -> io::Result<Key>,
        now: Duration,
        deadline: Instant,
    ) -> Result<Digest, HashError> {
        let turn = match self.turn(key, deadline)? {
            Found::Kept(digest) => return Ok(digest),
            Found::Turn(turn) => turn,
        };
        self.computed.fetch_add(1, Ordering::Relaxed);
        let digest = sha256(file).map_err(HashError::Io)?;
        if key_now().map_err(HashError::Io)? != key {
            return Err(HashError::Changing);
        }
        if settled(key, now) {
            self.lock().kept.put(key, digest);
        }
        drop(turn);
        Ok(digest)
    }

    /// Waits for the digest, or for the turn to compute it.
    fn turn(&self, key: Key, deadline: Instant) -> Result<Found<'_>, HashError> {
        let mut state = self.lock();
        loop {
            if let Some(digest) = state.kept.get(&key) {
                return Ok(Found::Kept(*digest));
            }
            if state.running.len() < self.at_once && state.running.insert(key) {
                return Ok(Found::Turn(Turn { hasher: self, key }));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(HashError::Timeout);
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Both tables are whole after every statement that changes them.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Found<'a> {
    Kept(Digest),
    Turn(Turn<'a>),
}

/// The right to compute, given back however that ends.
struct Turn<'a> {
    hasher: &'a Hasher,
    key: Key,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.hasher.lock().running.remove(&self.key);
        self.hasher.changed.notify_all();
    }
}

fn settled(key: Key, now: Duration) -> bool {
    let changed = i128::from(key.changed);
    let now = i128::try_from(now.as_nanos()).unwrap_or(i128::MAX);
    now - changed >= i128::try_from(SETTLED.as_nanos()).unwrap_or(i128::MAX)
}

fn sha256(mut file: impl Read) -> io::Result<Digest> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hash.finalize().into()),
            Ok(len) => hash.update(buffer.get(..len).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread};

    use super::*;

    const NOW: Duration = Duration::from_secs(1000);

    fn hasher(capacity: usize, at_once: usize) -> Hasher {
        let some = |number| NonZeroUsize::new(number).unwrap();
        Hasher::new(some(capacity), some(at_once))
    }

    fn key(inode: u64) -> Key {
        Key {
            device: 1,
            inode,
            changed: 5,
            size: 3,
        }
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_mins(1)
    }

    fn digest(hasher: &Hasher, key: Key, text: &[u8]) -> Result<Digest, HashError> {
        hasher.digest(key, text, || Ok(key), NOW, soon())
    }

    #[test]
    fn a_digest_is_computed_once_and_the_oldest_is_forgotten() {
        let hasher = hasher(2, 1);
        let abc = digest(&hasher, key(1), b"abc").unwrap();
        assert_eq!(
            hex::encode(abc),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        digest(&hasher, key(1), b"not read").unwrap();
        assert_eq!(hasher.computed(), 1);
        digest(&hasher, key(2), b"x").unwrap();
        digest(&hasher, key(3), b"y").unwrap();
        digest(&hasher, key(1), b"abc").unwrap();
        assert_eq!(hasher.computed(), 4);
    }

    #[test]
    fn another_state_of_a_file_is_another_file() {
        let hasher = hasher(9, 1);
        let first = digest(&hasher, key(1), b"a").unwrap();
        for other in [
            Key {
                changed: 6,
                ..key(1)
            },
            Key { size: 4, ..key(1) },
            Key {
                device: 2,
                ..key(1)
            },
        ] {
            assert_ne!(digest(&hasher, other, b"b").unwrap(), first, "{other:?}");
        }
    }

    #[test]
    fn what_changed_just_now_is_not_kept() {
        let hasher = hasher(9, 1);
        let second = 1_000_000_000;
        for (changed, computed) in [(999 * second, 2), (1001 * second, 4), (998 * second, 5)] {
            let key = Key { changed, ..key(1) };
            digest(&hasher, key, b"a").unwrap();
            digest(&hasher, key, b"a").unwrap();
            assert_eq!(hasher.computed(), computed, "changed at {changed}");
        }
    }

    #[test]
    fn a_file_that_changes_meanwhile_has_no_digest() {
        let hasher = hasher(9, 1);
        let found = hasher.digest(key(1), &b"a"[..], || Ok(key(2)), NOW, soon());
        assert!(matches!(found, Err(HashError::Changing)));
        let found = hasher.digest(key(1), Broken, || Ok(key(1)), NOW, soon());
        assert!(matches!(found, Err(HashError::Io(_))));
        // Neither was kept, and the turn was given back.
        digest(&hasher, key(1), b"a").unwrap();
        assert_eq!(hasher.computed(), 3);
    }

    #[test]
    fn who_comes_meanwhile_waits_for_the_one_that_computes() {
        let hasher = hasher(9, 1);
        let (send, receive) = mpsc::channel();
        thread::scope(|scope| {
            let reading = scope
                .spawn(|| hasher.digest(key(1), Held(Some(receive)), || Ok(key(1)), NOW, soon()));
            // It has its turn once it has begun to read.
            while hasher.computed() == 0 {
                thread::yield_now();
            }
            let late = hasher.digest(key(2), &b"x"[..], || Ok(key(2)), NOW, Instant::now());
            assert!(matches!(late, Err(HashError::Timeout)));
            let waiting = scope.spawn(|| digest(&hasher, key(1), b"never read"));
            send.send(()).unwrap();
            let first = reading.join().unwrap().unwrap();
            assert_eq!(waiting.join().unwrap().unwrap(), first);
        });
        assert_eq!(hasher.computed(), 1);
    }

    struct Broken;

    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("on purpose"))
        }
    }

    /// Reads nothing, once it is let go.
    struct Held(Option<mpsc::Receiver<()>>);

    impl Read for Held {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            if let Some(receive) = self.0.take() {
                receive.recv().unwrap();
            }
            Ok(0)
        }
    }
}
