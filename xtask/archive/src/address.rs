// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where a file of an archive is served.

use std::fmt::{self, Write as _};

/// A path below the base of one of the archive's mirrors.
///
/// What is shown of it is the path: reports are committed and compared, and which mirror a host
/// has is nothing to them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address {
    whole: Box<str>,
    /// Where the path begins in it.
    path: usize,
}

impl Address {
    /// That of `path` below `base`.
    pub fn new(base: &str, path: &str) -> Self {
        Self {
            whole: format!("{base}/{path}").into(),
            path: base.len() + 1,
        }
    }

    /// What to ask the mirror for: versions of packages have characters that a URL cannot.
    pub fn url(&self) -> String {
        let (base, path) = self.whole.split_at(self.path);
        let mut url = base.to_owned();
        for byte in path.bytes() {
            if byte.is_ascii_alphanumeric() || b"/-._~+:".contains(&byte) {
                url.push(char::from(byte));
            } else {
                let _ = write!(url, "%{byte:02X}");
            }
        }
        url
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.whole.split_at(self.path).1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_escaped_and_not_shown() {
        let address = Address::new("http://127.0.0.1/debian", "pool/a_1.0+deb~1_all deb%?#.deb");
        assert_eq!(
            address.url(),
            "http://127.0.0.1/debian/pool/a_1.0+deb~1_all%20deb%25%3F%23.deb"
        );
        assert_eq!(address.to_string(), "pool/a_1.0+deb~1_all deb%?#.deb");
    }
}
