// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The quick tier, as a step of the tests.

use anyhow::Result;
use clap::Parser as _;

use super::{Context, Tally};
use crate::{cli::Cli, exit::Exit};

/// Runs the command in this process: the steps before have had cargo replace our own program.
pub(super) fn quick(context: &Context) -> Result<Tally> {
    let words = ["xtask", "matrix", "--tier", "quick"].map(str::to_owned);
    let cli = Cli::try_parse_from(words.into_iter().chain(context.arguments()))?;
    Ok(Tally::one(cli.run()? == Exit::Passed))
}
