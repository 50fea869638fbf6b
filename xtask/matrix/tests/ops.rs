// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Locking and verifying against an archive on the loopback.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "the helpers of a test may panic, and write its throw-away files"
)]

mod fixture;
#[path = "../../archive/tests/support/mod.rs"]
mod support;

use std::{
    fs,
    io::Write as _,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use pgp::composed::SignedSecretKey;
use support::{Answer, Bench, clear_sign, new_key, public, release_text};
use tidelock_archive::{Fetcher, Mirrors, Mode, NoProgress};
use tidelock_matrix::{Depth, Lock, Matrix, discover, list, lock, read_lock, verify};

const DAY: Duration = Duration::from_hours(24);

struct World {
    bench: Bench,
    key: SignedSecretKey,
    matrix: Matrix,
    lock: PathBuf,
}

impl World {
    async fn new() -> Self {
        let bench = Bench::new().await;
        let key = new_key("archive");
        let keyring = bench.dir.path().join("keyring.asc");
        fs::write(&keyring, public(&key)).unwrap();
        let mut matrix = fixture::matrix();
        matrix.keyrings = vec![keyring];
        let lock = bench.dir.path().join("matrix.lock");
        Self {
            bench,
            key,
            matrix,
            lock,
        }
    }

    /// Publishes the three suites, made `age` ago; returns the time that is now.
    fn publish(&self, age: Duration, texts: &[String; 3]) -> SystemTime {
        let now = SystemTime::now();
        for (suite, text) in self.matrix.suites.iter().zip(texts) {
            let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
            encoder.write_all(text.as_bytes()).unwrap();
            let index = encoder.finish().unwrap();
            let sha256 = tidelock_model::Sha256::of(&index);
            let dists = format!("dists/{}", suite.name);
            let hashed = format!("{dists}/main/binary-amd64/by-hash/SHA256/{sha256}");
            self.bench.server.put(&hashed, &index);
            let made = now - age;
            let files: [(&str, &[u8]); 1] = [("main/binary-amd64/Packages.xz", &index)];
            let text = release_text(&suite.name, made, Some(made + 7 * DAY), &files);
            let signed = clear_sign(&self.key, &text);
            self.bench
                .server
                .put(&format!("{dists}/InRelease"), &signed);
        }
        // Every package is what the fixture's index says of it: its name and version.
        for package in fixture::discovery_of(texts).lock.packages() {
            let body = format!("{} {}", package.name, package.version);
            let served = self.bench.server.put(&package.file.path, body.as_bytes());
            assert_eq!(served.sha256, package.file.sha256);
        }
        now
    }

    fn fetcher(&self) -> Fetcher {
        let base = &self.bench.server.base;
        let mirrors = Mirrors::from_urls(base, Some(base)).unwrap();
        Fetcher::new(self.bench.store.clone(), mirrors, Mode::Online).unwrap()
    }

    async fn lock(&self, now: SystemTime) -> Result<tidelock_matrix::Locking, &'static str> {
        let locking = lock(&self.matrix, &self.lock, &self.fetcher(), "1.95.0", now).await;
        locking.map_err(|error| error.verdict())
    }
}

#[tokio::test]
async fn a_lock_is_made_compared_and_not_made_from_the_past() {
    let world = World::new().await;
    let now = world.publish(DAY, &fixture::texts());
    let first = world.lock(now).await.unwrap();
    assert_eq!(first.diff, None);
    assert!(first.discovery.warnings.is_empty());
    let text = fs::read_to_string(&world.lock).unwrap();
    assert_eq!(Lock::parse(&text).unwrap(), first.discovery.lock);

    let now = world.publish(Duration::ZERO, &fixture::texts());
    let second = world.lock(now).await.unwrap();
    assert!(second.diff.unwrap().is_empty());

    let now = world.publish(2 * DAY, &fixture::texts());
    let before = fs::read_to_string(&world.lock).unwrap();
    assert_eq!(world.lock(now).await.unwrap_err(), "rolled-back-release");
    assert_eq!(
        fs::read_to_string(&world.lock).unwrap(),
        before,
        "nothing is written"
    );
}

#[tokio::test]
async fn lateness_is_bounded_told_and_locked() {
    let mut world = World::new().await;
    let now = world.publish(9 * DAY, &fixture::texts());
    assert_eq!(world.lock(now).await.unwrap_err(), "expired-release");
    for suite in &mut world.matrix.suites {
        suite.stale_days = 3;
    }
    let locking = world.lock(now).await.unwrap();
    assert_eq!(locking.discovery.warnings.len(), 3);
    assert!(
        locking.discovery.warnings[0].contains("stale-days"),
        "{:?}",
        locking.discovery
    );
    let lock = read_lock(&world.lock).unwrap();
    assert!(
        lock.suites
            .iter()
            .all(|suite| (2..=3).contains(&suite.days_late))
    );
}

#[tokio::test]
async fn a_stranger_cannot_sign_a_suite() {
    let mut world = World::new().await;
    world.key = new_key("stranger");
    let now = world.publish(DAY, &fixture::texts());
    assert_eq!(world.lock(now).await.unwrap_err(), "badly-signed-release");
    assert!(!world.lock.exists());
}

