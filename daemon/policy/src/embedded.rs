// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The policy that is used where none is configured: an example that denies by default.

use crate::bundle::{Bundle, BundleError};

/// A bundle that is compiled in.
#[derive(Clone, Copy, Debug)]
pub struct Embedded {
    files: &'static [(&'static str, &'static str)],
}

/// The default policy: `daemon/policy/default`.
pub const EMBEDDED: Embedded = Embedded {
    files: &[
        (".manifest", include_str!("../default/.manifest")),
        (
            "config/data.json",
            include_str!("../default/config/data.json"),
        ),
        (
            "tidelock/decision.rego",
            include_str!("../default/tidelock/decision.rego"),
        ),
        (
            "tidelock/decision_test.rego",
            include_str!("../default/tidelock/decision_test.rego"),
        ),
    ],
};

impl Embedded {
    /// The files.
    pub fn files(&self) -> &'static [(&'static str, &'static str)] {
        self.files
    }

    /// The same as a bundle.
    pub fn bundle(&self) -> Result<Bundle, BundleError> {
        Bundle::from_files(self.files.iter().copied())
    }
}
