// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The authority of a node that has no other.
//!
//! Its folder holds `root.pem` and `intermediate.pem`, each a key and its certificate. The root is
//! written once and never again; the intermediate is replaced in one step at half of its life,
//! and an SVID carries the one that signed it, so that no connection notices. A crash at any
//! moment leaves the old intermediate or the new one.

use std::{
    fs::{self, File},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rcgen::Issuer;
use rustix::fs::{FlockOperation, flock};
use rustls_pki_types::CertificateDer;
use tidelock_tls::TrustDomain;

use crate::{
    AuthorityError, Request, Trust,
    key::Key,
    keyfile::{self, Existing, Held, failed},
    profile::{self, Rank, Serial, Validity},
    signer::{Signer, seconds},
};

const DAY: Duration = Duration::from_hours(24);

/// How long what is signed is valid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lifetimes {
    /// Of an SVID, from now on.
    pub svid: Duration,
    /// How long before now everything begins to be valid, for peers whose clock is behind.
    pub skew: Duration,
    /// Of an intermediate. It is replaced when half of that is over.
    pub intermediate: Duration,
    /// Of the root.
    pub root: Duration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self {
            svid: Duration::from_hours(1),
            skew: Duration::from_mins(1),
            intermediate: 14 * DAY,
            root: 3650 * DAY,
        }
    }
}

impl Lifetimes {
    /// Each within half of what signs it, so that nothing outlives its issuer.
    fn check(&self) -> Result<(), AuthorityError> {
        let wrong = |field, reason| Err(AuthorityError::Settings { field, reason });
        if self.svid < Duration::from_mins(1) {
            return wrong("the lifetime of SVIDs", "a minute is the least");
        }
        if self.skew > DAY {
            return wrong("the skew of clocks", "a day is the most");
        }
        if self.svid > self.intermediate / 2 {
            return wrong(
                "the lifetime of SVIDs",
                "half of the intermediate's is the most",
            );
        }
        if self.intermediate > self.root / 2 {
            return wrong(
                "the lifetime of intermediates",
                "half of the root's is the most",
            );
        }
        if self.root > 100 * 365 * DAY {
            return wrong("the lifetime of the root", "a hundred years are the most");
        }
        Ok(())
    }
}

/// A root and an intermediate in a folder.
pub struct Embedded {
    domain: TrustDomain,
    dir: PathBuf,
    lifetimes: Lifetimes,
    root: Signer,
    intermediate: Mutex<Arc<Signer>>,
    /// Held while an intermediate is made and written. Signing goes on meanwhile, by the old one.
    replacing: Mutex<()>,
    /// Held for as long as the folder is ours.
    _lock: File,
}

impl std::fmt::Debug for Embedded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Embedded")
            .field("domain", &self.domain)
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

impl Embedded {
    /// Opens the authority in `dir`, or begins one there when the folder is empty or absent. An
    /// intermediate that is old is for [`Self::renew`].
    ///
    /// # Errors
    /// When the folder holds anything but a whole authority over `domain`, lies open to others,
    /// is used by another process, or when the clock is outside of the root's validity.
    pub fn open(
        dir: &Path,
        domain: TrustDomain,
        lifetimes: Lifetimes,
        now: SystemTime,
    ) -> Result<Self, AuthorityError> {
        lifetimes.check()?;
        let now = whole_seconds(now);
        let lock = own(dir)?;
        let root = open_root(dir, &domain, &lifetimes, now)?;
        root.check(Rank::Root, now)?;
        let path = dir.join(INTERMEDIATE);
        let intermediate = match keyfile::read(&path)? {
            Some(held) => Signer::of(held, Rank::Intermediate, &domain, Some(&root), &path)?,
            None => new_intermediate(dir, &domain, &lifetimes, &root, now)?,
        };
        Ok(Self {
            domain,
            dir: dir.to_owned(),
            lifetimes,
            root,
            intermediate: Mutex::new(Arc::new(intermediate)),
            replacing: Mutex::new(()),
            _lock: lock,
        })
    }

