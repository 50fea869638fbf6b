// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Build roots, compile probes, the module's build and the verdict without booting.
