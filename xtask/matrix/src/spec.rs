// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `matrix.toml`: what is supported. Every key is documented in `docs/matrix.md`.

use std::{collections::BTreeSet, path::PathBuf};

use serde::{Deserialize, Serialize};
use tidelock_model::{Arch, Flavour, Series, Sha256, Tier};

use crate::strict::{self, SpecError};

/// The version of the format that is read here.
pub(crate) const FORMAT: u32 = 1;

/// The support policy.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Matrix {
    /// `FORMAT`.
    pub format: u32,
    /// The architectures that are built for.
    pub arches: Vec<Arch>,
    /// The flavours that are built for.
    pub flavours: Vec<Flavour>,
    /// The files with the keys that sign the archives.
    pub keyrings: Vec<PathBuf>,
    /// Where kernels are looked for; a kernel that several offer is taken from the first.
    pub suites: Vec<SuiteSpec>,
    /// The lines of kernels that are supported.
    pub series: Vec<SeriesSpec>,
    /// What each build root holds beside its own list.
    #[serde(default)]
    pub root_packages: Vec<String>,
    /// The build roots, one per toolchain.
    pub roots: Vec<RootSpec>,
    /// What runs in guests beside the kernel, as disks.
    #[serde(default)]
    pub userlands: Vec<UserlandSpec>,
    /// Where the source of Rust's own library is found.
    pub rust_src: RustSrcSpec,
    /// How much each tier takes.
    pub tiers: Tiers,
    /// How guests are run.
    #[serde(default)]
    pub test: TestProfile,
    /// The digest of the file; not a key of it.
    #[serde(skip, default = "no_digest")]
    pub sha256: Sha256,
}

/// A suite of an archive.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SuiteSpec {
    /// Its name in `dists/`.
    pub name: String,
    /// The archive that has it: `debian` or `debian-security`.
    pub archive: String,
    /// The components that are looked at.
    #[serde(default = "main_component")]
    pub components: Vec<String>,
    /// The build root of its kernels.
    pub root: String,
    /// Days past the end of the release's validity that are accepted.
    #[serde(default)]
    pub stale_days: u32,
}

/// A line of kernels.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SeriesSpec {
    /// Such as `6.12`.
    pub name: Series,
    /// What the module is expected to report of such a kernel, no more and no less.
    pub capabilities: BTreeSet<Capability>,
}

/// What a kernel offers to the module, by the names of its hello frame.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Capability {
    /// The record layer of TLS in the kernel.
    Ktls,
    /// kTLS with AES-128-GCM.
    KtlsAes128gcm,
    /// kTLS with AES-256-GCM.
    KtlsAes256gcm,
    /// kTLS with ChaCha20-Poly1305.
    KtlsChacha20,
    /// kTLS takes new keys for TLS 1.3 in mid-connection.
    KtlsRekey,
    /// TCP over IPv6.
    Ipv6,
    /// Multipath TCP.
    Mptcp,
}

impl Capability {
    /// The name in `matrix.toml`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ktls => "ktls",
            Self::KtlsAes128gcm => "ktls-aes128gcm",
            Self::KtlsAes256gcm => "ktls-aes256gcm",
            Self::KtlsChacha20 => "ktls-chacha20",
            Self::KtlsRekey => "ktls-rekey",
            Self::Ipv6 => "ipv6",
            Self::Mptcp => "mptcp",
        }
    }
}

/// A build root.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RootSpec {
    /// What suites call it.
    pub name: String,
    /// The suites its packages are taken from: the newest version of all of them.
    pub suites: Vec<String>,
    /// The compiler's program, such as `gcc-12`.
    pub compiler: String,
    /// What is installed, beside `root-packages`; what these depend on comes by itself.
    pub packages: Vec<String>,
}

/// Programs of the distribution that tests run in the guest.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct UserlandSpec {
    /// What tests call it.
    pub name: String,
    /// The suites its packages are taken from: the newest version of all of them.
    pub suites: Vec<String>,
    /// What is installed; what these depend on comes by itself.
    pub packages: Vec<String>,
    /// Shell commands that are run in it, in order, before it is packed.
    #[serde(default)]
    pub prepare: Vec<String>,
}

