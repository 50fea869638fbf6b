// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `.manifest`: what a bundle is and which part of `data` is its own.

use serde::Deserialize;

use crate::{
    bundle::{Bundle, MANIFEST},
    error::PolicyError,
};

/// The longest revision, in bytes.
const MAX_REVISION: usize = 128;

/// As OPA defines it. What we cannot honour is refused, not passed over.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    revision: String,
    roots: Option<Vec<String>>,
    #[serde(default)]
    rego_version: Option<u8>,
    #[serde(default)]
    wasm: Vec<serde::de::IgnoredAny>,
    /// Free for the author.
    #[serde(default, rename = "metadata")]
    _metadata: Option<serde::de::IgnoredAny>,
}

/// Revision and roots.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Manifest {
    /// What the author calls this state; the beginning of the digest where there is no name.
    pub(crate) revision: String,
    roots: Vec<Vec<String>>,
}

impl Manifest {
    pub(crate) fn of(bundle: &Bundle) -> Result<Self, PolicyError> {
        let bad = |reason: String| PolicyError::Manifest { reason };
        let raw: Raw = match bundle.get(MANIFEST) {
            Some(text) => serde_json::from_slice(text).map_err(|error| bad(error.to_string()))?,
            None => Raw {
                revision: String::new(),
                roots: None,
                rego_version: None,
                wasm: Vec::new(),
                _metadata: None,
            },
        };
        if raw.rego_version.is_some_and(|version| version != 1) {
            return Err(bad("rego_version: only 1 is understood".into()));
        }
        if !raw.wasm.is_empty() {
            return Err(bad("wasm: build the bundle for the target rego".into()));
        }
        let control = raw.revision.chars().any(char::is_control);
        if raw.revision.len() > MAX_REVISION || control {
            let rule = format!("revision: one line of {MAX_REVISION} bytes at most");
            return Err(bad(rule));
        }
        let roots = raw.roots.unwrap_or_else(|| vec![String::new()]);
        let split = |root: &String| {
            let parts = root.trim_matches('/').split('/');
            parts
                .filter(|part| !part.is_empty())
                .map(Into::into)
                .collect()
        };
        let parts: Vec<Vec<String>> = roots.iter().map(split).collect();
        for (index, root) in parts.iter().enumerate() {
            let overlaps = |(other, parts): (usize, &Vec<String>)| {
                other != index && root.starts_with(parts.as_slice())
            };
            if parts.iter().enumerate().any(overlaps) {
                return Err(bad(format!("roots: {:?} lies in another", roots[index])));
            }
        }
        let revision = match raw.revision.is_empty() {
            true => format!("sha256:{}", &hex::encode(bundle.digest())[..12]),
            false => raw.revision,
        };
        Ok(Self {
            revision,
            roots: parts,
        })
    }

    /// Whether a path of `data` lies in a root.
    pub(crate) fn owns<S: AsRef<str>>(&self, path: &[S]) -> bool {
        self.roots.iter().any(|root| {
            root.len() <= path.len()
                && root
                    .iter()
                    .zip(path)
                    .all(|(root, part)| root == part.as_ref())
        })
    }
}
