// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A restored machine, and the tests it runs one after another.
//!
//! Most tests are short beside the restore of a machine, and beside a TCG that has forgotten all
//! it had translated. Such tests share one, as long as each of them is a clean pass: whatever is
//! not ends the machine, and the next test has a new one.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tidelock_host::files::{self, FileError};
use tokio::{
    io::AsyncReadExt as _,
    time::{timeout, timeout_at},
};

use crate::{
    boot,
    kmsg::{self, Log},
    ktap,
    machine::{MachineError, Vm, serial_path},
    watch::{End, Heard, Patience, drain, watch},
};

/// How long what was said before `DONE` may take to be read: it is in the sockets already.
const SETTLING: Duration = Duration::from_secs(10);

/// How long QEMU may take to end once it takes no orders any more.
const DYING: Duration = Duration::from_secs(5);

/// A machine in use.
pub(crate) struct Shared {
    vm: Vm,
    /// Where its console ([`console_path`]) and QEMU's words go: the logs of the first test.
    first: PathBuf,
    ran: Vec<String>,
    /// The number of the log's last record before the test.
    after: Option<u64>,
    /// How much of the console was told before it.
    serial: usize,
    /// What it has taken of the host's processors so far.
    spent: Duration,
    /// What came behind the last test's last whole line.
    rest: Heard,
}

/// All that was heard of a test, and of what came before it.
pub(crate) struct Account {
    /// How it ended.
    pub(crate) end: End,
    /// What the ports carried.
    pub(crate) heard: Heard,
    /// The number of the log's last record before the test.
    pub(crate) after: Option<u64>,
    /// What the console said during the test.
    pub(crate) serial: String,
    /// What the machine had run before.
    pub(crate) ran: Vec<String>,
}

impl Shared {
    /// A machine that was restored just now, whose log had come to the record `after`.
    pub(crate) fn new(vm: Vm, logs: &Path, after: Option<u64>) -> Self {
        Self {
            vm,
            first: logs.to_owned(),
            ran: Vec::new(),
            after,
            serial: 0,
            spent: Duration::ZERO,
            rest: Heard::default(),
        }
    }

    /// Has the guest run a test, listens to the end, and keeps what was heard in `logs`. With
    /// `last`, or when the test did not come to its end, the machine ends too.
    pub(crate) async fn run(
        &mut self,
        test: &str,
        order: &str,
        patience: Patience,
        last: bool,
        logs: &Path,
    ) -> Result<Account, MachineError> {
        let began = Instant::now();
        let mut heard = std::mem::take(&mut self.rest);
        if let Some(before) = self.ran.last() {
            let count = self.ran.len() + 1;
            let where_ = self.first.display();
            heard.note(
                began,
                &format!("= after {before}, test {count} of the machine of {where_}"),
            );
        }
        heard.note(began, &format!("> {order}"));
        let end = match self.vm.order(order).await {
            Ok(()) => watch(&mut self.vm, &mut heard, "DONE", patience).await,
            // It has run others: what they left behind has ended it, and is looked for.
            Err(_) if !self.ran.is_empty() => self.died().await,
            Err(error) => return Err(error),
        };
        if let Some(time) = self.vm.child.id().and_then(processor_time) {
            let before = std::mem::replace(&mut self.spent, time);
            let spent = time.saturating_sub(before).as_millis();
            heard.note(began, &format!("= {spent} ms of the host's processors"));
        }
        let over = last || !matches!(end, End::Said(_));
        if over {
            // Nothing it could still do counts; what it said is in the sockets.
            self.end().await;
            drain(&mut self.vm, &mut heard).await;
        } else {
            settle(&mut self.vm, &mut heard, test).await;
            self.rest = heard.split_rest();
        }
        let account = Account {
            end,
            after: self.after,
            serial: self.console(logs, over)?,
            ran: self.ran.clone(),
            heard,
        };
        boot::keep(logs, &account.heard)?;
        self.after = last_record(self.after, &account.heard.kmsg);
        self.ran.push(test.into());
        Ok(account)
    }

