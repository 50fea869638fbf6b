// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `/etc/tidelock/tidelockd.toml`: what was written, and what is meant by it.
//!
//! Every setting has a default and the file itself may be missing. What is not understood is
//! refused, with its line: a setting that is not obeyed is worse than none.

mod prefix;
mod raw;
mod server;
mod svid;

use std::{
    io,
    net::SocketAddr,
    num::{NonZeroU32, NonZeroU64, NonZeroUsize},
    path::{Path, PathBuf},
    time::Duration,
};

use tidelock_api::Mode;
use tidelock_wire::{DEADLINE_MS, Exempt, MAX_EXEMPT};

pub use self::{
    prefix::{PrefixError, parse_prefix},
    server::{Server, Signed},
    svid::Svid,
};

/// Where the file is when nothing else is said.
pub const DEFAULT_PATH: &str = "/etc/tidelock/tidelockd.toml";

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not of the form it must have.
    #[error("{}, line {line}: {message}{hint}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        message: String,
        /// What was probably meant, or nothing.
        hint: String,
    },
    /// A value cannot be.
    #[error("{}: {key}: {message}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The setting.
        key: &'static str,
        /// What is wrong, and the cure.
        message: String,
    },
}

/// What is meant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// What happens to connections, when the default file does not say.
    pub mode: Option<Mode>,
    /// How long a process waits for a verdict, in milliseconds.
    pub deadline_ms: u32,
    /// Prefixes to or from which nobody is asked.
    pub exempt: Exempt,
    /// Where the device is.
    pub device: PathBuf,
    /// What outlives the machine's next boot: policies, the generation, reasons.
    pub state_dir: PathBuf,
    /// What does not: the mode that was set by hand.
    pub runtime_dir: PathBuf,
    /// How many questions are answered side by side.
    pub concurrent: NonZeroUsize,
    /// The folder of the bundle; none: what was activated last, or what is built in.
    pub bundle: Option<PathBuf>,
    /// The server that bundles come from instead.
    pub server: Option<Server>,
    /// Identities, and who signs them.
    pub svid: Svid,
    /// Looking at processes.
    pub attest: Attest,
    /// The administrators' way in.
    pub admin: Admin,
    /// The record of decisions.
    pub audit: Audit,
    /// Where metrics are served; none: nowhere.
    pub metrics: Option<SocketAddr>,
}

/// Looking at processes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attest {
    /// How many digests of executables are kept.
    pub digests: NonZeroUsize,
    /// How many executables are read side by side.
    pub readers: NonZeroUsize,
}

/// The administrators' way in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Admin {
    /// The socket, where systemd does not hand one over.
    pub socket: PathBuf,
    /// Whose members may read; root alone changes things.
    pub group: String,
}

/// The record of decisions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Audit {
    /// The file; none: no file.
    pub file: Option<PathBuf>,
    /// It is put aside when it is this long, in bytes.
    pub max_bytes: NonZeroU64,
    /// How many of those are kept.
    pub keep: u32,
    /// Whether the journal gets each line too.
    pub journal: bool,
    /// How many lines a second are written in the long run.
    pub per_second: NonZeroU32,
    /// How many at once.
    pub burst: NonZeroU32,
}

impl Config {
    /// How long a process waits for a verdict.
    pub fn deadline(&self) -> Duration {
        Duration::from_millis(self.deadline_ms.into())
    }

