// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why an authority cannot be opened, or cannot sign.

use std::{io, path::PathBuf};

/// The authority cannot do what it is for. Nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file or folder cannot be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has the folder.
    #[error("{} is in use by another daemon: two would sign by two intermediates", path.display())]
    Busy {
        /// The folder.
        path: PathBuf,
    },
    /// A private key lies open, or the folder of it.
    #[error(
        "{} is open to others than its owner (mode {mode:04o}), so the authority's keys may be \
         known: begin anew in another folder, or chmod go= {} if you are sure",
        path.display(), path.display()
    )]
    Open {
        /// The file or folder.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Another user could change it, or has put it there.
    #[error("{} belongs to the user {uid} and not to us: chown it if you are sure", path.display())]
    Owner {
        /// The file or folder.
        path: PathBuf,
        /// Whose it is.
        uid: u32,
    },
    /// A file is not what was written.
    #[error("{}: {reason}; restore it from a backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The root is gone and what it signed is not. A new one would be another trust domain of the
    /// same name.
    #[error(
        "{} is missing, and an intermediate is there: restore it from a backup, or remove the \
         folder to begin a new trust domain", path.display()
    )]
    NoRoot {
        /// Where it should be.
        path: PathBuf,
    },
    /// The folder belongs to another trust domain.
    #[error(
        "{} is of the trust domain {found}, and {wanted} is configured: a trust domain is not \
         renamed; use another folder", path.display()
    )]
    Domain {
        /// The file.
        path: PathBuf,
        /// The domain that it was made for.
        found: String,
        /// The domain that is configured.
        wanted: String,
    },
    /// By our clock a certificate of the authority is not valid.
    #[error("the {which} is valid from {from} to {to}, and the clock says {now}: {cure}")]
    Validity {
        /// `root` or `intermediate`.
        which: &'static str,
        /// In seconds since 1970.
        from: u64,
        /// In seconds since 1970.
        to: u64,
        /// In seconds since 1970.
        now: u64,
        /// What to do about it.
        cure: &'static str,
    },
    /// The clock says a time before this was written: a root of then would have ended when the
    /// clock is set.
    #[error("the clock says {now} (seconds since 1970), and cannot be right: set it")]
    Clock {
        /// In seconds since 1970.
        now: u64,
    },
    /// It is asked for an identity of another trust domain.
    #[error("{id} is of another trust domain than {domain}, which is the only one we speak for")]
    Foreign {
        /// What is asked for.
        id: String,
        /// Our trust domain.
        domain: String,
    },
    /// The lifetimes do not fit into each other.
    #[error("{field}: {reason}")]
    Settings {
        /// The field.
        field: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
    /// A certificate or a key could not be made.
    #[error("the certificate cannot be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The system has no randomness.
    #[error("the system gives no random numbers")]
    Entropy,
}
