// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The frames between kernel module and daemon, for both sides.
#![no_std]
