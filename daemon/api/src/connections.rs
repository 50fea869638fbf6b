// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The kernel's table of connections, `/proc/tidelock/connections`.
//!
//! One line a socket, of columns between single tabs, under a line that names the columns. It is
//! read strictly: a line that is not understood is an error that names it, never left out, for
//! what is missing from a list of connections is taken for not being there.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::Direction;

/// Where the kernel shows the table.
pub const TABLE: &str = "/proc/tidelock/connections";

/// The line that names the columns.
pub const HEADER: &str =
    "id\tdirection\tstate\tdecision\treason\tlocal\tremote\ttgid\tuid\tage_ms\tcomm";

/// What stands where there is nothing to say.
pub const NOTHING: &str = "-";

/// How many columns there are.
const COLUMNS: usize = 11;

/// All sockets that the kernel keeps an eye on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ConnectionsReport {
    /// In the kernel's order.
    pub connections: Vec<Connection>,
}

/// One of them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Connection {
    /// The number that names it in traces.
    pub id: u64,
    /// Which end this is; none where nothing was decided yet, as of one that listens.
    pub direction: Option<Direction>,
    /// How far it is, as the kernel words it.
    pub state: String,
    /// What was decided, as the kernel words it; `-` where nothing was yet.
    pub decision: String,
    /// The number of the reason.
    pub reason: u32,
    /// What the number means; filled in by the daemon, none where nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason_text: Option<String>,
    /// This end, as it was when it was decided; none where nothing was yet.
    pub local: Option<SocketAddr>,
    /// The other end.
    pub remote: Option<SocketAddr>,
    /// The process it belonged to when it was decided.
    pub tgid: u32,
    /// That process's user.
    pub uid: u32,
    /// How long ago it was made, in milliseconds.
    pub age_ms: u64,
    /// That process's own name. It can say anything; what is not printable is escaped.
    pub comm: String,
}

/// A table that is not understood.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TableError {
    /// The first line names other columns.
    #[error(
        "{TABLE}, line 1: other columns than this program knows; is it of the module's version?"
    )]
    Header,
    /// Too few or too many columns.
    #[error("{TABLE}, line {line}: {found} columns where there should be {COLUMNS}")]
    Columns {
        /// Counted from 1.
        line: usize,
        /// How many there are.
        found: usize,
    },
    /// A column that cannot be read.
    #[error("{TABLE}, line {line}: `{value}` is no {column}")]
    Value {
        /// Counted from 1.
        line: usize,
        /// The column's name.
        column: &'static str,
        /// What stood there.
        value: String,
    },
    /// The last line has no end: the table was cut off.
    #[error("{TABLE}: the last line is cut off")]
    CutOff,
}

/// Reads the table.
///
/// # Errors
/// When any line is not understood.
pub fn parse(table: &str) -> Result<Vec<Connection>, TableError> {
    let lines = table.strip_suffix('\n').ok_or(TableError::CutOff)?;
    // Not lines(): that would forgive a carriage return, which a process can put into its name.
    let mut lines = lines.split('\n').enumerate();
    if lines.next().map(|(_, line)| line) != Some(HEADER) {
        return Err(TableError::Header);
    }
    lines.map(|(at, line)| connection(at + 1, line)).collect()
}

fn connection(line: usize, text: &str) -> Result<Connection, TableError> {
    let columns: Vec<&str> = text.split('\t').collect();
    let Ok(
        [
            id,
            direction,
            state,
            decision,
            reason,
            local,
            remote,
            tgid,
            uid,
            age,
            comm,
        ],
    ) = <[&str; COLUMNS]>::try_from(columns.as_slice())
    else {
        let found = columns.len();
        return Err(TableError::Columns { line, found });
    };
    let word = |column, value: &str| {
        let fits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| value.to_owned())
            .ok_or_else(|| wrong(line, column, value))
    };
    Ok(Connection {
        id: number(line, "id", id)?,
        direction: match direction {
            "connect" => Some(Direction::Connect),
            "accept" => Some(Direction::Accept),
            NOTHING => None,
            _ => return Err(wrong(line, "direction", direction)),
        },
        state: word("state", state)?,
        decision: word("decision", decision)?,
        reason: hexadecimal(line, "reason", reason)?,
        reason_text: None,
        local: address(line, "local address", local)?,
        remote: address(line, "remote address", remote)?,
        tgid: number(line, "tgid", tgid)?,
        uid: number(line, "uid", uid)?,
        age_ms: number(line, "age", age)?,
        comm: comm.chars().flat_map(escape).collect(),
    })
}

