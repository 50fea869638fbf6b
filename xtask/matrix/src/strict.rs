// SPDX-License-Identifier: Apache-2.0 OR MIT
//! TOML that refuses what it does not know, with a line and a hint.

use serde::de::DeserializeOwned;

/// `matrix.toml` or `matrix.lock` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// It is not of the form it must have.
    #[error("{file}, line {line}: {message}{hint}")]
    Form {
        /// The file's name.
        file: &'static str,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        message: String,
        /// What was probably meant, or nothing.
        hint: String,
    },
    /// Its parts do not fit together.
    #[error("matrix.toml: {what}")]
    Meaning {
        /// What is wrong.
        what: String,
    },
    /// The lock's parts do not fit together.
    #[error(
        "matrix.lock: {what}; it is generated, so make it again with `cargo xtask kernels lock`"
    )]
    Lock {
        /// What is wrong.
        what: String,
    },
}

/// Reads a file whose types deny unknown keys.
pub(crate) fn parse<T: DeserializeOwned>(file: &'static str, text: &str) -> Result<T, SpecError> {
    toml::from_str(text).map_err(|error: toml::de::Error| {
        let start = error.span().map_or(0, |span| span.start);
        let message = error.message().trim().to_owned();
        SpecError::Form {
            file,
            line: line_of(text, start),
            hint: hint(&message),
            message,
        }
    })
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes()
        .take(offset)
        .filter(|byte| *byte == b'\n')
        .count()
        + 1
}

/// serde names the key it met and the keys it knows between back-quotes, in this order.
fn hint(message: &str) -> String {
    if !message.starts_with("unknown ") {
        return String::new();
    }
    let mut quoted = message.split('`').skip(1).step_by(2);
    let Some(met) = quoted.next() else {
        return String::new();
    };
    nearest(met, quoted).map_or_else(String::new, |near| format!(". Did you mean `{near}`?"))
}

/// The name that `met` is most probably a slip of.
pub(crate) fn nearest<'a>(met: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = met.chars().count().div_ceil(2);
    names
        .map(|name| (strsim::osa_distance(met, name), name))
        .min()
        .filter(|(distance, _)| *distance <= allowed)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_told_from_strangers() {
        let names = || ["flavours", "suites", "stale-days"].into_iter();
        assert_eq!(nearest("flavors", names()), Some("flavours"));
        assert_eq!(nearest("stale_days", names()), Some("stale-days"));
        assert_eq!(nearest("kernel", names()), None);
    }
}
