// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Keys, CSR, TLS 1.3 and SPIFFE verification, sans-IO and no_std.
#![no_std]
