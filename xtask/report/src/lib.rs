// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Run reports: JSON, JUnit, Markdown, HTML, and the live table.