/// A terminal does not obey what a process calls itself.
fn escape(letter: char) -> Vec<char> {
    if letter.is_control() || letter == char::REPLACEMENT_CHARACTER {
        letter.escape_default().collect()
    } else {
        vec![letter]
    }
}

fn number<T: std::str::FromStr>(
    line: usize,
    column: &'static str,
    value: &str,
) -> Result<T, TableError> {
    // FromStr of integers takes a leading plus, which no kernel writes.
    Some(value)
        .filter(|value| !value.starts_with('+'))
        .and_then(|value| value.parse().ok())
        .ok_or_else(|| wrong(line, column, value))
}

/// As the kernel writes it: `0x10000`, and `0`.
fn hexadecimal(line: usize, column: &'static str, value: &str) -> Result<u32, TableError> {
    match value.strip_prefix("0x") {
        Some(digits) if !digits.starts_with('+') => u32::from_str_radix(digits, 16).ok(),
        None if value == "0" => Some(0),
        _ => None,
    }
    .ok_or_else(|| wrong(line, column, value))
}

fn address(
    line: usize,
    column: &'static str,
    value: &str,
) -> Result<Option<SocketAddr>, TableError> {
    if value == NOTHING {
        return Ok(None);
    }
    number(line, column, value).map(Some)
}

fn wrong(line: usize, column: &'static str, value: &str) -> TableError {
    TableError::Value {
        line,
        column,
        value: value.escape_default().take(64).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str =
        "7\tconnect\testablished\tplain\t0x10000\t127.0.0.1:5\t[::1]:443\t12\t1000\t99\tcurl";

    fn table(line: &str) -> String {
        format!("{HEADER}\n{line}\n")
    }

    #[test]
    fn a_line_is_read_whole() {
        let all = parse(&table(LINE)).unwrap();
        let [one] = all.as_slice() else {
            panic!("{all:?}")
        };
        assert_eq!((one.id, one.direction), (7, Some(Direction::Connect)));
        assert_eq!(one.remote, Some("[::1]:443".parse().unwrap()));
        assert_eq!((one.reason, one.uid, one.age_ms), (65536, 1000, 99));
        assert_eq!(parse(&format!("{HEADER}\n")), Ok(Vec::new()));
        // One that listens.
        let all = parse(&table("8\t-\tlistening\t-\t0\t-\t-\t0\t0\t5\tnginx")).unwrap();
        assert_eq!((all[0].direction, all[0].reason), (None, 0));
        assert_eq!((all[0].local, all[0].remote), (None, None));
    }

    #[test]
    fn nothing_odd_is_forgiven() {
        let column = |column| TableError::Value {
            line: 2,
            column,
            value: String::new(),
        };
        for (from, to, name) in [
            ("connect", "listen", "direction"),
            ("7\t", "-7\t", "id"),
            ("7\t", "+7\t", "id"),
            ("plain", "", "decision"),
            ("plain", "pl ain", "decision"),
            ("127.0.0.1:5", "127.0.0.1", "local address"),
            ("[::1]:443", "::1:443x", "remote address"),
            ("0x10000", "65536", "reason"),
            ("0x10000", "0x", "reason"),
            ("0x10000", "0x+1", "reason"),
            ("0x10000", "0x100000000", "reason"),
            ("\t1000\t", "\t1e3\t", "uid"),
            ("\t12\t", "\t4294967296\t", "tgid"),
        ] {
            let found = parse(&table(&LINE.replacen(from, to, 1))).unwrap_err();
            match (found, column(name)) {
                (
                    TableError::Value { line, column, .. },
                    TableError::Value {
                        line: expected_line,
                        column: expected,
                        ..
                    },
                ) => assert_eq!((line, column), (expected_line, expected)),
                (found, _) => panic!("{to}: {found}"),
            }
        }
        assert_eq!(
            parse(&table(&LINE[2..])),
            Err(TableError::Columns { line: 2, found: 10 })
        );
        assert_eq!(
            parse(&table("")),
            Err(TableError::Columns { line: 2, found: 1 })
        );
        assert_eq!(parse(LINE), Err(TableError::CutOff));
        assert_eq!(parse(&format!("{LINE}\n")), Err(TableError::Header));
        assert_eq!(parse(""), Err(TableError::CutOff));
    }

    #[test]
    fn a_name_cannot_speak_to_the_terminal() {
        let all = parse(&table(&LINE.replace("curl", "a\u{1b}[2J\rb"))).unwrap();
        assert_eq!(all[0].comm, "a\\u{1b}[2J\\rb");
    }
}