#[tokio::test]
async fn verification_tells_how_each_package_stands() {
    let world = World::new().await;
    let now = world.publish(DAY, &fixture::texts());
    let discovery = discover(&world.matrix, &world.fetcher(), "1.95.0", now)
        .await
        .unwrap();
    let mut lock = discovery.lock;
    let check = async |lock: &Lock, depth| {
        let progress = Arc::new(NoProgress);
        verify(&world.matrix, lock, &world.fetcher(), depth, progress, now)
            .await
            .unwrap()
    };
    let count = lock.packages().len();
    let good = check(&lock, Depth::Sizes).await;
    assert_eq!(
        (good.listed, good.faults.len(), good.unlisted.len()),
        (count, 0, 0)
    );

    let body = world.bench.server.put("pool/make_4.3-1.deb", b"make 4.3_1");
    assert_eq!(
        check(&lock, Depth::Sizes).await.faults,
        [],
        "the size is right"
    );
    let deep = check(&lock, Depth::Contents).await;
    assert_eq!(deep.faults.len(), 1, "{:?}", deep.faults);
    assert_eq!(deep.faults[0].verdict, "tampered-package");
    assert_eq!(body.size, 10);

    world.bench.server.remove("pool/make_4.3-1.deb");
    world.bench.server.remove("pool/gcc-12_12.2.0-1.deb");
    let gone = check(&lock, Depth::Sizes).await;
    assert_eq!(
        gone.cached_only,
        ["gcc-12_12.2.0-1_amd64"],
        "deep had fetched it"
    );
    assert_eq!(gone.faults.len(), 1);
    assert_eq!(
        (
            gone.faults[0].verdict.as_str(),
            gone.faults[0].package.as_str()
        ),
        ("vanished-file", "make_4.3-1_amd64")
    );

    lock.rust_src.file.sha256 = tidelock_model::Sha256::of(b"forged");
    let forged = check(&lock, Depth::Sizes).await;
    assert!(
        forged
            .faults
            .iter()
            .any(|fault| fault.package.starts_with("rust-src")
                && fault.verdict == "tampered-package")
    );

    let listed = list(&world.matrix, &lock, &world.bench.store, None, &[]).unwrap();
    assert_eq!(listed.len(), lock.kernels.len());
    assert!(listed.iter().all(|kernel| kernel.cached));
}

#[tokio::test]
async fn what_is_listed_and_not_served_is_set_aside_by_name() {
    let world = World::new().await;
    let now = world.publish(DAY, &fixture::texts());
    world
        .bench
        .server
        .remove("pool/linux-image-6.1.0-1-amd64_6.1.10-1.deb");
    world
        .bench
        .server
        .remove("pool/linux-kbuild-7.2.1+deb13_7.2.1-1.deb");
    let locking = world.lock(now).await.unwrap();
    let locked = read_lock(&world.lock).unwrap();
    assert_eq!(locked, locking.discovery.lock);
    let missing: Vec<_> = locked
        .missing
        .iter()
        .map(|kernel| (kernel.release.as_str(), kernel.packages.join(" ")))
        .collect();
    let expected = [
        (
            "6.1.0-1-amd64",
            "linux-image-6.1.0-1-amd64_6.1.10-1_amd64".to_owned(),
        ),
        (
            "7.2.1+deb13-amd64",
            "linux-kbuild-7.2.1+deb13_7.2.1-1_amd64".to_owned(),
        ),
    ];
    assert_eq!(missing, expected);
    assert_eq!(locked.kernels.len(), 3);
    assert!(locking.discovery.warnings[0].starts_with("2 kernels"));

    // What a host has of it does not matter to the lock, which is everybody's.
    world
        .bench
        .store
        .put(b"linux-image-6.1.0-1-amd64 6.1.10-1")
        .unwrap();
    assert_eq!(world.lock(now).await.unwrap().discovery.lock, locked);

    world.bench.server.remove("pool/make_4.3-1.deb");
    assert_eq!(world.lock(now).await.unwrap_err(), "vanished-file");
}

#[tokio::test]
async fn what_is_served_in_anothers_place_is_an_error_and_so_is_asking_nobody() {
    let world = World::new().await;
    let now = world.publish(DAY, &fixture::texts());
    let name = "pool/linux-kbuild-7.2.1+deb13_7.2.1-1.deb";
    world.bench.server.put(name, b"of another size");
    let made = lock(&world.matrix, &world.lock, &world.fetcher(), "1.95.0", now).await;
    let error = made.unwrap_err();
    assert_eq!(error.verdict(), "tampered-package");
    let named = "linux-kbuild-7.2.1+deb13_7.2.1-1_amd64 (15 bytes instead of ";
    assert!(error.to_string().contains(named), "{error}");

    let offline = world.bench.fetcher(Mode::Offline);
    let made = lock(&world.matrix, &world.lock, &offline, "1.95.0", now).await;
    assert_eq!(made.unwrap_err().verdict(), "offline-lock");
    let refused = vec![Answer::Status(403)];
    world.bench.server.answer("pool/make_4.3-1.deb", refused);
    world.bench.server.remove(name);
    assert_eq!(world.lock(now).await.unwrap_err(), "refused-download");
    assert!(!world.lock.exists());
}
