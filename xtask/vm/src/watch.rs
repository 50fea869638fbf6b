// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Listens to a machine until it has said its last word, dies, or falls silent.

use std::{
    io,
    process::ExitStatus,
    time::{Duration, Instant},
};

use tokio::{io::AsyncReadExt as _, net::UnixStream, time::sleep_until};

use crate::machine::Vm;

/// More than any test writes; a guest that writes more is stopped.
const FLOOD: usize = 64 << 20;

/// How long the last bytes of a dead machine may take to read: they are in the sockets already.
const DRAINING: Duration = Duration::from_secs(10);

/// How long to listen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    /// Between two words on the control port.
    pub silence: Duration,
    /// In all.
    pub total: Duration,
}

/// How it came to an end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// With the word that was waited for.
    Said(String),
    /// The guest refused what it was asked, for this reason.
    Refused(String),
    /// The guest gave itself up, for this reason.
    Fatal(String),
    /// QEMU ended: by itself when the guest restarts or powers off.
    Died(ExitStatus),
    /// Nothing was said on the control port for so long.
    Silent(Duration),
    /// The word did not come in all this time.
    Overtime(Duration),
    /// A port carried more than anybody would read.
    Flooded(&'static str),
}

/// All that was heard.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Heard {
    /// On the verdict's port.
    pub ktap: Vec<u8>,
    /// On the log's port.
    pub kmsg: Vec<u8>,
    /// On the control port: a line each, with the seconds since the watch began.
    pub transcript: String,
    control: Vec<u8>,
}

impl Heard {
    /// Notes what the host says.
    pub fn note(&mut self, began: Instant, line: &str) {
        let seconds = began.elapsed().as_secs_f64();
        self.transcript
            .extend([format!("{seconds:9.3} "), line.into(), "\n".into()]);
    }

    /// Takes away what belongs to the next test on the same machine: half a line of the log or
    /// of the control port.
    #[must_use]
    pub fn split_rest(&mut self) -> Self {
        let whole = self.kmsg.iter().rposition(|byte| *byte == b'\n');
        Self {
            kmsg: self.kmsg.split_off(whole.map_or(0, |end| end + 1)),
            control: std::mem::take(&mut self.control),
            ..Self::default()
        }
    }

    /// The whole lines that have come on the control port.
    fn lines(&mut self, began: Instant) -> Vec<String> {
        let Some(end) = self.control.iter().rposition(|byte| *byte == b'\n') else {
            return Vec::new();
        };
        let rest = self.control.split_off(end + 1);
        let whole = std::mem::replace(&mut self.control, rest);
        let whole = String::from_utf8_lossy(&whole);
        let lines: Vec<String> = whole
            .lines()
            .map(|line| line.trim_end().to_owned())
            .collect();
        for line in &lines {
            self.note(began, &format!("< {line}"));
        }
        lines
    }
}

/// What a line of the control port means to a watch that waits for the word `wanted`.
fn meaning(line: &str, wanted: &str) -> Option<End> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    match word {
        _ if word == wanted => Some(End::Said(rest.into())),
        "REFUSED" => Some(End::Refused(rest.into())),
        "FATAL" => Some(End::Fatal(rest.into())),
        _ => None,
    }
}

/// Listens until the guest says `wanted` on the control port.
pub async fn watch(vm: &mut Vm, heard: &mut Heard, wanted: &str, patience: Patience) -> End {
    let began = Instant::now();
    let mut said = Instant::now();
    // A port's end of file is not the machine's end: that is told by its process.
    let mut open = [true; 3];
    loop {
        let silent = said + patience.silence;
        let deadline = silent.min(began + patience.total);
        tokio::select! {
            read = vm.control.read_buf(&mut heard.control), if open[0] => {
                open[0] = more(&read);
                let lines = heard.lines(began);
                if !lines.is_empty() {
                    said = Instant::now();
                }
                if let Some(end) = lines.iter().find_map(|line| meaning(line, wanted)) {
                    return end;
                }
            }
            read = vm.ktap.read_buf(&mut heard.ktap), if open[1] => open[1] = more(&read),
            read = vm.kmsg.read_buf(&mut heard.kmsg), if open[2] => open[2] = more(&read),
            status = vm.child.wait() => {
                drain(vm, heard).await;
                let last = heard.lines(began);
                let last = last.iter().find_map(|line| meaning(line, wanted));
                return last.unwrap_or(End::Died(status.unwrap_or_default()));
            }
            () = sleep_until(deadline.into()) => {
                return if silent <= began + patience.total {
                    End::Silent(patience.silence)
                } else {
                    End::Overtime(patience.total)
                };
            }
        }
        let floods = [
            ("ktap", heard.ktap.len()),
            ("kmsg", heard.kmsg.len()),
            ("control", heard.transcript.len()),
        ];
        if let Some((port, _)) = floods.iter().find(|(_, length)| *length > FLOOD) {
            return End::Flooded(port);
        }
    }
}

