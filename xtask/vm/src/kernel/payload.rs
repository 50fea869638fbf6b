// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From a bzImage to the ELF kernel inside of it.
//!
//! QEMU enters an ELF kernel through its PVH note: under TCG that saves the emulated
//! decompression, which is most of the time to user space.

use std::io::Read as _;

/// A bzImage that the ELF kernel cannot be taken out of.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PayloadError {
    /// The setup header is not there, or too old to say where the payload is.
    #[error("not a bzImage of boot protocol 2.08 or newer: {0}")]
    Header(&'static str),
    /// The payload's compression is not one we know.
    #[error(
        "the payload begins with {0}, which is neither gzip, XZ, Zstandard, legacy LZ4 nor ELF; \
         teach kernel/payload.rs this compression"
    )]
    UnknownCompression(String),
    /// The payload does not decompress.
    #[error("the {kind} payload is damaged: {what}")]
    Damaged {
        /// The compression.
        kind: &'static str,
        /// What the decompressor said.
        what: String,
    },
}

// Offsets of Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header".
const SETUP_SECTS: usize = 0x1f1;
const MAGIC: usize = 0x202;
const VERSION: usize = 0x206;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;

/// Every payload ends with its decompressed size, 4 bytes, little-endian.
const SIZE_TRAILER: usize = 4;

/// The largest kernel we are ready to hold; Debian's are about 65 MB.
const MAX_KERNEL: u64 = 512 << 20;

/// The block size of legacy LZ4 (`lz4 -l`).
const LZ4_BLOCK: usize = 8 << 20;

/// The ELF kernel inside `image`.
pub fn elf(image: &[u8]) -> Result<Vec<u8>, PayloadError> {
    decompress(payload(image)?)
}

/// The compressed kernel, as the setup header locates it.
fn payload(image: &[u8]) -> Result<&[u8], PayloadError> {
    if image.get(MAGIC..MAGIC + 4) != Some(b"HdrS") {
        return Err(PayloadError::Header("the magic HdrS is not at 0x202"));
    }
    let word = |at| number(image, at, 2).ok_or(PayloadError::Header("it ends within its header"));
    let long = |at| number(image, at, 4).ok_or(PayloadError::Header("it ends within its header"));
    if word(VERSION)? < 0x0208 {
        return Err(PayloadError::Header("its boot protocol is older"));
    }
    let sectors = match image[SETUP_SECTS] {
        0 => 4,
        n => usize::from(n),
    };
    let start = (sectors + 1) * 512 + long(PAYLOAD_OFFSET)?;
    let end = start + long(PAYLOAD_LENGTH)?;
    image
        .get(start..end)
        .filter(|payload| payload.len() > SIZE_TRAILER)
        .ok_or(PayloadError::Header("its payload lies outside of the file"))
}

fn number(bytes: &[u8], at: usize, length: usize) -> Option<usize> {
    let bytes = bytes.get(at..at + length)?;
    Some(
        bytes
            .iter()
            .rev()
            .fold(0, |value, byte| value << 8 | usize::from(*byte)),
    )
}

fn decompress(payload: &[u8]) -> Result<Vec<u8>, PayloadError> {
    let (body, trailer) = payload.split_at(payload.len() - SIZE_TRAILER);
    let (kind, result) = match payload {
        [0x7f, b'E', b'L', b'F', ..] => return Ok(payload.to_vec()),
        [0x1f, 0x8b, ..] => ("gzip", read(flate2::read::GzDecoder::new(body))),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => ("XZ", read(liblzma::read::XzDecoder::new(body))),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => (
            "Zstandard",
            zstd::stream::read::Decoder::with_buffer(body).and_then(|decoder| {
                // The kernel is compressed as one frame with a window of up to 128 MB.
                let mut decoder = decoder.single_frame();
                decoder.window_log_max(27)?;
                read(decoder)
            }),
        ),
        [0x02, 0x21, 0x4c, 0x18, ..] => ("LZ4", legacy_lz4(&body[4..])),
        _ => {
            let magic = hex::encode(&payload[..payload.len().min(6)]);
            return Err(PayloadError::UnknownCompression(magic));
        }
    };
    let damaged = |what: String| PayloadError::Damaged { kind, what };
    let kernel = result.map_err(|error| damaged(error.to_string()))?;
    let announced = number(trailer, 0, SIZE_TRAILER).unwrap_or_default();
    if kernel.len() != announced {
        return Err(damaged(format!(
            "{} bytes came out, its trailer announces {announced}",
            kernel.len()
        )));
    }
    if !kernel.starts_with(b"\x7fELF") {
        return Err(damaged("what came out is not ELF".into()));
    }
    Ok(kernel)
}

