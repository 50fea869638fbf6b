// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A client of QEMU's machine protocol (QMP): one JSON value a line.

use std::{io, path::Path, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::{sleep, timeout},
};

use super::{
    arguments::{Direction, channel},
    qemu::Version,
};

/// QEMU did not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// The connection broke: mostly because QEMU died.
    #[error("the connection to QEMU's monitor broke: {0}")]
    Io(#[from] io::Error),
    /// It refused.
    #[error("QEMU refused {command}: {what}")]
    Refused {
        /// What it was told.
        command: String,
        /// Why not.
        what: String,
    },
    /// It said something that is not QMP.
    #[error("QEMU's monitor said {0:?}, which is not QMP")]
    Garbled(String),
    /// It was told and did not get done.
    #[error("QEMU's monitor took more than {limit} s to {0}", limit = LIMIT.as_secs())]
    Silent(&'static str),
    /// A state could not be saved or restored.
    #[error("QEMU could not {0}")]
    Migration(String),
}

/// How long QEMU may take over one exchange. The memory is never in it, only the state of the
/// devices, which takes milliseconds: the rest is for a host that is very busy.
pub(crate) const LIMIT: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(2);

/// A connection past its greeting.
#[derive(Debug)]
pub struct Qmp {
    lines: Lines<BufReader<OwnedReadHalf>>,
    writer: OwnedWriteHalf,
}

impl Qmp {
    /// Takes part in the handshake.
    pub async fn greet(stream: UnixStream) -> Result<Self, QmpError> {
        let (reader, writer) = stream.into_split();
        let mut qmp = Self {
            lines: BufReader::new(reader).lines(),
            writer,
        };
        limited("greet", qmp.shake_hands()).await?;
        Ok(qmp)
    }

    async fn shake_hands(&mut self) -> Result<(), QmpError> {
        let greeting = self.read().await?;
        if greeting.get("QMP").is_none() {
            return Err(QmpError::Garbled(greeting.to_string()));
        }
        self.execute("qmp_capabilities", json!({})).await?;
        Ok(())
    }

    async fn read(&mut self) -> Result<Value, QmpError> {
        let line = self.lines.next_line().await?;
        let line = line.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        serde_json::from_str(&line).map_err(|_| QmpError::Garbled(line))
    }

    /// Has one command executed; events that come meanwhile are not of interest.
    pub async fn execute(&mut self, command: &str, arguments: Value) -> Result<Value, QmpError> {
        let mut line = json!({ "execute": command, "arguments": arguments }).to_string();
        line.push('\n');
        self.writer.write_all(line.as_bytes()).await?;
        loop {
            let mut answer = self.read().await?;
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
            if let Some(error) = answer.get("error") {
                return Err(QmpError::Refused {
                    command: command.into(),
                    what: error["desc"].as_str().unwrap_or("no reason").into(),
                });
            }
        }
    }

    /// Stops the machine and saves all but its memory, which lives in a file already.
    pub async fn save(&mut self, state: &Path, version: Version) -> Result<(), QmpError> {
        let what = "save the state";
        let saved = async {
            self.execute("stop", json!({})).await?;
            self.ignore_shared().await?;
            let uri = channel(state, version, Direction::To);
            self.execute("migrate", json!({ "uri": uri })).await?;
            self.migrated(what).await
        };
        limited(what, saved).await
    }

    /// Restores all but the memory, and lets the machine run.
    pub async fn restore(&mut self, state: &Path, version: Version) -> Result<(), QmpError> {
        let what = "restore the state";
        let restored = async {
            self.ignore_shared().await?;
            let uri = channel(state, version, Direction::From);
            self.execute("migrate-incoming", json!({ "uri": uri }))
                .await?;
            self.migrated(what).await?;
            self.execute("cont", json!({})).await?;
            Ok(())
        };
        limited(what, restored).await
    }

    /// Memory in files is where it is: neither saved nor restored.
    async fn ignore_shared(&mut self) -> Result<(), QmpError> {
        let capabilities = json!([{ "capability": "x-ignore-shared", "state": true }]);
        let arguments = json!({ "capabilities": capabilities });
        self.execute("migrate-set-capabilities", arguments).await?;
        Ok(())
    }

    async fn migrated(&mut self, what: &str) -> Result<(), QmpError> {
        loop {
            let info = self.execute("query-migrate", json!({})).await?;
            match info["status"].as_str() {
                Some("completed") => return Ok(()),
                Some("failed" | "cancelled") => {
                    let why = info["error-desc"].as_str().unwrap_or("it gives no reason");
                    return Err(QmpError::Migration(format!("{what}: {why}")));
                }
                _ => sleep(POLL).await,
            }
        }
    }
}

/// The same work, for no longer than [`LIMIT`]: the connection is of no use after that.
async fn limited<T>(
    what: &'static str,
    work: impl Future<Output = Result<T, QmpError>>,
) -> Result<T, QmpError> {
    let done = timeout(LIMIT, work).await;
    done.unwrap_or(Err(QmpError::Silent(what)))
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    /// A monitor that says `lines`, each after a line it was told, the first at once.
    async fn monitor(lines: &'static [&'static str]) -> Qmp {
        let (ours, theirs) = UnixStream::pair().unwrap();
        tokio::spawn(async move {
            let (reader, mut writer) = theirs.into_split();
            let mut told = BufReader::new(reader).lines();
            for line in lines {
                writer
                    .write_all(format!("{line}\n").as_bytes())
                    .await
                    .unwrap();
                if !line.contains("event") && told.next_line().await.unwrap().is_none() {
                    return;
                }
            }
        });
        Qmp::greet(ours).await.unwrap()
    }

    #[tokio::test]
    async fn events_are_passed_over_and_answers_taken() {
        let mut qmp = monitor(&[
            r#"{"QMP": {}}"#,
            r#"{"return": {}}"#,
            r#"{"event": "STOP"}"#,
            r#"{"return": {"status": "running"}}"#,
        ])
        .await;
        let status = qmp.execute("query-status", json!({})).await.unwrap();
        assert_eq!(status["status"], "running");
    }

    #[tokio::test]
    async fn a_refusal_and_a_death_are_told_apart() {
        let mut qmp = monitor(&[
            r#"{"QMP": {}}"#,
            r#"{"return": {}}"#,
            r#"{"error": {"class": "GenericError", "desc": "no such thing"}}"#,
        ])
        .await;
        let refused = qmp.execute("frobnicate", json!({})).await.unwrap_err();
        assert_eq!(
            refused.to_string(),
            "QEMU refused frobnicate: no such thing"
        );
        let dead = qmp.execute("cont", json!({})).await.unwrap_err();
        assert!(matches!(dead, QmpError::Io(_)), "{dead}");
    }

    #[tokio::test]
    async fn a_failed_restore_is_told() {
        let mut qmp = monitor(&[
            r#"{"QMP": {}}"#,
            r#"{"return": {}}"#,
            r#"{"return": {}}"#,
            r#"{"return": {}}"#,
            r#"{"return": {"status": "active"}}"#,
            r#"{"return": {"status": "failed", "error-desc": "short file"}}"#,
        ])
        .await;
        let version = Version::parse("version 10.0.2").unwrap();
        let error = qmp
            .restore(Path::new("/s"), version)
            .await
            .unwrap_err()
            .to_string();
        assert_eq!(error, "QEMU could not restore the state: short file");
    }

    /// A fake of a QEMU that hangs: its end of the socket stays open, and nothing comes of it.
    fn fake_silent_monitor() -> (Qmp, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (reader, writer) = ours.into_split();
        let lines = BufReader::new(reader).lines();
        (Qmp { lines, writer }, theirs)
    }

    fn assert_silent<T: std::fmt::Debug>(result: Result<T, QmpError>, since: Instant, what: &str) {
        assert_eq!(
            result.unwrap_err().to_string(),
            format!("QEMU's monitor took more than 60 s to {what}")
        );
        assert_eq!(since.elapsed().as_secs(), LIMIT.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_monitor_is_not_waited_for_without_end() {
        let (ours, _fake) = UnixStream::pair().unwrap();
        let began = Instant::now();
        assert_silent(Qmp::greet(ours).await, began, "greet");

        let version = Version::parse("version 10.0.2").unwrap();
        let (mut qmp, _fake) = fake_silent_monitor();
        let began = Instant::now();
        let saved = qmp.save(Path::new("/s"), version).await;
        assert_silent(saved, began, "save the state");

        let (mut qmp, _fake) = fake_silent_monitor();
        let began = Instant::now();
        let restored = qmp.restore(Path::new("/s"), version).await;
        assert_silent(restored, began, "restore the state");
    }
}
