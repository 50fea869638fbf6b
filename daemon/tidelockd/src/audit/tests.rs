// SPDX-License-Identifier: Apache-2.0 OR MIT
use std::{os::unix::net::UnixDatagram, path::Path};

use tidelock_api::{Direction, Mode};

use super::*;

fn line(event: Event) -> Line {
    Line {
        time: rfc3339(SystemTime::UNIX_EPOCH),
        event,
        direction: Direction::Connect,
        local: "0.0.0.0:0".parse().unwrap(),
        remote: "192.0.2.1:443".parse().unwrap(),
        pid: 12,
        uid: 1000,
        comm: "a\nb".into(),
        exe: None,
        exe_sha256: None,
        systemd_unit: None,
        container: None,
        pod: None,
        decision: "deny",
        reason: "not listed".into(),
        reason_number: 7,
        detail: None,
        spiffe_id: None,
        svid_serial: None,
        svid_not_after: None,
        ttl_seconds: 1,
        generation: 2,
        policy: "r1".into(),
        mode: Mode::Enforce,
        micros: 3,
    }
}

fn sinks(dir: &Path, burst: u32) -> Sinks {
    Sinks {
        file: Some(LineFile::new(dir.join("audit"), u64::MAX, 1)),
        journal: None,
        bucket: Bucket::new(1, burst, Duration::ZERO),
    }
}

fn lines(dir: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(dir.join("audit")).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_line_is_one_object_whatever_a_process_calls_itself() {
    let dir = tempfile::tempdir().unwrap();
    let (audit, writer) = Audit::start(sinks(dir.path(), 10)).unwrap();
    audit.write(line(Event::Denied));
    writer.finish();
    let lines = lines(dir.path());
    let expected = serde_json::json!({
        "time": "1970-01-01T00:00:00.000000Z", "event": "denied", "direction": "connect",
        "local": "0.0.0.0:0", "remote": "192.0.2.1:443", "pid": 12, "uid": 1000, "comm": "a\nb",
        "decision": "deny", "reason": "not listed", "reason_number": 7, "ttl_seconds": 1,
        "generation": 2, "policy": "r1", "mode": "enforce", "micros": 3,
    });
    assert_eq!(lines, [expected]);
}

#[test]
fn an_svid_is_told_by_its_number_or_by_what_it_lacks() {
    let line = |event| Line {
        comm: "db".into(),
        spiffe_id: Some("spiffe://a.test/db".into()),
        svid_serial: Some("0a0b".into()),
        svid_not_after: Some("2027-01-01T00:00:00.000000Z".into()),
        ..line(event)
    };
    assert_eq!(
        line(Event::Issued).message(),
        "issued: spiffe://a.test/db to db (pid 12, uid 1000), serial 0a0b, until \
         2027-01-01T00:00:00.000000Z"
    );
    assert_eq!(
        line(Event::Unissued).message(),
        "not issued: spiffe://a.test/db to db (pid 12, uid 1000): not listed"
    );
    let mut counted = Suppressed::default();
    for event in [Event::Issued, Event::Unissued, Event::Unissued] {
        counted.count(event);
    }
    let both = counted.and(counted);
    assert_eq!((both.issued, both.unissued, both.total()), (2, 4, 6));
}

#[test]
fn what_is_left_out_is_counted_to_the_last() {
    let dir = tempfile::tempdir().unwrap();
    let (audit, writer) = Audit::start(sinks(dir.path(), 5)).unwrap();
    let total = 3 * u64::try_from(QUEUE).unwrap();
    for _ in 0..total {
        audit.write(line(Event::Allowed));
    }
    audit.write(line(Event::Error));
    writer.finish();
    let lines = lines(dir.path());
    let written = lines.iter().filter(|line| line["event"] != "suppressed");
    let (mut missing, written) = (0, written.count() as u64);
    for summary in lines.iter().filter(|line| line["event"] == "suppressed") {
        missing += summary["allowed"].as_u64().unwrap() + summary["errors"].as_u64().unwrap();
    }
    assert!(written >= 5, "{written}");
    assert_eq!(written + missing, total + 1);
    assert_eq!(audit.suppressed(), missing);
}

#[test]
fn what_was_issued_is_written_however_many_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (audit, writer) = Audit::start(sinks(dir.path(), 5)).unwrap();
    for _ in 0..100 {
        audit.write(line(Event::Denied));
    }
    audit.write(line(Event::Issued));
    writer.finish();
    let lines = lines(dir.path());
    let issued = lines.iter().filter(|line| line["event"] == "issued");
    assert_eq!(issued.count(), 1);
    assert!(lines.len() < 20, "{}", lines.len());
}

#[test]
fn the_journal_gets_the_same_with_its_own_fields() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let fake = UnixDatagram::bind(&path).unwrap();
    let sinks = Sinks {
        journal: Some(Journal::new(&path)),
        file: None,
        bucket: Bucket::new(1, 1, Duration::ZERO),
    };
    let (audit, writer) = Audit::start(sinks).unwrap();
    audit.write(line(Event::Denied));
    let mut buffer = [0; 4096];
    let len = fake.recv(&mut buffer).unwrap();
    let text = String::from_utf8_lossy(&buffer[..len]).into_owned();
    assert!(
        text.starts_with("MESSAGE\n"),
        "a line's end in a name: {text}"
    );
    assert!(
        text.contains("denied: connect of a\nb (pid 12, uid 1000) to 192.0.2.1:443: not listed")
    );
    assert!(
        text.contains("\nPRIORITY=4\nSYSLOG_IDENTIFIER=tidelock-audit\nTIDELOCK_EVENT=denied\n")
    );
    writer.finish();
}
