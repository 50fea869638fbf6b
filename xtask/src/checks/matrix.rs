// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The quick tier, as a step of the tests.

use anyhow::Result;
use tidelock_host::process;

use super::{Context, Tally, passes};

pub(super) fn quick(context: &Context) -> Result<Tally> {
    let mut matrix = process::command(std::env::current_exe()?);
    matrix.args(["matrix", "--tier", "quick"]);
    matrix.args(context.arguments());
    passes(matrix, context)
}