fn read(decoder: impl std::io::Read) -> std::io::Result<Vec<u8>> {
    let mut out = Vec::new();
    decoder.take(MAX_KERNEL).read_to_end(&mut out)?;
    Ok(out)
}

/// Blocks of a 4-byte length and that many bytes, each 8 MiB decompressed but the last.
fn legacy_lz4(mut rest: &[u8]) -> std::io::Result<Vec<u8>> {
    let damaged = |what: String| std::io::Error::new(std::io::ErrorKind::InvalidData, what);
    let mut out = Vec::new();
    while !rest.is_empty() {
        let length = number(rest, 0, 4).ok_or_else(|| damaged("a length is cut off".into()))?;
        let block = rest
            .get(4..4 + length)
            .ok_or_else(|| damaged(format!("a block of {length} bytes is cut off")))?;
        let block_out = lz4_flex::block::decompress(block, LZ4_BLOCK)
            .map_err(|error| damaged(error.to_string()))?;
        out.extend_from_slice(&block_out);
        if out.len() as u64 > MAX_KERNEL {
            return Err(damaged("it is larger than any kernel".into()));
        }
        rest = &rest[4 + length..];
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn kernel() -> Vec<u8> {
        let mut kernel = b"\x7fELF".to_vec();
        kernel.extend((0..100_000u32).flat_map(|n| (n / 7).to_le_bytes()));
        kernel
    }

    fn image(compressed: &[u8], size: usize) -> Vec<u8> {
        let mut image = vec![0; 0x600];
        image[SETUP_SECTS] = 1;
        image[MAGIC..MAGIC + 4].copy_from_slice(b"HdrS");
        image[VERSION..VERSION + 2].copy_from_slice(&0x020f_u16.to_le_bytes());
        image[PAYLOAD_OFFSET..PAYLOAD_OFFSET + 4].copy_from_slice(&0x200_u32.to_le_bytes());
        let length = u32::try_from(compressed.len() + SIZE_TRAILER).unwrap();
        image[PAYLOAD_LENGTH..PAYLOAD_LENGTH + 4].copy_from_slice(&length.to_le_bytes());
        image.extend_from_slice(compressed);
        image.extend_from_slice(&u32::try_from(size).unwrap().to_le_bytes());
        image.extend_from_slice(b"signature");
        image
    }

    fn compressed() -> Vec<(&'static str, Vec<u8>)> {
        let kernel = kernel();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&kernel).unwrap();
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
        xz.write_all(&kernel).unwrap();
        let block = lz4_flex::block::compress(&kernel);
        let mut lz4 = b"\x02\x21\x4c\x18".to_vec();
        lz4.extend_from_slice(&u32::try_from(block.len()).unwrap().to_le_bytes());
        lz4.extend_from_slice(&block);
        vec![
            ("gzip", gzip.finish().unwrap()),
            ("XZ", xz.finish().unwrap()),
            ("Zstandard", zstd::encode_all(&kernel[..], 1).unwrap()),
            ("LZ4", lz4),
        ]
    }

    #[test]
    fn every_compression_round_trips() {
        for (kind, bytes) in compressed() {
            let got = elf(&image(&bytes, kernel().len()));
            assert!(got.as_ref() == Ok(&kernel()), "{kind}: {:?}", got.err());
        }
    }

    #[test]
    fn a_wrong_size_or_a_damaged_payload_is_refused() {
        for (kind, mut bytes) in compressed() {
            let error = elf(&image(&bytes, 17)).unwrap_err().to_string();
            assert!(error.contains("announces 17"), "{kind}: {error}");
            bytes.truncate(bytes.len() / 2);
            let error = elf(&image(&bytes, kernel().len())).unwrap_err();
            assert!(matches!(error, PayloadError::Damaged { .. }), "{kind}");
        }
    }

    #[test]
    fn an_unknown_compression_is_named() {
        let error = elf(&image(b"BZh91AY", 3)).unwrap_err().to_string();
        assert!(error.contains("425a68393141"), "{error}");
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_payloads_never_panic(
            magic in 0usize..5,
            bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300),
        ) {
            let magics: [&[u8]; 5] =
                [b"", b"\x1f\x8b", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"\x02\x21\x4c\x18"];
            let _ = elf(&image(&[magics[magic], &bytes].concat(), 9));
            let _ = elf(&bytes);
        }
    }
}
