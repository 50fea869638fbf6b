// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where archives are served: apt's own configuration, or what the user says.

use std::collections::BTreeMap;

use tidelock_host::process::{self, ProcessError};

/// The main archive's name.
pub const DEBIAN: &str = "debian";
/// The name of the archive of security updates.
pub const DEBIAN_SECURITY: &str = "debian-security";

/// No mirror can be told.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// apt could not be asked.
    #[error("cannot ask apt for its mirrors ({0}); name one with --debian-mirror URL")]
    Apt(#[from] ProcessError),
    /// apt has no Debian archive.
    #[error(
        "apt's configuration names no Debian archive over http or https; name one with --debian-mirror URL"
    )]
    NoDebian,
    /// Not a URL.
    #[error(
        "{url:?} is no mirror: it must begin with http:// or https:// and have a path such as /debian"
    )]
    NotUrl {
        /// What was given.
        url: String,
    },
    /// The mirror's address says nothing of where security updates are.
    #[error(
        "{url} does not end in /debian, so its sibling for security updates cannot be guessed; name it with --debian-security-mirror URL"
    )]
    NoSibling {
        /// The main archive's mirror.
        url: String,
    },
}

/// The base addresses of each archive, best first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Mirrors {
    bases: BTreeMap<String, Vec<String>>,
}

impl Mirrors {
    /// None at all: enough to work offline.
    pub fn none() -> Self {
        Self::default()
    }

    /// What the user said: `--debian-mirror` and `--debian-security-mirror`. Without the
    /// latter, security updates are expected beside the main archive.
    pub fn from_urls(debian: &str, security: Option<&str>) -> Result<Self, MirrorError> {
        let mut mirrors = Self::none();
        mirrors.add(DEBIAN, debian)?;
        match security {
            Some(url) => mirrors.add(DEBIAN_SECURITY, url)?,
            None => mirrors.add_sibling()?,
        }
        Ok(mirrors)
    }

    /// What apt is configured with on this host.
    pub fn from_apt() -> Result<Self, MirrorError> {
        let mut apt = process::command("apt-get");
        apt.args([
            "indextargets",
            "--format",
            "$(ORIGIN)|$(RELEASE)|$(REPO_URI)",
        ]);
        let output = process::run(apt, None)?;
        Self::from_index_targets(&String::from_utf8_lossy(&output))
    }

    /// Reads lines of `origin|suite|address`.
    pub fn from_index_targets(text: &str) -> Result<Self, MirrorError> {
        let mut mirrors = Self::none();
        for line in text.lines() {
            let mut words = line.splitn(3, '|');
            let (Some(origin), Some(suite), Some(url)) = (words.next(), words.next(), words.next())
            else {
                continue;
            };
            let last = url
                .trim_end_matches('/')
                .rsplit('/')
                .next()
                .unwrap_or_default();
            // The origin is known once the lists were fetched; the path tells before that.
            let debian = origin.starts_with("Debian") || last == DEBIAN || last == DEBIAN_SECURITY;
            let http = url.starts_with("http://") || url.starts_with("https://");
            if !debian || !http {
                continue;
            }
            let security = suite.ends_with("-security") || suite.ends_with("/updates");
            mirrors.add(if security { DEBIAN_SECURITY } else { DEBIAN }, url)?;
        }
        if mirrors.bases(DEBIAN).is_empty() {
            return Err(MirrorError::NoDebian);
        }
        if mirrors.bases(DEBIAN_SECURITY).is_empty() {
            mirrors.add_sibling()?;
        }
        Ok(mirrors)
    }

    /// The base addresses of `archive`, without a slash at the end.
    pub fn bases(&self, archive: &str) -> &[String] {
        self.bases.get(archive).map_or(&[], Vec::as_slice)
    }

    /// Adds a mirror of any archive, after those that are known.
    pub fn add(&mut self, archive: &str, url: &str) -> Result<(), MirrorError> {
        let base = url.trim_end_matches('/');
        let host = base
            .strip_prefix("http://")
            .or_else(|| base.strip_prefix("https://"))
            .filter(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace));
        if host.is_none() {
            return Err(MirrorError::NotUrl { url: url.into() });
        }
        let bases = self.bases.entry(archive.to_owned()).or_default();
        if !bases.iter().any(|known| known == base) {
            bases.push(base.to_owned());
        }
        Ok(())
    }

    fn add_sibling(&mut self) -> Result<(), MirrorError> {
        let bases = self.bases(DEBIAN).to_vec();
        let siblings: Vec<String> = bases
            .iter()
            .filter_map(|base| base.strip_suffix("/debian"))
            .map(|parent| format!("{parent}/{DEBIAN_SECURITY}"))
            .collect();
        if siblings.is_empty() {
            let url = bases.into_iter().next().unwrap_or_default();
            return Err(MirrorError::NoSibling { url });
        }
        siblings
            .iter()
            .try_for_each(|sibling| self.add(DEBIAN_SECURITY, sibling))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apts_words_are_read() {
        let text = "Debian Backports|bookworm-backports|http://127.0.0.1/debian/\n\
            Debian|bookworm|http://127.0.0.1/debian/\n\
            |bookworm|https://127.0.0.2/some/debian/\n\
            Debian|bookworm|cdrom://disc/\n\
            Other|nodistro|https://127.0.0.3/other/\n\
            Debian|bookworm-security|http://127.0.0.1/debian-security/\n";
        let mirrors = Mirrors::from_index_targets(text).unwrap();
        assert_eq!(
            mirrors.bases(DEBIAN),
            ["http://127.0.0.1/debian", "https://127.0.0.2/some/debian"]
        );
        assert_eq!(
            mirrors.bases(DEBIAN_SECURITY),
            ["http://127.0.0.1/debian-security"]
        );
        assert!(mirrors.bases("other").is_empty());
    }

    #[test]
    fn security_is_beside_the_main_archive_unless_said() {
        let beside = Mirrors::from_urls("http://127.0.0.1:1/debian/", None).unwrap();
        assert_eq!(
            beside.bases(DEBIAN_SECURITY),
            ["http://127.0.0.1:1/debian-security"]
        );
        let said = Mirrors::from_urls("http://127.0.0.1/d", Some("http://127.0.0.1/s")).unwrap();
        assert_eq!(said.bases(DEBIAN_SECURITY), ["http://127.0.0.1/s"]);
    }

    #[test]
    fn what_cannot_be_a_mirror_is_refused() {
        for url in [
            "",
            "debian",
            "ftp://127.0.0.1/debian",
            "http://",
            "http://a b/debian",
        ] {
            assert!(
                matches!(
                    Mirrors::from_urls(url, None),
                    Err(MirrorError::NotUrl { .. })
                ),
                "{url:?}"
            );
        }
        let odd = Mirrors::from_urls("http://127.0.0.1/d", None).unwrap_err();
        assert!(matches!(odd, MirrorError::NoSibling { .. }));
        let none = Mirrors::from_index_targets("Other|x|http://127.0.0.1/x/\n").unwrap_err();
        assert!(matches!(none, MirrorError::NoDebian));
    }
}
