// SPDX-License-Identifier: Apache-2.0 OR MIT
//! matrix.toml, matrix.lock, discovery and the plan of cells.
