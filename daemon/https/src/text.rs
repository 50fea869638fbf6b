// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What others say, made fit for a log: servers, documents, certificates.

/// How much of it is told, in characters.
const MAX_TOLD: usize = 300;

/// Words of a server or of a certificate: in one line, without what commands a terminal, and no
/// longer than anybody reads.
pub fn told(text: &str) -> String {
    let text = text.trim();
    let mut told: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_TOLD)
        .collect();
    if text.chars().nth(MAX_TOLD).is_some() {
        told.push('…');
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_one_line_and_no_longer_than_anybody_reads() {
        assert_eq!(told(" a\n\u{1b}[2Jb \n"), "a  [2Jb");
        assert_eq!(told(&"é".repeat(MAX_TOLD)), "é".repeat(MAX_TOLD));
        let long = told(&"é".repeat(MAX_TOLD + 1));
        assert_eq!(long, "é".repeat(MAX_TOLD) + "…");
    }
}