    /// Reads the file, or takes the defaults where it is `Implicit` and missing.
    ///
    /// # Errors
    /// When it cannot be read or understood.
    pub fn load(from: &Source) -> Result<Self, ConfigError> {
        let path = from.path();
        match (std::fs::read_to_string(path), from) {
            (Ok(text), _) => Self::parse(path, &text),
            (Err(error), Source::Implicit) if error.kind() == io::ErrorKind::NotFound => {
                Self::parse(path, "")
            }
            (Err(source), _) => Err(ConfigError::Read {
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// Understands the text of a file; `path` is for messages.
    ///
    /// # Errors
    /// When it cannot be understood.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        resolve(path, raw::parse(path, text)?)
    }
}

/// Where the configuration comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// The usual file, which may be missing.
    Implicit,
    /// A file that was named, so that it must be there.
    Named(PathBuf),
}

impl Source {
    /// The file.
    pub fn path(&self) -> &Path {
        match self {
            Self::Implicit => Path::new(DEFAULT_PATH),
            Self::Named(path) => path,
        }
    }
}

fn resolve(path: &Path, raw: raw::Raw) -> Result<Config, ConfigError> {
    let wrong = |key, message: String| ConfigError::Value {
        path: path.to_owned(),
        key,
        message,
    };
    let absolute = |key, value: PathBuf| {
        if value.is_absolute() {
            return Ok(value);
        }
        let message = format!("`{}` is no absolute path", value.display());
        Err(wrong(key, message))
    };
    check_deadline(raw.deadline_ms).map_err(|message| wrong("deadline-ms", message))?;
    let exempt = exempt(&raw.exempt).map_err(|message| wrong("exempt", message))?;
    if !raw.metrics.listen.ip().is_loopback() {
        let message = format!(
            "`{}` is no loopback address: the metrics tell who talks to whom, without asking \
             who reads them",
            raw.metrics.listen
        );
        return Err(wrong("metrics.listen", message));
    }
    let named = |(key, message)| wrong(key, message);
    let server = server::resolve(raw.policy.server, raw.policy.bundle.as_deref()).map_err(named)?;
    let svid = svid::resolve(&raw.svid).map_err(named)?;
    let file = absolute("audit.file", raw.audit.file)?;
    Ok(Config {
        mode: raw.mode,
        deadline_ms: raw.deadline_ms,
        exempt,
        device: absolute("device", raw.device)?,
        state_dir: absolute("state-dir", raw.state_dir)?,
        runtime_dir: absolute("runtime-dir", raw.runtime_dir)?,
        concurrent: raw.concurrent,
        bundle: raw
            .policy
            .bundle
            .map(|bundle| absolute("policy.bundle", bundle))
            .transpose()?,
        server,
        svid,
        attest: Attest {
            digests: raw.attest.digests,
            readers: raw.attest.readers,
        },
        admin: Admin {
            socket: absolute("admin.socket", raw.admin.socket)?,
            group: raw.admin.group,
        },
        audit: Audit {
            file: raw.audit.to_file.then_some(file),
            max_bytes: raw.audit.max_bytes,
            keep: raw.audit.keep,
            journal: raw.audit.to_journal,
            per_second: raw.audit.per_second,
            burst: raw.audit.burst,
        },
        metrics: raw.metrics.enabled.then_some(raw.metrics.listen),
    })
}

fn check_deadline(deadline_ms: u32) -> Result<(), String> {
    let (least, most) = (DEADLINE_MS.start(), DEADLINE_MS.end());
    if DEADLINE_MS.contains(&deadline_ms) {
        Ok(())
    } else {
        Err(format!("{deadline_ms} is not within {least} to {most}"))
    }
}

fn exempt(texts: &[String]) -> Result<Exempt, String> {
    let prefix = |text: &String| parse_prefix(text).map_err(|error| format!("`{text}` {error}"));
    let prefixes = texts.iter().map(prefix).collect::<Result<Vec<_>, _>>()?;
    let found = prefixes.len();
    Exempt::new(&prefixes).ok_or_else(|| format!("{found} prefixes, and {MAX_EXEMPT} are allowed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(Path::new("t.toml"), text)
    }

    fn error(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn nothing_at_all_is_a_configuration() {
        let config = parse("").unwrap();
        assert_eq!(config.mode, None);
        assert_eq!(config.device, Path::new("/dev/tidelock"));
        assert_eq!(config.exempt, Exempt::NONE);
        assert!(config.metrics.is_some_and(|at| at.ip().is_loopback()));
        assert!(config.audit.file.is_some() && config.audit.journal);
        // A table that is there and says nothing is as one that is not.
        assert_eq!(parse("[audit]\n[policy]\n").unwrap(), config);
        // The packaged file says what the defaults are.
        let packaged = include_str!("../../../systemd/tidelockd.toml");
        assert_eq!(parse(packaged).unwrap(), config);
        let missing = Source::Named("/no/such.toml".into());
        let error = Config::load(&missing).unwrap_err().to_string();
        assert!(error.contains("/no/such.toml"), "{error}");
    }

    #[test]
    fn what_is_written_is_what_is_meant() {
        let config = parse(
            "mode = 'permissive'\ndeadline-ms = 250\nexempt = ['10.0.0.0/8', '::1']\n\
             [svid]\ntrust-domain = 'example.org'\nscope = 'workload'\n\
             [policy]\nbundle = '/srv/b'\n[audit]\nto-file = false\n[metrics]\nenabled = false\n",
        )
        .unwrap();
        assert_eq!(config.mode, Some(Mode::Permissive));
        assert_eq!(config.deadline(), Duration::from_millis(250));
        assert_eq!(config.exempt.iter().count(), 2);
        assert_eq!(config.bundle.as_deref(), Some(Path::new("/srv/b")));
        assert_eq!((config.audit.file, config.metrics), (None, None));
        let domain = config.svid.trust_domain.unwrap();
        assert_eq!(domain.as_str(), "example.org");
        assert_eq!(config.svid.scope, tidelock_wire::Scope::Workload);
        assert_eq!(config.svid.lifetime, Duration::from_hours(1));
    }

    #[test]
    fn a_key_that_is_not_known_is_refused_with_line_and_hint() {
        let told = error("\n\ndead-line-ms = 5\n");
        assert!(
            told.starts_with("t.toml, line 3: unknown field `dead-line-ms`"),
            "{told}"
        );
        assert!(told.ends_with("Did you mean `deadline-ms`?"), "{told}");
        let told = error("[audit]\nto-files = true\n");
        assert!(
            told.contains("line 2") && told.ends_with("Did you mean `to-file`?"),
            "{told}"
        );
        let told = error("mode = 'enforced'\n");
        assert!(
            told.contains("line 1") && told.ends_with("Did you mean `enforce`?"),
            "{told}"
        );
        let told = error("xyzzy = 1\n");
        assert!(!told.contains("Did you mean"), "{told}");
    }

    #[test]
    fn a_value_that_cannot_be_is_refused_by_name() {
        for (text, key) in [
            ("deadline-ms = 9", "deadline-ms"),
            ("deadline-ms = 60001", "deadline-ms"),
            ("exempt = ['10.0.0.1/8']", "exempt"),
            ("device = 'tidelock'", "device"),
            ("state-dir = 'x'", "state-dir"),
            ("[policy]\nbundle = 'x'", "policy.bundle"),
            ("[admin]\nsocket = 'x'", "admin.socket"),
            ("[audit]\nfile = 'x'", "audit.file"),
            ("[metrics]\nlisten = '0.0.0.0:1'", "metrics.listen"),
            ("[metrics]\nlisten = '[::]:1'", "metrics.listen"),
            ("[svid]\ntrust-domain = 'A'", "svid.trust-domain"),
            ("[svid]\nlifetime-seconds = 59", "svid.lifetime-seconds"),
            ("[svid]\nlifetime-seconds = 604801", "svid.lifetime-seconds"),
        ] {
            let told = error(text);
            assert!(told.starts_with(&format!("t.toml: {key}: ")), "{told}");
        }
        let many: String = (0..33).map(|at| format!("'10.0.0.{at}',")).collect();
        assert!(error(&format!("exempt = [{many}]")).contains("32 are allowed"));
        assert!(error("concurrent = 0").contains("line 1"));
        assert!(error("[audit]\nper-second = 0").contains("line 2"));
    }
}
