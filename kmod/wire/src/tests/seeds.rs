// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! What the fuzzer begins with (`fuzz/seeds`) is one frame of each kind, as it is written today.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    string::String,
    vec::Vec,
};

use super::samples::{self, Sample};

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/seeds")
        .join(target)
}

#[track_caller]
fn assert_seeds(target: &str, samples: Vec<Sample>) {
    let folder = folder(target);
    if env::var_os("TIDELOCK_WRITE_SEEDS").is_some() {
        for (name, bytes) in &samples {
            let mut file = File::create(folder.join(name)).unwrap();
            file.write_all(bytes).unwrap();
        }
    }
    let found: BTreeMap<String, Vec<u8>> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect();
    let wanted = samples
        .into_iter()
        .map(|(name, bytes)| (name.into(), bytes))
        .collect();
    assert!(
        found == wanted,
        "{}: run this test once with TIDELOCK_WRITE_SEEDS=1, remove what is left over, and \
         review the difference",
        folder.display()
    );
}

#[test]
fn of_requests() {
    assert_seeds("decode_request", samples::requests());
}

#[test]
fn of_answers() {
    assert_seeds("decode_answer", samples::answers());
}
