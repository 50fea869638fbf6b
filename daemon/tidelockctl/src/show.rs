// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Text for people: tables, colours, and nothing that a terminal would obey.

use std::io::{self, IsTerminal as _, Write as _};

/// How a text stands out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tone {
    /// All is well.
    Good,
    /// Look here.
    Bad,
    /// Half of both.
    Odd,
}

/// Where text goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Screen {
    colour: bool,
    /// Whether somebody watches.
    pub(crate) terminal: bool,
}

impl Screen {
    /// Standard output, in colours where somebody sees them and NO_COLOR does not forbid it
    /// (no-color.org).
    pub(crate) fn stdout() -> Self {
        let terminal = io::stdout().is_terminal();
        let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            colour: terminal && !forbidden && !dumb,
            terminal,
        }
    }

    /// A text that stands out.
    pub(crate) fn tone(self, tone: Tone, text: &str) -> String {
        let text = plain(text);
        if !self.colour {
            return text;
        }
        let code = match tone {
            Tone::Good => 32,
            Tone::Bad => 31,
            Tone::Odd => 33,
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// Writes a text to standard output. Unlike `print!` this is an error, not a panic, when nobody
/// reads any more.
pub(crate) fn put(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// What a process calls itself can hold anything: what a terminal would obey is spelt out.
pub(crate) fn plain(text: &str) -> String {
    let spelt = |letter: char| -> String {
        if letter.is_control() {
            letter.escape_default().collect()
        } else {
            letter.into()
        }
    };
    text.chars().map(spelt).collect()
}

/// Rows in columns, the first row being the heads. The last column is not padded.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| plain(cell)).collect())
        .collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.get(at));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths);
        let padded: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// Names and values, one a line.
pub(crate) fn list(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    pairs
        .iter()
        .map(|(name, value)| format!("{name:<width$}  {value}\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other_and_nothing_is_obeyed() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let text = table(&[row(["NAME", "N"]), row(["a\u{1b}[2J", "1"])]);
        assert_eq!(text, "NAME        N\na\\u{1b}[2J  1\n");
        assert_eq!(
            list(&[("a", "1".into()), ("bcd", "2".into())]),
            "a    1\nbcd  2\n"
        );
    }

    #[test]
    fn colours_are_for_who_sees_them() {
        let screen = |colour| Screen {
            colour,
            terminal: true,
        };
        assert_eq!(screen(false).tone(Tone::Bad, "no"), "no");
        assert_eq!(
            screen(true).tone(Tone::Bad, "n\ro"),
            "\u{1b}[31mn\\ro\u{1b}[0m"
        );
    }
}
