// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a kernel is called.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A name that cannot be one of its kind.
#[derive(Debug, thiserror::Error)]
#[error("{text:?} is not {kind}")]
pub struct ParseNameError {
    text: String,
    kind: &'static str,
}

/// A kernel's release as `uname -r` prints it, such as `6.1.0-56-amd64`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Release(String);

impl Release {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The series the release belongs to: its first two numbers.
    pub fn series(&self) -> Series {
        let mut numbers = self.0.split(|c: char| !c.is_ascii_digit());
        let mut next = || numbers.next().and_then(|n| n.parse().ok()).unwrap_or(0);
        Series {
            major: next(),
            minor: next(),
        }
    }
}

impl FromStr for Release {
    type Err = ParseNameError;

    /// Accepts what can stand in a package's name and in one path component.
    fn from_str(text: &str) -> Result<Self, ParseNameError> {
        let error = || ParseNameError {
            text: text.into(),
            kind: "a kernel release such as 6.1.0-56-amd64",
        };
        let legal = |c: char| c.is_ascii_alphanumeric() || "+-.~_".contains(c);
        let (major, rest) = text.split_once('.').ok_or_else(error)?;
        let numbered = major.parse::<u16>().is_ok()
            && rest
                .split(|c: char| !c.is_ascii_digit())
                .next()
                .is_some_and(|n| n.parse::<u16>().is_ok());
        if !numbered || !text.chars().all(legal) || text.len() > 64 {
            return Err(error());
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for Release {
    type Error = ParseNameError;
    fn try_from(text: String) -> Result<Self, ParseNameError> {
        text.parse()
    }
}

impl From<Release> for String {
    fn from(release: Release) -> Self {
        release.0
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A line of kernels that share an interface, such as `6.12`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Series {
    /// The first number.
    pub major: u16,
    /// The second number.
    pub minor: u16,
}

impl FromStr for Series {
    type Err = ParseNameError;
    fn from_str(text: &str) -> Result<Self, ParseNameError> {
        text.split_once('.')
            .and_then(|(a, b)| {
                Some(Self {
                    major: a.parse().ok()?,
                    minor: b.parse().ok()?,
                })
            })
            .ok_or_else(|| ParseNameError {
                text: text.into(),
                kind: "a kernel series such as 6.12",
            })
    }
}

impl TryFrom<String> for Series {
    type Error = ParseNameError;
    fn try_from(text: String) -> Result<Self, ParseNameError> {
        text.parse()
    }
}

impl From<Series> for String {
    fn from(series: Series) -> Self {
        series.to_string()
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{}", self.major, self.minor))
    }
}

/// Defines an enum of names: serde, `Display`, `FromStr` and the list of all from one place.
macro_rules! names {
    ($(#[$doc:meta])* $name:ident, $kind:literal { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $text)] $variant,)+ }

        impl $name {
            /// Every name, in order.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The name as it stands in files and on the command line.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = ParseNameError;
            fn from_str(text: &str) -> Result<Self, ParseNameError> {
                Self::ALL.iter().copied().find(|name| name.as_str() == text)
                    .ok_or_else(|| ParseNameError { text: text.into(), kind: $kind })
            }
        }
    };
}

names! {
    /// A build of one kernel source with another configuration.
    Flavour, "a flavour (standard, cloud, rt)" {
        /// The distribution's ordinary kernel.
        Standard = "standard",
        /// Fewer drivers, for virtual machines.
        Cloud = "cloud",
        /// `PREEMPT_RT`.
        Rt = "rt",
    }
}

names! {
    /// A machine architecture, by Debian's name.
    Arch, "an architecture (amd64)" {
        /// x86, 64 bits.
        Amd64 = "amd64",
    }
}

names! {
    /// How much of the matrix a run takes; each tier holds the one before it.
    Tier, "a tier (quick, standard, full)" {
        /// One of each kind: minutes.
        Quick = "quick",
        /// The newest of each suite and flavour.
        Standard = "standard",
        /// Every locked kernel.
        Full = "full",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_of_the_archive_parse_and_name_their_series() {
        for (text, series) in [
            ("5.10.0-43-rt-amd64", "5.10"),
            ("6.1.0-56-amd64", "6.1"),
            ("6.12.115+deb13.1-cloud-amd64", "6.12"),
            ("7.3~rc4-amd64", "7.3"),
        ] {
            assert_eq!(
                text.parse::<Release>().unwrap().series().to_string(),
                series
            );
        }
    }

    #[test]
    fn other_text_is_refused() {
        for text in [
            "",
            "amd64",
            "6",
            "6.x",
            "../6.1",
            "6.1/..",
            "6.1 amd64",
            "cloud-amd64",
        ] {
            assert!(text.parse::<Release>().is_err(), "{text:?} was accepted");
        }
        assert!("fast".parse::<Tier>().is_err());
    }
}
