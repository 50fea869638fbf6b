// SPDX-License-Identifier: GPL-2.0-only
//! What the core tells the shim to do, as C lays it out (`struct tdl_order`).

use core::net::IpAddr;

use tidelock_wire::{Decision, Issued, MAX_EXEMPT, Prefix, Settings, Verdict};

/// `enum tdl_order_kind`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub(crate) enum Kind {
    /// Nothing: the answer is written.
    None = 0,
    /// Say what is in force: `tdl_core_status()` writes the answer.
    Status = 1,
    /// Put the settings in force, then as above.
    Configure = 2,
    /// Hand the verdict to who waits for it. There is no answer.
    Verdict = 3,
    /// An SVID was issued: `tdl_core_certify()` takes it. There is no answer.
    Issued = 4,
    /// There is none, for that reason. There is no answer.
    NotIssued = 5,
    /// Who is trusted changes: `tdl_core_trust()` makes it so, and the answer.
    Trust = 6,
}

/// `struct tdl_prefix`: an IPv4 address is in the first four bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub(crate) struct PrefixOrder {
    pub(crate) bytes: [u8; 16],
    /// 4 or 6.
    pub(crate) family: u8,
    pub(crate) length: u8,
}

impl PrefixOrder {
    const NONE: Self = Self {
        bytes: [0; 16],
        family: 0,
        length: 0,
    };

    fn new(prefix: Prefix) -> Self {
        let mut order = Self {
            length: prefix.length(),
            ..Self::NONE
        };
        match prefix.address() {
            IpAddr::V4(ip) => {
                order.family = 4;
                let [a, b, c, d] = ip.octets();
                order.bytes = [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            }
            IpAddr::V6(ip) => {
                order.family = 6;
                order.bytes = ip.octets();
            }
        }
        order
    }
}

/// `struct tdl_order`. What its kind does not use is 0.
#[derive(Clone, PartialEq, Eq, Debug)]
#[repr(C)]
pub(crate) struct Order {
    /// Of the frame: for the answer, or of the question that a verdict or an SVID answers.
    pub(crate) id: u64,
    pub(crate) generation: u64,
    pub(crate) kind: Kind,
    /// `TDL_DENY` and so on.
    pub(crate) decision: u32,
    pub(crate) reason: u32,
    pub(crate) ttl_ms: u32,
    /// `TDL_OFF` and so on.
    pub(crate) mode: u32,
    pub(crate) deadline_ms: u32,
    pub(crate) exempt_count: u32,
    /// `TDL_SCOPE_PROCESS` and so on; 0 for a verdict without terms.
    pub(crate) scope: u32,
    /// So many bytes at the end of the frame are the verdict's terms.
    pub(crate) terms_len: u32,
    /// So many of those say who the process is.
    pub(crate) own_len: u32,
    pub(crate) exempt: [PrefixOrder; MAX_EXEMPT],
}

impl Order {
    pub(crate) const NONE: Self = Self {
        id: 0,
        generation: 0,
        kind: Kind::None,
        decision: 0,
        reason: 0,
        ttl_ms: 0,
        mode: 0,
        deadline_ms: 0,
        exempt_count: 0,
        scope: 0,
        terms_len: 0,
        own_len: 0,
        exempt: [PrefixOrder::NONE; MAX_EXEMPT],
    };

    pub(crate) fn status(id: u64) -> Self {
        Self {
            id,
            kind: Kind::Status,
            ..Self::NONE
        }
    }

    pub(crate) fn configure(id: u64, settings: &Settings) -> Self {
        let mut order = Self {
            id,
            kind: Kind::Configure,
            mode: settings.mode.number().into(),
            generation: settings.generation,
            deadline_ms: settings.deadline_ms,
            ..Self::NONE
        };
        for (place, prefix) in order.exempt.iter_mut().zip(settings.exempt.iter()) {
            *place = PrefixOrder::new(prefix);
            order.exempt_count += 1;
        }
        order
    }

    pub(crate) fn verdict(id: u64, verdict: &Verdict<'_>) -> Self {
        let mut order = Self {
            id,
            kind: Kind::Verdict,
            decision: verdict.decision.number().into(),
            reason: verdict.reason,
            ttl_ms: verdict.ttl_ms,
            generation: verdict.generation,
            ..Self::NONE
        };
        if let Decision::Mtls(terms) = &verdict.decision {
            order.scope = terms.scope.number().into();
            order.terms_len = length(terms.encoded_len());
            order.own_len = length(terms.own_len());
        }
        order
    }

    pub(crate) fn issued(id: u64, issued: &Issued<'_>) -> Self {
        let (kind, reason) = match *issued {
            Issued::Svid(_) => (Kind::Issued, 0),
            Issued::Refused(reason) => (Kind::NotIssued, reason),
        };
        Self {
            id,
            kind,
            reason,
            ..Self::NONE
        }
    }

    pub(crate) fn trust(id: u64) -> Self {
        Self {
            id,
            kind: Kind::Trust,
            ..Self::NONE
        }
    }
}

/// Of a part of a frame.
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