    /// Ends it.
    pub(crate) async fn end(&mut self) {
        // It may be dead already, which is as good.
        let _ = self.vm.child.kill().await;
    }

    /// How it ended, when it does not take orders any more.
    async fn died(&mut self) -> End {
        match timeout(DYING, self.vm.child.wait()).await {
            Ok(Ok(status)) => End::Died(status),
            Ok(Err(_)) | Err(_) => End::Silent(DYING),
        }
    }

    /// What the console said since the test before: whole lines, unless the machine is `over`.
    fn console(&mut self, logs: &Path, over: bool) -> Result<String, FileError> {
        let whole = files::read(&console_path(&self.first))?;
        let new = whole.get(self.serial..).unwrap_or_default();
        let new = if over { new } else { whole_lines(new) };
        files::write_atomic(&serial_path(logs), new)?;
        self.serial += new.len();
        Ok(String::from_utf8_lossy(new).into_owned())
    }
}

/// Where QEMU writes the console of a machine to, whichever test it runs.
pub(crate) fn console_path(first: &Path) -> PathBuf {
    first.join("console.log")
}

/// Up to the last line that is whole.
fn whole_lines(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte == b'\n');
    bytes
        .get(..end.map_or(0, |end| end + 1))
        .unwrap_or_default()
}

/// Reads until the test's verdict and the log up to its end are there, or never will be: the
/// judge then finds what is missing.
async fn settle(vm: &mut Vm, heard: &mut Heard, test: &str) {
    let deadline = tokio::time::Instant::now() + SETTLING;
    let whole = |heard: &Heard| {
        Log::parse(&heard.kmsg).has_end_of(test) && ktap::parse(&heard.ktap).is_ok()
    };
    while !whole(heard) {
        let more = async {
            tokio::select! {
                read = vm.ktap.read_buf(&mut heard.ktap) => read,
                read = vm.kmsg.read_buf(&mut heard.kmsg) => read,
            }
        };
        match timeout_at(deadline, more).await {
            Ok(Ok(1..)) => {}
            Ok(Ok(0) | Err(_)) | Err(_) => return,
        }
    }
}

/// How long a process has run, on all processors together (proc_pid_stat(5)).
fn processor_time(pid: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    // utime and stime are the fields 14 and 15 of the line, in ticks.
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    let per_second = rustix::param::clock_ticks_per_second();
    Some(Duration::from_millis(
        ticks.checked_mul(1_000)? / per_second.max(1),
    ))
}

/// The number of the last record, when the log before ended with record `after`.
fn last_record(after: Option<u64>, kmsg: &[u8]) -> Option<u64> {
    let mut reader = after.map_or_else(kmsg::Reader::default, kmsg::Reader::after);
    reader.push(kmsg);
    let log = reader.finish();
    log.records.last().map(|record| record.sequence).or(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_line_of_the_console_waits_for_the_other_half() {
        assert_eq!(whole_lines(b"one\ntw"), b"one\n");
        assert_eq!(whole_lines(b"tw"), b"");
        assert_eq!(whole_lines(b"one\n"), b"one\n");
    }

    #[test]
    fn a_process_tells_how_long_it_has_run() {
        let me = std::process::id();
        let before = processor_time(me).unwrap();
        let end = Instant::now() + Duration::from_millis(100);
        while Instant::now() < end || processor_time(me).unwrap() == before {}
        assert!(processor_time(me).unwrap() > before);
        assert_eq!(processor_time(u32::MAX), None);
    }

    #[test]
    fn the_last_record_is_the_newest_or_that_of_before() {
        assert_eq!(last_record(None, b"6,7,100,-;a\n6,8,101,-;b\n"), Some(8));
        assert_eq!(last_record(Some(6), b"6,7,100,-;a\n"), Some(7));
        assert_eq!(last_record(Some(6), b""), Some(6));
    }
}
