// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where archives are served: apt's own configuration, or what the user says.

use std::{collections::BTreeMap, path::Path};

use tidelock_host::{
    files::{self, FileError},
    process::{self, ProcessError},
};

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
    /// A list of mirrors that apt is configured with cannot be read.
    #[error("apt's list of mirrors: {0}; name one with --debian-mirror URL")]
    List(#[from] FileError),
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
            let security = suite.ends_with("-security") || suite.ends_with("/updates");
            let archive = if security { DEBIAN_SECURITY } else { DEBIAN };
            // Others' lists are none of our business, be they readable or not.
            if !origin.is_empty() && !is_debian(origin) {
                continue;
            }
            for url in expand(url)? {
                let http = url.starts_with("http://") || url.starts_with("https://");
                // The origin is known once the lists were fetched; the path tells before that.
                if http && (is_debian(origin) || ends_as_debian(&url)) {
                    mirrors.add(archive, &url)?;
                }
            }
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

fn is_debian(origin: &str) -> bool {
    origin == "Debian" || origin.starts_with("Debian ")
}

fn ends_as_debian(url: &str) -> bool {
    let last = url.trim_end_matches('/').rsplit('/').next();
    last.is_some_and(|last| [DEBIAN, DEBIAN_SECURITY].contains(&last))
}

/// The addresses behind one of apt's: those of its list where it is `mirror+file:`
/// (apt-transport-mirror(1)), by their priority, else itself.
fn expand(url: &str) -> Result<Vec<String>, MirrorError> {
    let Some(path) = url.strip_prefix("mirror+file:") else {
        return Ok(vec![url.into()]);
    };
    let path = format!("/{}", path.trim_start_matches('/').trim_end_matches('/'));
    let text = files::read_text(Path::new(&path))?;
    let mut listed = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split_whitespace();
        let Some(url) = words.next() else { continue };
        let priority = words.find_map(|word| word.strip_prefix("priority:")?.parse::<u32>().ok());
        listed.push((priority.unwrap_or(u32::MAX), url.to_owned()));
    }
    listed.sort_by_key(|(priority, _)| *priority);
    Ok(listed.into_iter().map(|(_, url)| url).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_mirrors_is_read_by_its_priorities() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("debian.list");
        let text = "# ours\nhttp://127.0.0.3/debian/\n\n\
            http://127.0.0.2/debian\tpriority:2 arch:amd64\n\
            https://127.0.0.1/debian/\tarch:amd64 priority:1\nftp://127.0.0.4/debian\n";
        files::write_atomic(&list, text.as_bytes()).unwrap();
        for (origin, slashes) in [("", ""), ("Debian", "//"), ("", "//")] {
            let line = format!("{origin}|trixie|mirror+file:{slashes}{}/\n", list.display());
            let mirrors = Mirrors::from_index_targets(&line).unwrap();
            assert_eq!(
                mirrors.bases(DEBIAN),
                [
                    "https://127.0.0.1/debian",
                    "http://127.0.0.2/debian",
                    "http://127.0.0.3/debian"
                ],
                "{line}"
            );
            assert_eq!(mirrors.bases(DEBIAN_SECURITY).len(), 3);
        }
        let none = "Debian|trixie|mirror+file:/no/such/list\n";
        let error = Mirrors::from_index_targets(none).unwrap_err();
        assert!(error.to_string().contains("/no/such/list"), "{error}");
        let other = "Other|x|mirror+file:/no/such/list\nDebian|x|http://127.0.0.1/debian\n";
        assert!(Mirrors::from_index_targets(other).is_ok());
    }

    #[test]
    fn apts_words_are_read() {
        let text = "Debian Backports|bookworm-backports|http://127.0.0.1/debian/\n\
            Debian|bookworm|http://127.0.0.1/debian/\n\
            |bookworm|https://127.0.0.2/some/debian/\n\
            Debian|bookworm|cdrom://disc/\n\
            Other|nodistro|https://127.0.0.3/other/\n\
            Other|trixie|https://127.0.0.4/linux/debian\n\
            Debianish|trixie|https://127.0.0.5/debian\n\
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
