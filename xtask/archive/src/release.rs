// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The signed root of an archive's chain: `InRelease`.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use tidelock_model::Sha256;

use crate::{
    deb822::{self, Paragraph},
    openpgp::{self, Keyring},
};

const DAY: Duration = Duration::from_hours(24);

/// A release cannot be trusted.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// A keyring cannot be read.
    #[error("the keyring {}: {reason}. Debian's own is in the package debian-archive-keyring", path.display())]
    Keyring {
        /// The keyring's file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No signature on it is good.
    #[error("the release of {suite} is not signed as it must be: {reason}")]
    BadlySigned {
        /// The suite asked for.
        suite: String,
        /// What is wrong.
        reason: String,
    },
    /// It is signed, and is no release.
    #[error("the release of {suite} cannot be used: {reason}")]
    Malformed {
        /// The suite asked for.
        suite: String,
        /// What is wrong.
        reason: String,
    },
    /// It is signed, and is of another suite.
    #[error("asked for the release of {suite}, the mirror answered with that of {got}")]
    OtherSuite {
        /// The suite asked for.
        suite: String,
        /// The one that came.
        got: String,
    },
    /// It was valid until some time ago.
    #[error(
        "the release of {suite} expired {days} days ago ({valid_until}), and {allowed} days are accepted. The mirror does not follow the archive: use another one with --debian-mirror, or accept its age with `stale-days` of the suite in matrix.toml"
    )]
    Expired {
        /// The suite.
        suite: String,
        /// Its own word.
        valid_until: String,
        /// Full days since then, one more for what is left.
        days: u64,
        /// The suite's `stale-days`.
        allowed: u32,
    },
    /// It is dated after now.
    #[error(
        "the release of {suite} is dated {date}, which is in the future: is this host's clock right?"
    )]
    Future {
        /// The suite.
        suite: String,
        /// Its own word.
        date: String,
    },
}

impl ReleaseError {
    /// The stable name of the verdict.
    pub const fn verdict(&self) -> &'static str {
        match self {
            Self::Keyring { .. } => "no-keyring",
            Self::BadlySigned { .. } => "badly-signed-release",
            Self::Malformed { .. } => "malformed-release",
            Self::OtherSuite { .. } => "other-release",
            Self::Expired { .. } => "expired-release",
            Self::Future { .. } => "future-release",
        }
    }
}

/// A release whose signature is good.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Release {
    /// The digest of the whole `InRelease`.
    pub sha256: Sha256,
    /// When it was made, in its own words.
    pub date: String,
    /// The same as a time.
    pub made: SystemTime,
    /// Until when it is valid, in its own words, where it says so.
    pub valid_until: Option<String>,
    /// Days past that time, when `stale-days` let it through; 0 for one that is in time.
    pub days_late: u64,
    /// The fingerprints of the keys whose signatures are good.
    pub signers: Vec<String>,
    /// Whether files can be had by their digest.
    pub by_hash: bool,
    files: BTreeMap<String, (u64, Sha256)>,
}

impl Release {
    /// The size and digest of one of its files, such as `main/binary-amd64/Packages.xz`.
    pub fn file(&self, path: &str) -> Option<(u64, Sha256)> {
        self.files.get(path).copied()
    }
}

/// Verifies the bytes of an `InRelease`: its signature, that it is of `suite`, its dates.
///
/// `stale_days` past its end are accepted, and noted in [`Release::days_late`].
pub fn verify(
    suite: &str,
    bytes: &[u8],
    keyring: &Keyring,
    now: SystemTime,
    stale_days: u32,
) -> Result<Release, ReleaseError> {
    let signed =
        openpgp::verify(bytes, keyring, now).map_err(|reason| ReleaseError::BadlySigned {
            suite: suite.into(),
            reason,
        })?;
    let mut release = parse(suite, &signed.text)?;
    release.sha256 = Sha256::of(bytes);
    release.signers = signed.signers;
    if release.made > now + DAY {
        return Err(ReleaseError::Future {
            suite: suite.into(),
            date: release.date,
        });
    }
    if let Some(text) = &release.valid_until {
        let until = time(suite, "Valid-Until", text)?;
        let late = now.duration_since(until).unwrap_or(Duration::ZERO);
        release.days_late = late.as_secs().div_ceil(DAY.as_secs());
        if release.days_late > u64::from(stale_days) {
            return Err(ReleaseError::Expired {
                suite: suite.into(),
                valid_until: text.clone(),
                days: release.days_late,
                allowed: stale_days,
            });
        }
    }
    Ok(release)
}

