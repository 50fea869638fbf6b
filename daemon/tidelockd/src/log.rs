// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the daemon says of itself: lines on standard error, for the journal to read.

use std::io::{self, Stderr};

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// Puts the journal's level before each line, `<3>` for an error (sd-daemon(3)). The journal
/// stamps the time itself.
struct Journalled;

impl<'a> MakeWriter<'a> for Journalled {
    type Writer = Prefixed;

    fn make_writer(&'a self) -> Prefixed {
        Prefixed::new("<6>")
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Prefixed {
        Prefixed::new(match *meta.level() {
            Level::ERROR => "<3>",
            Level::WARN => "<4>",
            Level::INFO => "<6>",
            _ => "<7>",
        })
    }
}

/// Writes a whole line at once, with what stands before it.
struct Prefixed {
    prefix: &'static str,
    stderr: Stderr,
}

impl Prefixed {
    fn new(prefix: &'static str) -> Self {
        Self {
            prefix,
            stderr: io::stderr(),
        }
    }
}

impl io::Write for Prefixed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut line = self.prefix.as_bytes().to_vec();
        line.extend(bytes);
        self.stderr.lock().write_all(&line)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stderr.flush()
    }
}

/// Starts logging, up to this level. Where the process has a log already that one stays.
pub fn start(level: Level) {
    let builder = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false)
        .with_ansi(false);
    // systemd says so where standard error is the journal's (systemd.exec(5)).
    let result = if std::env::var_os("JOURNAL_STREAM").is_some() {
        builder
            .without_time()
            .with_level(false)
            .with_writer(Journalled)
            .try_init()
    } else {
        builder.with_writer(io::stderr).try_init()
    };
    drop(result);
}
