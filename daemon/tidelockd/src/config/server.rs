// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The server that the policy comes from.

use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use tidelock_https::HttpsError;
use tidelock_policy::remote::Algorithm;

use super::raw;

/// How often it may be asked, in seconds.
const INTERVAL: RangeInclusive<u64> = 1..=86_400;
/// How long an answer may take, in seconds.
const TIMEOUT: RangeInclusive<u64> = 1..=600;

/// The server that the policy comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Server {
    /// The `https` address of the bundle.
    pub url: String,
    /// The address as it may be shown.
    pub shown: String,
    /// How long to wait between two questions, give or take a fifth.
    pub interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// The file of the authorities that may vouch for it, in PEM; none: those of the system.
    pub authorities: Option<PathBuf>,
    /// How bundles must be signed; none: not at all.
    pub signed: Option<Signed>,
}

/// How bundles must be signed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signed {
    /// By which algorithm.
    pub algorithm: Algorithm,
    /// The file of the key: public, or for HS256 the secret.
    pub key: PathBuf,
    /// What the signature must be for.
    pub scope: Option<String>,
}

/// A setting, and what is wrong with it.
type Wrong = (&'static str, String);

/// What is meant by what is written, where there is no folder besides.
pub(super) fn resolve(
    raw: Option<raw::Server>,
    folder: Option<&Path>,
) -> Result<Option<Server>, Wrong> {
    let Some(raw) = raw else {
        return Ok(None);
    };
    if folder.is_some() {
        let message = "`bundle` and `server` are both there: a policy comes from one of them";
        return Err(("policy", message.into()));
    }
    let shown = tidelock_https::shown(&raw.url).map_err(|error| {
        let reason = match error {
            HttpsError::Config { reason, .. } => reason,
            other => other.to_string(),
        };
        // Not the address itself: it may hold a secret.
        ("policy.server.url", reason)
    })?;
    let seconds = |setting, value: u64, range: RangeInclusive<u64>| {
        if range.contains(&value) {
            return Ok(Duration::from_secs(value));
        }
        let (least, most) = (range.start(), range.end());
        Err((setting, format!("{value} is not within {least} to {most}")))
    };
    let (interval, timeout) = (raw.interval_seconds, raw.timeout_seconds);
    let authorities = raw.authorities;
    Ok(Some(Server {
        url: raw.url,
        shown,
        interval: seconds("policy.server.interval-seconds", interval, INTERVAL)?,
        timeout: seconds("policy.server.timeout-seconds", timeout, TIMEOUT)?,
        authorities: authorities
            .map(|path| absolute("policy.server.authorities", path))
            .transpose()?,
        signed: signed(raw.key, raw.algorithm, raw.scope)?,
    }))
}

fn signed(
    key: Option<PathBuf>,
    algorithm: Option<raw::Algorithm>,
    scope: Option<String>,
) -> Result<Option<Signed>, Wrong> {
    const KEY: &str = "policy.server.key";
    let of = |algorithm| match algorithm {
        raw::Algorithm::Rs256 => Algorithm::Rs256,
        raw::Algorithm::Es256 => Algorithm::Es256,
        raw::Algorithm::Hs256 => Algorithm::Hs256,
    };
    match (key, algorithm, scope) {
        (Some(key), Some(algorithm), scope) => Ok(Some(Signed {
            algorithm: of(algorithm),
            key: absolute(KEY, key)?,
            scope,
        })),
        (None, None, None) => Ok(None),
        (Some(_), None, _) => {
            let message = "a key needs it: RS256, ES256 or HS256".into();
            Err(("policy.server.algorithm", message))
        }
        (None, Some(_), _) => Err((KEY, "an algorithm needs it: the path of the key".into())),
        (None, None, Some(_)) => Err((KEY, "a scope needs it: the path of the key".into())),
    }
}

fn absolute(setting: &'static str, path: PathBuf) -> Result<PathBuf, Wrong> {
    if path.is_absolute() {
        return Ok(path);
    }
    Err((setting, format!("`{}` is no absolute path", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn parse(server: &str) -> Result<Config, String> {
        let text = format!("[policy.server]\n{server}");
        Config::parse(Path::new("t.toml"), &text).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_written_is_what_is_meant() {
        let server = parse("url = 'https://host/b.tar.gz?token=x'")
            .unwrap()
            .server;
        let plain = Server {
            url: "https://host/b.tar.gz?token=x".into(),
            shown: "https://host/b.tar.gz".into(),
            interval: Duration::from_mins(1),
            timeout: Duration::from_secs(30),
            authorities: None,
            signed: None,
        };
        assert_eq!(server, Some(plain.clone()));
        let server = parse(
            "url = 'https://host/b.tar.gz?token=x'\nauthorities = '/ca'\nkey = '/key'\n\
             algorithm = 'ES256'\nscope = 's'\ninterval-seconds = 5\ntimeout-seconds = 6",
        );
        let signed = Signed {
            algorithm: Algorithm::Es256,
            key: "/key".into(),
            scope: Some("s".into()),
        };
        let full = Server {
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(6),
            authorities: Some("/ca".into()),
            signed: Some(signed),
            ..plain
        };
        assert_eq!(server.unwrap().server, Some(full));
    }

    #[test]
    fn what_the_packaged_file_shows_is_understood() {
        let packaged = include_str!("../../../systemd/tidelockd.toml");
        let (_, from) = packaged.split_once("#[policy.server]\n").unwrap();
        let (shown, _) = from.split_once("\n[").unwrap();
        let settings = shown.lines().filter_map(|line| line.strip_prefix('#'));
        let settings: Vec<&str> = settings.filter(|line| !line.starts_with(' ')).collect();
        let server = parse(&settings.join("\n")).unwrap().server.unwrap();
        assert!(server.authorities.is_some() && server.signed.is_some());
        let sparse = parse(&format!("url = '{}'", server.url)).unwrap();
        let sparse = sparse.server.unwrap();
        assert_eq!(
            (server.interval, server.timeout),
            (sparse.interval, sparse.timeout)
        );
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        for (more, setting) in [
            ("authorities = 'ca'", "authorities"),
            ("key = '/key'", "algorithm"),
            ("algorithm = 'ES256'", "key"),
            ("scope = 's'", "key"),
            ("key = 'key'\nalgorithm = 'HS256'", "key"),
            ("interval-seconds = 0", "interval-seconds"),
            ("timeout-seconds = 601", "timeout-seconds"),
        ] {
            let told = parse(&format!("url = 'https://host/b'\n{more}")).unwrap_err();
            let expected = format!("t.toml: policy.server.{setting}: ");
            assert!(told.starts_with(&expected), "{told}");
        }
        for url in ["http://host/b", "host", "https://me:secret@host/b"] {
            let told = parse(&format!("url = '{url}'")).unwrap_err();
            assert!(told.starts_with("t.toml: policy.server.url: "), "{told}");
            assert!(!told.contains("secret"), "{told}");
        }
        assert!(parse("").unwrap_err().contains("line 1"));
        let told = parse("url = 'https://host/b'\nalgorithm = 'none'").unwrap_err();
        assert!(told.contains("line 3"), "{told}");
        let text = "[policy]\nbundle = '/b'\n[policy.server]\nurl = 'https://host/b'";
        let told = Config::parse(Path::new("t.toml"), text).unwrap_err();
        assert!(told.to_string().starts_with("t.toml: policy: "), "{told}");
    }
}