fn more(read: &io::Result<usize>) -> bool {
    matches!(read, Ok(1..))
}

/// Reads what a machine that has ended left in its sockets.
pub async fn drain(vm: &mut Vm, heard: &mut Heard) {
    let rest = async |port: &mut UnixStream, into: &mut Vec<u8>| {
        // Whatever came before an error was heard, and that is all there is.
        let _ = tokio::time::timeout(DRAINING, port.read_to_end(into)).await;
    };
    tokio::join!(
        rest(&mut vm.control, &mut heard.control),
        rest(&mut vm.ktap, &mut heard.ktap),
        rest(&mut vm.kmsg, &mut heard.kmsg),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_wanted_word_and_a_failure_end_a_watch() {
        let said = |line| meaning(line, "DONE");
        assert_eq!(
            said("DONE load.module"),
            Some(End::Said("load.module".into()))
        );
        assert_eq!(said("FATAL no ports"), Some(End::Fatal("no ports".into())));
        assert_eq!(said("REFUSED no"), Some(End::Refused("no".into())));
        for line in ["BEAT 7", "DONEx", "", "READY 1 6.1"] {
            assert_eq!(said(line), None, "{line}");
        }
    }

    #[test]
    fn half_a_line_is_the_next_tests() {
        let mut heard = Heard {
            ktap: b"ok 1 a\n".into(),
            kmsg: b"6,1,1,-;one\n6,2,2,-;tw".into(),
            control: b"BEA".into(),
            transcript: "said\n".into(),
        };
        let rest = heard.split_rest();
        assert_eq!(
            (&rest.kmsg[..], &rest.control[..]),
            (&b"6,2,2,-;tw"[..], &b"BEA"[..])
        );
        assert!(rest.ktap.is_empty() && rest.transcript.is_empty());
        assert_eq!(heard.kmsg, b"6,1,1,-;one\n");
        assert_eq!(
            (&heard.ktap[..], heard.transcript.as_str()),
            (&b"ok 1 a\n"[..], "said\n")
        );
    }

    #[test]
    fn lines_are_taken_whole_and_noted() {
        let began = Instant::now();
        let mut heard = Heard::default();
        heard.control.extend_from_slice(b"BEAT 1\nBEA");
        assert_eq!(heard.lines(began), ["BEAT 1"]);
        assert!(heard.lines(began).is_empty());
        heard.control.extend_from_slice(b"T 2\n");
        assert_eq!(heard.lines(began), ["BEAT 2"]);
        assert_eq!(heard.transcript.lines().count(), 2);
    }

    proptest::proptest! {
        #[test]
        fn what_comes_in_pieces_is_what_comes_whole(
            text in "[A-Z \n]{0,80}",
            cut in 0usize..80,
        ) {
            let began = Instant::now();
            let mut whole = Heard { control: text.clone().into_bytes(), ..Heard::default() };
            let mut pieces = Heard::default();
            let (first, second) = text.split_at(cut.min(text.len()));
            pieces.control.extend_from_slice(first.as_bytes());
            let mut lines = pieces.lines(began);
            pieces.control.extend_from_slice(second.as_bytes());
            lines.extend(pieces.lines(began));
            proptest::prop_assert_eq!(lines, whole.lines(began));
        }
    }
}