    /// The trust domain it speaks for.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.domain
    }

    /// What makes others trust it.
    pub fn trust(&self) -> Trust {
        Trust {
            domain: self.domain.clone(),
            authorities: vec![self.root.certificate.clone()],
        }
    }

    /// Signs an SVID: the leaf, then the intermediate. The root is in the trust bundle alone. It may
    /// wait for the disk, when there must be a new intermediate.
    ///
    /// # Errors
    /// When it is for another trust domain, the clock is outside of what our own certificates are
    /// valid for, or a new intermediate is needed and cannot be written.
    pub fn sign(
        &self,
        request: &Request,
        now: SystemTime,
    ) -> Result<Vec<CertificateDer<'static>>, AuthorityError> {
        let (id, domain) = (request.spiffe_id(), &self.domain);
        if id.trust_domain() != domain {
            return Err(AuthorityError::Foreign {
                id: id.as_str().into(),
                domain: domain.as_str().into(),
            });
        }
        let now = whole_seconds(now);
        self.root.check(Rank::Root, now)?;
        let mut by = self.current();
        let mut validity = self.lifetimes.validity(now, self.lifetimes.svid);
        // An SVID does not outlive who signed it; nor can an intermediate outlive the root. One that
        // begins later was made while the clock was ahead.
        let ends_first = validity.to > by.validity.to && by.validity.to < self.root.validity.to;
        if ends_first || now < by.validity.from {
            by = self.replace(&by, now)?;
        }
        by.check(Rank::Intermediate, now)?;
        validity.to = validity.to.min(by.validity.to);
        let params = profile::svid(id, Serial::random()?, validity)?;
        let leaf = by.sign(&params, request.key())?;
        Ok(vec![leaf.into(), by.certificate.clone()])
    }

    /// Makes a new intermediate when half of the life of this one is over, long before anybody
    /// needs it, or when it begins later than now, for it was made while the clock was ahead. Whether
    /// it did.
    ///
    /// # Errors
    /// When it cannot be written; the old one signs on while it is valid. When the clock is outside of
    /// the root's validity: then nothing can be signed.
    pub fn renew(&self, now: SystemTime) -> Result<bool, AuthorityError> {
        let now = whole_seconds(now);
        self.root.check(Rank::Root, now)?;
        let current = self.current();
        let due = current.is_past_half(now) || now < current.validity.from;
        if due {
            self.replace(&current, now)?;
        }
        Ok(due)
    }

    /// Makes a new intermediate at once, for the old one's key is not trusted any more. Returns
    /// the certificate of the old one: SVIDs that were signed by it are to be refused.
    ///
    /// # Errors
    /// When it cannot be written; then the old one is still in use.
    pub fn roll(&self, now: SystemTime) -> Result<CertificateDer<'static>, AuthorityError> {
        let old = self.current();
        self.replace(&old, whole_seconds(now))?;
        Ok(old.certificate.clone())
    }

    fn current(&self) -> Arc<Signer> {
        let current = self.intermediate.lock();
        Arc::clone(&current.unwrap_or_else(PoisonError::into_inner))
    }

    /// A new one in the place of `old`, unless somebody else was faster. On the disk first, then
    /// in use.
    fn replace(&self, old: &Arc<Signer>, now: SystemTime) -> Result<Arc<Signer>, AuthorityError> {
        self.root.check(Rank::Root, now)?;
        let one_at_a_time = self.replacing.lock();
        let _one_at_a_time = one_at_a_time.unwrap_or_else(PoisonError::into_inner);
        let current = self.current();
        if !Arc::ptr_eq(&current, old) {
            return Ok(current);
        }
        let new = new_intermediate(&self.dir, &self.domain, &self.lifetimes, &self.root, now)?;
        let new = Arc::new(new);
        let current = self.intermediate.lock();
        *current.unwrap_or_else(PoisonError::into_inner) = Arc::clone(&new);
        Ok(new)
    }
}

impl Lifetimes {
    fn validity(&self, now: SystemTime, lifetime: Duration) -> Validity {
        Validity {
            from: now
                .checked_sub(self.skew)
                .unwrap_or(UNIX_EPOCH)
                .max(UNIX_EPOCH),
            to: now + lifetime,
        }
    }
}

/// No trust domain begins before this was written: 2026, in seconds since 1970.
const BEGINNING: u64 = 1_767_225_600;
const ROOT: &str = "root.pem";
const INTERMEDIATE: &str = "intermediate.pem";

/// Certificates know no less.
fn whole_seconds(time: SystemTime) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds(time))
}

/// Makes the folder when it is absent, and takes it for this process alone.
fn own(dir: &Path) -> Result<File, AuthorityError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(failed("make the folder", dir))?;
    let lock = File::open(dir).map_err(failed("open", dir))?;
    let metadata = lock.metadata().map_err(failed("look at", dir))?;
    keyfile::check_access(dir, &metadata, 0o022)?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {
            // A half-written file may hold a key.
            tidelock_durable::sweep(dir).map_err(failed("sweep", dir))?;
            Ok(lock)
        }
        Err(rustix::io::Errno::WOULDBLOCK) => Err(AuthorityError::Busy {
            path: dir.to_owned(),
        }),
        Err(errno) => Err(failed("lock", dir)(errno.into())),
    }
}

fn open_root(
    dir: &Path,
    domain: &TrustDomain,
    lifetimes: &Lifetimes,
    now: SystemTime,
) -> Result<Signer, AuthorityError> {
    let path = dir.join(ROOT);
    if let Some(held) = keyfile::read(&path)? {
        return Signer::of(held, Rank::Root, domain, None, &path);
    }
    if dir.join(INTERMEDIATE).exists() {
        return Err(AuthorityError::NoRoot { path });
    }
    if seconds(now) < BEGINNING {
        return Err(AuthorityError::Clock { now: seconds(now) });
    }
    let key = Key::generate()?;
    let validity = lifetimes.validity(now, lifetimes.root);
    let params = profile::authority(domain, Rank::Root, Serial::random()?, validity)?;
    let certificate = params.signed_by(&key, &Issuer::from_params(&params, &key))?;
    let certificate = certificate.into();
    let held = Held { key, certificate };
    let text = keyfile::text(&held);
    // What would be refused tomorrow is not written today.
    let root = Signer::of(held, Rank::Root, domain, None, &path)?;
    keyfile::write(&path, &text, Existing::Kept)?;
    Ok(root)
}

/// Makes an intermediate, and writes it in the place of the one before.
fn new_intermediate(
    dir: &Path,
    domain: &TrustDomain,
    lifetimes: &Lifetimes,
    root: &Signer,
    now: SystemTime,
) -> Result<Signer, AuthorityError> {
    let path = dir.join(INTERMEDIATE);
    let key = Key::generate()?;
    let mut validity = lifetimes.validity(now, lifetimes.intermediate);
    validity.to = validity.to.min(root.validity.to);
    let params = profile::authority(domain, Rank::Intermediate, Serial::random()?, validity)?;
    let certificate = root.sign(&params, &key)?.into();
    let held = Held { key, certificate };
    let text = keyfile::text(&held);
    let intermediate = Signer::of(held, Rank::Intermediate, domain, Some(root), &path)?;
    keyfile::write(&path, &text, Existing::Replaced)?;
    Ok(intermediate)
}
