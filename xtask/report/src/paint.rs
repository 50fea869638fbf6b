// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Colour, where it is wanted.

use console::Style;
use tidelock_model::Status;

/// Whether text for people carries colour.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Paint {
    /// With ANSI escapes.
    Colour,
    /// Without.
    Plain,
}

impl Paint {
    /// As the terminal at standard error and `NO_COLOR`, `CLICOLOR`, `CLICOLOR_FORCE` ask for.
    pub fn for_stderr() -> Self {
        // NO_COLOR (no-color.org): present and not empty, whatever its value.
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if console::colors_enabled_stderr() && !refused {
            Self::Colour
        } else {
            Self::Plain
        }
    }

    /// In the colour of `status`.
    pub fn status(self, status: Status, text: &str) -> String {
        let style = match status {
            Status::Pass => Style::new().green(),
            Status::Skip => Style::new().cyan(),
            Status::Fail => Style::new().red().bold(),
            Status::Error => Style::new().magenta().bold(),
            Status::Miss => Style::new().yellow().bold(),
        };
        self.apply(style, text)
    }

    /// What the eye may pass over.
    pub fn dim(self, text: &str) -> String {
        self.apply(Style::new().dim(), text)
    }

    /// What the eye should find.
    pub fn bold(self, text: &str) -> String {
        self.apply(Style::new().bold(), text)
    }

    fn apply(self, style: Style, text: &str) -> String {
        style
            .force_styling(self == Self::Colour)
            .apply_to(text)
            .to_string()
    }
}