/// Where the source of Rust's own library is found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RustSrcSpec {
    /// Debian's package of it.
    pub package: String,
    /// The suites that may have the toolchain's version of it, best first.
    pub suites: Vec<String>,
}

/// How much each tier takes; each holds what the one before it takes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Tiers {
    /// Minutes.
    pub quick: Selection,
    /// The one in between.
    pub standard: Selection,
    /// All there is.
    pub full: Selection,
}

impl Tiers {
    /// What `tier` takes by itself.
    pub fn of(&self, tier: Tier) -> &Selection {
        match tier {
            Tier::Quick => &self.quick,
            Tier::Standard => &self.standard,
            Tier::Full => &self.full,
        }
    }
}

/// Some of the locked kernels.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "a list of { series, flavour }, \"newest-of-each\" or \"all\""
)]
pub enum Selection {
    /// By a rule.
    Rule(Rule),
    /// The newest of each of these.
    Newest(Vec<Selector>),
}

/// A rule that selects kernels.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// The newest of each suite, series and flavour.
    NewestOfEach,
    /// Every one.
    All,
}

/// A kind of kernel of which the newest is meant.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Selector {
    /// Its series.
    pub series: Series,
    /// Its flavour.
    pub flavour: Flavour,
    /// The suite it comes from; any when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suite: Option<String>,
}

/// How guests are run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct TestProfile {
    /// The memory of a guest, in MiB.
    pub memory_mib: u32,
    /// How long a guest may take until it is ready.
    pub boot_seconds: u32,
    /// How long one test may take.
    pub test_seconds: u32,
    /// The flavours whose guests have two processors, where threads run at once; others have one,
    /// where the order of things is the same every time.
    pub two_processors: Vec<Flavour>,
    /// Patterns of tests that take long: a complete run of a tier deals them out among the
    /// kernels of `heavy_tier`.
    pub heavy: Vec<String>,
    /// The tier whose kernels have them.
    pub heavy_tier: Tier,
    /// On how many of those kernels each of them runs, at least one.
    pub heavy_each: u32,
}

impl TestProfile {
    /// Whether a test is one of those that take long.
    pub fn is_heavy(&self, test: &str) -> bool {
        let fits = |glob: &String| {
            let pattern = glob::Pattern::new(glob);
            pattern.is_ok_and(|pattern| pattern.matches(test))
        };
        self.heavy.iter().any(fits)
    }

    /// How many processors a guest of this flavour has.
    pub fn processors(&self, flavour: Flavour) -> u8 {
        if self.two_processors.contains(&flavour) {
            2
        } else {
            1
        }
    }
}

impl Default for TestProfile {
    fn default() -> Self {
        Self {
            memory_mib: 512,
            boot_seconds: 120,
            test_seconds: 300,
            two_processors: Vec::new(),
            heavy: Vec::new(),
            heavy_tier: Tier::Full,
            heavy_each: u32::MAX,
        }
    }
}

fn main_component() -> Vec<String> {
    vec!["main".into()]
}

fn no_digest() -> Sha256 {
    Sha256::of(b"")
}