/// Reads the text of a release, of which nothing has been verified here.
fn parse(suite: &str, text: &str) -> Result<Release, ReleaseError> {
    let malformed = |reason: String| ReleaseError::Malformed {
        suite: suite.into(),
        reason,
    };
    let paragraph = deb822::paragraph(text).map_err(|error| malformed(error.to_string()))?;
    let names = [paragraph.get("Suite"), paragraph.get("Codename")];
    if !names.contains(&Some(suite)) {
        return Err(ReleaseError::OtherSuite {
            suite: suite.into(),
            got: names.into_iter().flatten().collect::<Vec<_>>().join(" or "),
        });
    }
    let date = paragraph
        .get("Date")
        .ok_or_else(|| malformed("it has no Date".into()))?;
    Ok(Release {
        sha256: Sha256::of(b""),
        date: date.into(),
        made: time(suite, "Date", date)?,
        valid_until: paragraph.get("Valid-Until").map(str::to_owned),
        days_late: 0,
        signers: Vec::new(),
        by_hash: paragraph.get("Acquire-By-Hash") == Some("yes"),
        files: files(&paragraph).map_err(malformed)?,
    })
}

/// The list of files with their SHA-256; weaker lists are not looked at.
fn files(paragraph: &Paragraph<'_>) -> Result<BTreeMap<String, (u64, Sha256)>, String> {
    let list = paragraph
        .get("SHA256")
        .ok_or("it has no list of SHA-256 digests")?;
    list.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| {
            let mut words = line.split_ascii_whitespace();
            let entry = (|| {
                let sha256 = words.next()?.parse().ok()?;
                let size = words.next()?.parse().ok()?;
                Some((words.next()?.to_owned(), (size, sha256)))
            })();
            entry
                .filter(|_| words.next().is_none())
                .ok_or_else(|| format!("{line:?} is no digest, size and path"))
        })
        .collect()
}

/// Reads a date of a release, such as `Sat, 09 Aug 2025 09:16:30 UTC`.
pub fn time(suite: &str, field: &str, text: &str) -> Result<SystemTime, ReleaseError> {
    // RFC 2822 by way of HTTP's form of it: the archive writes UTC where HTTP writes GMT.
    let http = text.trim().strip_suffix("UTC").map(|rest| {
        // A day of one digit is padded by some archives' software and not by others'.
        let mut words: Vec<String> = rest.split_ascii_whitespace().map(str::to_owned).collect();
        if let Some(day) = words.get_mut(1).filter(|day| day.len() == 1) {
            *day = format!("0{day}");
        }
        format!("{} GMT", words.join(" "))
    });
    http.and_then(|text| httpdate::parse_http_date(&text).ok())
        .ok_or_else(|| ReleaseError::Malformed {
            suite: suite.into(),
            reason: format!("{text:?} of {field} is no date such as Sat, 09 Aug 2025 09:16:30 UTC"),
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dates_of_the_archive_are_read() {
        let seconds = |text| {
            time("s", "Date", text)
                .unwrap()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap()
                .as_secs()
        };
        assert_eq!(seconds("Sat, 09 Aug 2025 09:16:30 UTC"), 1_754_730_990);
        assert_eq!(seconds("Sat,  9 Aug 2025 09:16:30 UTC"), 1_754_730_990);
        assert!(time("s", "Date", "yesterday").is_err());
        assert!(time("s", "Date", "Sat, 09 Aug 2025 09:16:30 CEST").is_err());
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "(Suite: s\n)?(Date: .{0,30}\n)?(SHA256:\n( [0-9a-f]{60,66} [0-9]{0,30} \\PC{0,9}\n){0,3})?\\PC{0,50}") {
            let _ = parse("s", &text);
        }
    }
}
