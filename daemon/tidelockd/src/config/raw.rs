// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The file as it is written.

use std::{
    net::{Ipv4Addr, SocketAddr},
    num::{NonZeroU32, NonZeroU64, NonZeroUsize},
    path::{Path, PathBuf},
};

use serde::Deserialize;
use tidelock_api::Mode;

use super::ConfigError;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct Raw {
    pub(super) mode: Option<Mode>,
    pub(super) deadline_ms: u32,
    pub(super) exempt: Vec<String>,
    pub(super) device: PathBuf,
    pub(super) state_dir: PathBuf,
    pub(super) runtime_dir: PathBuf,
    pub(super) concurrent: NonZeroUsize,
    pub(super) policy: Policy,
    pub(super) svid: Svid,
    pub(super) attest: Attest,
    pub(super) admin: Admin,
    pub(super) audit: Audit,
    pub(super) metrics: Metrics,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct Policy {
    pub(super) bundle: Option<PathBuf>,
    pub(super) server: Option<Server>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Server {
    pub(super) url: String,
    pub(super) authorities: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    pub(super) algorithm: Option<Algorithm>,
    pub(super) scope: Option<String>,
    #[serde(default = "interval")]
    pub(super) interval_seconds: u64,
    #[serde(default = "timeout")]
    pub(super) timeout_seconds: u64,
}

/// As RFC 7518 names them.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Algorithm {
    Rs256,
    Es256,
    Hs256,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct Svid {
    pub(super) trust_domain: Option<String>,
    pub(super) scope: Scope,
    pub(super) lifetime_seconds: u64,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Scope {
    Process,
    Workload,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct Attest {
    pub(super) digests: NonZeroUsize,
    pub(super) readers: NonZeroUsize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct Admin {
    pub(super) socket: PathBuf,
    pub(super) group: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct Audit {
    pub(super) to_file: bool,
    pub(super) file: PathBuf,
    pub(super) max_bytes: NonZeroU64,
    pub(super) keep: u32,
    pub(super) to_journal: bool,
    pub(super) per_second: NonZeroU32,
    pub(super) burst: NonZeroU32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct Metrics {
    pub(super) enabled: bool,
    pub(super) listen: SocketAddr,
}

const fn interval() -> u64 {
    60
}

const fn timeout() -> u64 {
    30
}

const fn size(number: usize) -> NonZeroUsize {
    match NonZeroUsize::new(number) {
        Some(number) => number,
        None => NonZeroUsize::MIN,
    }
}

const fn count(number: u32) -> NonZeroU32 {
    match NonZeroU32::new(number) {
        Some(number) => number,
        None => NonZeroU32::MIN,
    }
}

const fn bytes(number: u64) -> NonZeroU64 {
    match NonZeroU64::new(number) {
        Some(number) => number,
        None => NonZeroU64::MIN,
    }
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            mode: None,
            deadline_ms: 5000,
            exempt: Vec::new(),
            device: "/dev/tidelock".into(),
            state_dir: "/var/lib/tidelock".into(),
            runtime_dir: "/run/tidelock".into(),
            concurrent: size(64),
            policy: Policy::default(),
            svid: Svid::default(),
            attest: Attest::default(),
            admin: Admin::default(),
            audit: Audit::default(),
            metrics: Metrics::default(),
        }
    }
}

impl Default for Svid {
    fn default() -> Self {
        Self {
            trust_domain: None,
            scope: Scope::Process,
            lifetime_seconds: 3600,
        }
    }
}

impl Default for Attest {
    fn default() -> Self {
        Self {
            digests: size(4096),
            readers: size(2),
        }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            socket: tidelock_api::DEFAULT_SOCKET.into(),
            group: "tidelock".into(),
        }
    }
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            to_file: true,
            file: "/var/log/tidelock/audit.jsonl".into(),
            max_bytes: bytes(64 << 20),
            keep: 5,
            to_journal: true,
            per_second: count(200),
            burst: count(2000),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            enabled: true,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9465)),
        }
    }
}

pub(super) fn parse(path: &Path, text: &str) -> Result<Raw, ConfigError> {
    toml::from_str(text).map_err(|error: toml::de::Error| {
        let start = error.span().map_or(0, |span| span.start);
        let before = text.get(..start).unwrap_or_default();
        let message = error.message().trim().to_owned();
        ConfigError::Form {
            path: path.to_owned(),
            line: before.matches('\n').count() + 1,
            hint: hint(&message),
            message,
        }
    })
}

/// serde names what it met and what it knows between back-quotes, in this order.
fn hint(message: &str) -> String {
    if !message.starts_with("unknown ") {
        return String::new();
    }
    let mut quoted = message.split('`').skip(1).step_by(2);
    let Some(met) = quoted.next() else {
        return String::new();
    };
    quoted
        .map(|name| (strsim::osa_distance(met, name), name))
        .min()
        .filter(|(distance, _)| *distance <= met.chars().count().div_ceil(2))
        .map_or_else(String::new, |(_, near)| format!(". Did you mean `{near}`?"))
}