impl Matrix {
    /// Reads the text of `matrix.toml`.
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        let mut matrix: Self = strict::parse("matrix.toml", text)?;
        matrix.sha256 = Sha256::of(text.as_bytes());
        matrix.check()?;
        Ok(matrix)
    }

    /// The specification of a suite.
    pub fn suite(&self, name: &str) -> Option<&SuiteSpec> {
        self.suites.iter().find(|suite| suite.name == name)
    }

    /// The specification of a series.
    pub fn series(&self, name: Series) -> Option<&SeriesSpec> {
        self.series.iter().find(|series| series.name == name)
    }

    /// The specification of a userland.
    pub fn userland(&self, name: &str) -> Option<&UserlandSpec> {
        self.userlands.iter().find(|userland| userland.name == name)
    }

    /// The specification of a build root.
    pub fn root(&self, name: &str) -> Option<&RootSpec> {
        self.roots.iter().find(|root| root.name == name)
    }

    /// What no type can say: that names are unique and lead somewhere.
    fn check(&self) -> Result<(), SpecError> {
        let fault = |what: String| Err(SpecError::Meaning { what });
        if self.format != FORMAT {
            return fault(format!(
                "format is {}, and {FORMAT} is read here",
                self.format
            ));
        }
        unique("suites", self.suites.iter().map(|suite| suite.name.clone()))?;
        unique(
            "series",
            self.series.iter().map(|series| series.name.to_string()),
        )?;
        unique("roots", self.roots.iter().map(|root| root.name.clone()))?;
        unique(
            "userlands",
            self.userlands.iter().map(|userland| userland.name.clone()),
        )?;
        let suites: Vec<&str> = self
            .suites
            .iter()
            .map(|suite| suite.name.as_str())
            .collect();
        self.check_references(&suites)?;
        for glob in &self.test.heavy {
            if let Err(error) = glob::Pattern::new(glob) {
                return fault(format!("test: heavy: {glob:?} is no pattern: {error}"));
            }
        }
        if self.test.heavy_each == 0 {
            return fault("test: heavy-each is 0: nobody would run those tests".into());
        }
        for tier in Tier::ALL {
            let Selection::Newest(selectors) = self.tiers.of(*tier) else {
                continue;
            };
            for selector in selectors {
                if self.series(selector.series).is_none() {
                    return fault(format!(
                        "the tier {tier} names the series {}, which is not among the series",
                        selector.series
                    ));
                }
                if let Some(suite) = &selector.suite {
                    known(&format!("the tier {tier}"), suite, &suites)?;
                }
            }
        }
        Ok(())
    }

    /// That whoever names a suite or a root names one of these, and that disks can have the names
    /// of userlands.
    fn check_references(&self, suites: &[&str]) -> Result<(), SpecError> {
        if let Some(userland) = self.userlands.iter().find(|u| !is_serial(&u.name)) {
            let name = &userland.name;
            let what = format!(
                "userlands: {name:?} is no serial number of a disk: 1 to 20 of a-z, 0-9 and -"
            );
            return Err(SpecError::Meaning { what });
        }
        let roots: Vec<&str> = self.roots.iter().map(|root| root.name.as_str()).collect();
        for suite in &self.suites {
            let place = format!("root of the suite {}", suite.name);
            known(&place, &suite.root, &roots)?;
        }
        let roots = self.roots.iter().map(|root| {
            let place = format!("suites of the root {}", root.name);
            (place, &root.suites)
        });
        let userlands = self.userlands.iter().map(|userland| {
            let place = format!("suites of the userland {}", userland.name);
            (place, &userland.suites)
        });
        let rust_src = ("suites of rust-src".to_owned(), &self.rust_src.suites);
        for (place, named) in roots.chain(userlands).chain([rust_src]) {
            named
                .iter()
                .try_for_each(|suite| known(&place, suite, suites))?;
        }
        Ok(())
    }
}

/// As the guest finds it: QEMU cuts off what is longer.
fn is_serial(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=20).contains(&name.len()) && name.chars().all(fits)
}

fn unique(key: &str, names: impl Iterator<Item = String>) -> Result<(), SpecError> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name.clone()) {
            return Err(SpecError::Meaning {
                what: format!("{key}: {name} is there twice"),
            });
        }
    }
    Ok(())
}

fn known(place: &str, name: &str, names: &[&str]) -> Result<(), SpecError> {
    if names.contains(&name) {
        return Ok(());
    }
    let hint = strict::nearest(name, names.iter().copied()).map_or_else(
        || format!("one of {}", names.join(", ")),
        |near| format!("did you mean {near}?"),
    );
    Err(SpecError::Meaning {
        what: format!("{place}: {name:?} is not defined; {hint}"),
    })
}
