// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A known bug of QEMU 7.2 without hardware virtualisation: Debian 6.12 dies at random with an
//! instruction pointer just behind a `cmpxchg16b` and flags that no processor can have. The
//! module has no part in it: the run is to be repeated, with a newer QEMU if there is one.

/// How far behind its headline the registers are.
const REACH: usize = 40;

/// Bits of EFLAGS that are always zero (3, 5, 15, 22 and up), and the one that is always one.
const ALWAYS_ZERO: u64 = !0x003f_7fd7;
const ALWAYS_ONE: u64 = 0x2;

/// Whether the lines after an oops's headline have the bug's signature.
pub(super) fn is_known_bug<L: AsRef<str>>(lines: &[L]) -> bool {
    let near = &lines[..lines.len().min(REACH)];
    let has_impossible_flags = near
        .iter()
        .filter_map(|line| flags(line.as_ref()))
        .any(|flags| flags & ALWAYS_ZERO != 0 || flags & ALWAYS_ONE == 0);
    let is_behind_cmpxchg16b = near
        .iter()
        .filter_map(|line| line.as_ref().trim().strip_prefix("Code: "))
        .filter_map(before_pointer)
        .any(|bytes| ends_with_cmpxchg16b(&bytes));
    has_impossible_flags && is_behind_cmpxchg16b
}

fn flags(line: &str) -> Option<u64> {
    let (_, rest) = line.split_once("EFLAGS: ")?;
    let number = rest.split_ascii_whitespace().next()?;
    u64::from_str_radix(number, 16).ok()
}

/// The bytes in front of the one in angle brackets, which the pointer is at.
fn before_pointer(code: &str) -> Option<Vec<u8>> {
    let (before, _) = code.split_once('<')?;
    before
        .split_ascii_whitespace()
        .map(|byte| u8::from_str_radix(byte, 16).ok())
        .collect()
}

/// REX.W 0F C7 /1 with a memory operand of any form, up to the end of `bytes`.
fn ends_with_cmpxchg16b(bytes: &[u8]) -> bool {
    (0..bytes.len()).any(|start| {
        let [rex, 0x0f, 0xc7, modrm, operand @ ..] = &bytes[start..] else {
            return false;
        };
        rex & 0xf8 == 0x48
            && modrm >> 3 & 7 == 1
            && operand_len(*modrm, operand) == Some(operand.len())
    })
}

/// How many bytes of SIB and displacement follow a ModRM byte that means memory.
fn operand_len(modrm: u8, after: &[u8]) -> Option<usize> {
    let (mode, base) = (modrm >> 6, modrm & 7);
    let sib = usize::from(base == 4);
    let has_no_base = base == 5 || (base == 4 && after.first().is_some_and(|sib| sib & 7 == 5));
    match mode {
        0 if has_no_base => Some(sib + 4),
        0 => Some(sib),
        1 => Some(sib + 1),
        2 => Some(sib + 4),
        _ => None,
    }
}
