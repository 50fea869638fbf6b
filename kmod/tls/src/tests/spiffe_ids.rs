// SPDX-License-Identifier: GPL-2.0-only OR MIT
use crate::{SpiffeId, SpiffeIdError, TrustDomain};

/// What one is, and what none is, is tested where it is read (`tidelock_spiffe`).
#[test]
fn what_is_kept_is_what_was_read() {
    let text = "spiffe://example.org/db";
    let id = SpiffeId::parse(text).unwrap();
    assert_eq!((id.as_str(), id.has_path()), (text, true));
    assert_eq!(
        id.trust_domain(),
        &TrustDomain::parse("example.org").unwrap()
    );
    assert!(!SpiffeId::parse("spiffe://example.org").unwrap().has_path());
    let refused = SpiffeId::parse("spiffe://example.org/a//b");
    assert_eq!(refused, Err(SpiffeIdError::Path));
    let refused = TrustDomain::parse("Example.org");
    assert_eq!(refused, Err(SpiffeIdError::Domain));
}
