// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Identities, and who signs them.

use std::{ops::RangeInclusive, time::Duration};

use tidelock_tls::TrustDomain;
use tidelock_wire::Scope;

use super::raw;

/// How long an SVID may be valid, in seconds: what the embedded authority takes, whose
/// intermediate lives twice as long.
const LIFETIME: RangeInclusive<u64> = 60..=7 * 24 * 3600;

/// Identities, and who signs them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Svid {
    /// The trust domain that the node's own authority signs for; none: there are no SVIDs.
    pub trust_domain: Option<TrustDomain>,
    /// Who shares a key.
    pub scope: Scope,
    /// How long an SVID is valid.
    pub lifetime: Duration,
}

/// What is meant by what is written.
pub(super) fn resolve(raw: &raw::Svid) -> Result<Svid, (&'static str, String)> {
    let parse = |name: &String| {
        let wrong = |error| {
            let message = format!(
                "`{name}`: {error}; it is a name such as \"example.org\", without spiffe://"
            );
            ("svid.trust-domain", message)
        };
        TrustDomain::parse(name).map_err(wrong)
    };
    if !LIFETIME.contains(&raw.lifetime_seconds) {
        let (least, most) = (LIFETIME.start(), LIFETIME.end());
        let message = format!("{} is not within {least} and {most}", raw.lifetime_seconds);
        return Err(("svid.lifetime-seconds", message));
    }
    Ok(Svid {
        trust_domain: raw.trust_domain.as_ref().map(parse).transpose()?,
        scope: match raw.scope {
            raw::Scope::Process => Scope::Process,
            raw::Scope::Workload => Scope::Workload,
        },
        lifetime: Duration::from_secs(raw.lifetime_seconds),
    })
}
