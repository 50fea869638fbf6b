// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The signed chain, when one of its links is not what it should be.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "the helpers of a test may panic, and write its throw-away files"
)]

mod support;

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use support::{Bench, clear_sign, new_key, public, release_text};
use tidelock_archive::{
    ArchiveError, Keyring, Mode, Suite, SuiteQuery, fetch_suite,
    release::{self, ReleaseError},
};
use tidelock_host::process;

const DAY: Duration = Duration::from_hours(24);

fn keyring(dir: &Path, key: &[u8]) -> (Keyring, PathBuf) {
    let path = dir.join("keyring.asc");
    fs::write(&path, key).unwrap();
    (Keyring::load(std::slice::from_ref(&path)).unwrap(), path)
}

fn packages() -> Vec<u8> {
    let text = format!(
        "Package: p\nVersion: 1\nArchitecture: amd64\nFilename: pool/p.deb\nSize: 1\nSHA256: {}\n",
        "0".repeat(64)
    );
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

const INDEX: &str = "main/binary-amd64/Packages.xz";

fn by_hash(bytes: &[u8]) -> String {
    let sha256 = tidelock_model::Sha256::of(bytes);
    format!("dists/stable/main/binary-amd64/by-hash/SHA256/{sha256}")
}

async fn get(bench: &Bench, keyring: &Keyring, mode: Mode) -> Result<Suite, ArchiveError> {
    let query = SuiteQuery {
        archive: "debian",
        suite: "stable",
        components: &["main".into()],
        arches: &["amd64"],
        stale_days: 0,
    };
    fetch_suite(&bench.fetcher(mode), query, keyring, SystemTime::now()).await
}

#[tokio::test]
async fn a_good_chain_gives_the_suite_and_is_replayed_offline() {
    let bench = Bench::new().await;
    let key = new_key("archive");
    let (keyring, _) = keyring(bench.dir.path(), &public(&key));
    let index = packages();
    let text = release_text("stable", SystemTime::now(), None, &[(INDEX, &index)]);
    bench
        .server
        .put("dists/stable/InRelease", &clear_sign(&key, &text));
    bench.server.put(&by_hash(&index), &index);
    let suite = get(&bench, &keyring, Mode::Online).await.unwrap();
    assert_eq!(suite.index.versions("p")[0].file.path, "pool/p.deb");
    assert_eq!(suite.release.signers.len(), 1);
    assert_eq!(suite.release.days_late, 0);
    let requests = bench.server.requests();
    let again = get(&bench, &keyring, Mode::Offline).await.unwrap();
    assert_eq!(again.index, suite.index);
    assert_eq!(bench.server.requests(), requests);
}

#[tokio::test]
async fn what_is_not_signed_is_not_kept_and_the_next_mirror_is_asked() {
    let [portal, archive] = [Bench::new().await, Bench::new().await];
    let key = new_key("archive");
    let (keyring, _) = keyring(portal.dir.path(), &public(&key));
    let index = packages();
    let text = release_text("stable", SystemTime::now(), None, &[(INDEX, &index)]);
    let signed = clear_sign(&key, &text);
    portal.server.put("dists/stable/InRelease", &signed);
    portal.server.put(&by_hash(&index), &index);
    get(&portal, &keyring, Mode::Online).await.unwrap();

    let page = b"<html>Please log in</html>";
    portal.server.put("dists/stable/InRelease", page);
    let error = get(&portal, &keyring, Mode::Online).await.unwrap_err();
    assert_eq!(error.verdict(), "badly-signed-release");
    get(&portal, &keyring, Mode::Offline).await.unwrap();

    archive.server.put("dists/stable/InRelease", &signed);
    let mut mirrors = tidelock_archive::Mirrors::none();
    for bench in [&portal, &archive] {
        mirrors.add("debian", &bench.server.base).unwrap();
    }
    let fetcher =
        tidelock_archive::Fetcher::new(portal.store.clone(), mirrors, Mode::Online).unwrap();
    let query = SuiteQuery {
        archive: "debian",
        suite: "stable",
        components: &["main".into()],
        arches: &["amd64"],
        stale_days: 0,
    };
    fetch_suite(&fetcher, query, &keyring, SystemTime::now())
        .await
        .unwrap();
    assert_eq!(archive.server.requests(), 1);
}

#[tokio::test]
async fn a_tampered_index_is_named() {
    let bench = Bench::new().await;
    let key = new_key("archive");
    let (keyring, _) = keyring(bench.dir.path(), &public(&key));
    let index = packages();
    let text = release_text("stable", SystemTime::now(), None, &[(INDEX, &index)]);
    bench
        .server
        .put("dists/stable/InRelease", &clear_sign(&key, &text));
    let mut tampered = index.clone();
    *tampered.last_mut().unwrap() ^= 1;
    bench.server.put(&by_hash(&index), &tampered);
    let error = get(&bench, &keyring, Mode::Online).await.unwrap_err();
    assert_eq!(error.verdict(), "tampered-index");
}

#[tokio::test]
async fn an_index_that_the_release_does_not_list_is_not_fetched() {
    let bench = Bench::new().await;
    let key = new_key("archive");
    let (keyring, _) = keyring(bench.dir.path(), &public(&key));
    let text = release_text("stable", SystemTime::now(), None, &[]);
    bench
        .server
        .put("dists/stable/InRelease", &clear_sign(&key, &text));
    bench
        .server
        .put("dists/stable/main/binary-amd64/Packages.xz", &packages());
    let error = get(&bench, &keyring, Mode::Online).await.unwrap_err();
    assert_eq!(error.verdict(), "no-index");
}

/// The verdict over a release made and signed as said.
fn verdict(key: &[u8], bytes: &[u8], suite: &str, stale_days: u32) -> Result<u64, &'static str> {
    let dir = tempfile::tempdir().unwrap();
    let (keyring, _) = keyring(dir.path(), key);
    release::verify(suite, bytes, &keyring, SystemTime::now(), stale_days)
        .map(|release| release.days_late)
        .map_err(|error| error.verdict())
}

#[test]
fn dates_are_kept_to() {
    let key = new_key("archive");
    let now = SystemTime::now();
    let signed = |made, valid| clear_sign(&key, &release_text("stable", made, valid, &[]));
    let check = |bytes: &[u8], stale| verdict(&public(&key), bytes, "stable", stale);

    assert_eq!(check(&signed(now - 400 * DAY, None), 0), Ok(0));
    assert_eq!(check(&signed(now - DAY, Some(now + DAY)), 0), Ok(0));
    let expired = signed(
        now - 20 * DAY,
        Some(now - 10 * DAY - Duration::from_mins(1)),
    );
    assert_eq!(check(&expired, 0), Err("expired-release"));
    assert_eq!(check(&expired, 10), Err("expired-release"));
    assert_eq!(check(&expired, 11), Ok(11));
    assert_eq!(
        check(&signed(now + 3 * DAY, None), 0),
        Err("future-release")
    );
}

#[test]
fn only_what_the_keyring_signed_is_read() {
    let (key, stranger) = (new_key("archive"), new_key("stranger"));
    let text = release_text("stable", SystemTime::now(), None, &[]);
    let good = clear_sign(&key, &text);
    let check = |bytes: &[u8]| verdict(&public(&key), bytes, "stable", 0);
    assert_eq!(check(&good), Ok(0));
    assert_eq!(
        check(&clear_sign(&stranger, &text)),
        Err("badly-signed-release")
    );
    assert_eq!(check(text.as_bytes()), Err("badly-signed-release"));
    assert_eq!(check(b""), Err("badly-signed-release"));
    let good = String::from_utf8(good).unwrap();
    let changed = good.replace("Origin: Test", "Origin: Tset");
    assert_eq!(check(changed.as_bytes()), Err("badly-signed-release"));
    for unsigned in [
        format!("Suite: evil\n{good}"),
        format!("{good}\nSuite: evil\n"),
    ] {
        assert_eq!(check(unsigned.as_bytes()), Err("badly-signed-release"));
    }
    assert_eq!(
        verdict(&public(&key), good.as_bytes(), "testing", 0),
        Err("other-release")
    );
    let no_date = clear_sign(&key, "Suite: stable\nSHA256:\n");
    assert_eq!(check(&no_date), Err("malformed-release"));
}

#[test]
fn a_keyring_that_is_none_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("absent.gpg");
    let absent = Keyring::load(std::slice::from_ref(&path)).unwrap_err();
    assert!(matches!(absent, ReleaseError::Keyring { .. }));
    assert!(
        absent.to_string().contains("debian-archive-keyring"),
        "{absent}"
    );
    fs::write(&path, "no keys").unwrap();
    assert!(Keyring::load(&[path]).is_err());
}

/// Runs GnuPG's own verifier: whether it finds a good signature and no bad one.
fn gpgv(dir: &Path, key: &[u8], message: &[u8]) -> bool {
    let binary = dir.join("keyring.gpg");
    let armoured = dir.join("gpgv.asc");
    let signed = dir.join("InRelease");
    fs::write(&armoured, key).unwrap();
    fs::write(&signed, message).unwrap();
    let _ = fs::remove_file(&binary);
    gpg(
        dir,
        &[
            "--dearmor",
            "--output",
            binary.to_str().unwrap(),
            armoured.to_str().unwrap(),
        ],
    );
    let mut gpgv = process::command("gpgv");
    gpgv.arg("--homedir")
        .arg(dir)
        .arg("--keyring")
        .arg(&binary)
        .arg(&signed);
    process::run(gpgv, None).is_ok()
}

fn gpg(dir: &Path, arguments: &[&str]) {
    let mut gpg = process::command("gpg");
    gpg.args([
        "--batch",
        "--quiet",
        "--pinentry-mode",
        "loopback",
        "--passphrase",
        "",
    ]);
    gpg.arg("--homedir").arg(dir).args(arguments);
    process::run(gpg, None).unwrap();
}

#[test]
fn gpgv_agrees_on_what_we_sign() {
    let (key, stranger) = (new_key("archive"), new_key("stranger"));
    let text = release_text("stable", SystemTime::now(), None, &[]) + "- dashed\n-----x\n";
    let good = String::from_utf8(clear_sign(&key, &text)).unwrap();
    let cases = [
        ("good", good.clone()),
        ("changed", good.replace("Test", "Tset")),
        (
            "stranger",
            String::from_utf8(clear_sign(&stranger, &text)).unwrap(),
        ),
    ];
    for (name, message) in cases {
        let dir = tempfile::tempdir().unwrap();
        let (keyring, _) = keyring(dir.path(), &public(&key));
        let ours = release::verify("stable", message.as_bytes(), &keyring, SystemTime::now(), 0);
        let ours = ours.map_err(|error| error.verdict());
        let theirs = gpgv(dir.path(), &public(&key), message.as_bytes());
        // The last lines are no release; that the signature holds is what is compared.
        assert_eq!(
            ours.as_ref().err() != Some(&"badly-signed-release"),
            theirs,
            "{name}"
        );
        assert_eq!(theirs, name == "good", "{name}");
    }
}

#[test]
fn we_agree_on_what_gpg_signs() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path();
    let (text, signed, public) = (home.join("text"), home.join("signed"), home.join("public"));
    let release = release_text("stable", SystemTime::now() - DAY, None, &[("a", b"b")]);
    fs::write(&text, &release).unwrap();
    let of = |path: &PathBuf| path.to_str().unwrap().to_owned();
    gpg(
        home,
        &[
            "--quick-generate-key",
            "archive@example.org",
            "rsa2048",
            "sign",
            "never",
        ],
    );
    gpg(home, &["--output", &of(&signed), "--clearsign", &of(&text)]);
    gpg(home, &["--output", &of(&public), "--export"]);
    let keyring = Keyring::load(std::slice::from_ref(&public)).unwrap();
    let bytes = fs::read(&signed).unwrap();
    let verified = release::verify("stable", &bytes, &keyring, SystemTime::now(), 0).unwrap();
    assert_eq!(
        verified.file("a"),
        Some((1, tidelock_model::Sha256::of(b"b")))
    );
    // SHA-1 is no signature any more, whoever made it.
    let weak = home.join("weak");
    gpg(
        home,
        &[
            "--digest-algo",
            "SHA1",
            "--output",
            &of(&weak),
            "--clearsign",
            &of(&text),
        ],
    );
    let bytes = fs::read(&weak).unwrap();
    let error = release::verify("stable", &bytes, &keyring, SystemTime::now(), 0).unwrap_err();
    assert_eq!(error.verdict(), "badly-signed-release");
}

/// A home of GnuPG with one key, a hundred days old; then a text signed yesterday.
struct Home {
    dir: tempfile::TempDir,
    now: u64,
}

impl Home {
    fn new() -> Self {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap();
        let home = Self {
            dir: tempfile::tempdir().unwrap(),
            now: now.as_secs(),
        };
        home.gpg(
            100,
            &[
                "--quick-generate-key",
                "archive@example.org",
                "ed25519",
                "sign",
                "never",
            ],
        );
        let text = release_text("stable", SystemTime::now() - 2 * DAY, None, &[]);
        fs::write(home.dir.path().join("text"), text).unwrap();
        let (signed, text) = (home.file("signed"), home.file("text"));
        home.gpg(
            1,
            &[
                "--local-user",
                "archive@example.org",
                "--output",
                &signed,
                "--clearsign",
                &text,
            ],
        );
        home
    }

    fn file(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    /// Runs gpg as if it were so many days ago.
    fn gpg(&self, days_ago: u64, arguments: &[&str]) {
        let time = (self.now - days_ago * 86_400).to_string();
        let faked = ["--yes", "--faked-system-time", &time];
        gpg(self.dir.path(), &[&faked, arguments].concat());
    }

    fn fingerprint(&self) -> String {
        let mut gpg = process::command("gpg");
        gpg.arg("--homedir").arg(self.dir.path());
        gpg.args([
            "--batch",
            "--with-colons",
            "--list-keys",
            "archive@example.org",
        ]);
        let output = String::from_utf8(process::run(gpg, None).unwrap()).unwrap();
        let line = output
            .lines()
            .find(|line| line.starts_with("fpr:"))
            .unwrap();
        line.trim_matches(|c| c == ':')
            .rsplit(':')
            .next()
            .unwrap()
            .to_owned()
    }

    /// What we, and then gpgv, say of the signed text, by the key as it is now.
    fn verdicts(&self) -> (Result<(), &'static str>, bool) {
        self.gpg(
            0,
            &[
                "--armor",
                "--output",
                &self.file("public"),
                "--export",
                "archive@example.org",
            ],
        );
        let public = fs::read(self.file("public")).unwrap();
        let signed = fs::read(self.file("signed")).unwrap();
        let (keyring, _) = keyring(self.dir.path(), &public);
        let ours = release::verify("stable", &signed, &keyring, SystemTime::now(), 0);
        let ours = ours.map(drop).map_err(|error| error.verdict());
        (ours, gpgv(self.dir.path(), &public, &signed))
    }
}

#[test]
fn what_others_say_of_a_key_does_not_matter() {
    let home = Home::new();
    home.gpg(
        50,
        &[
            "--quick-generate-key",
            "friend@example.org",
            "ed25519",
            "sign,cert",
            "never",
        ],
    );
    home.gpg(
        40,
        &[
            "--local-user",
            "friend@example.org",
            "--quick-sign-key",
            &home.fingerprint(),
        ],
    );
    assert_eq!(home.verdicts(), (Ok(()), true));
}

#[test]
fn a_key_that_had_expired_signs_nothing() {
    let home = Home::new();
    assert_eq!(home.verdicts(), (Ok(()), true));
    home.gpg(50, &["--quick-set-expire", &home.fingerprint(), "1d"]);
    assert_eq!(home.verdicts().0, Err("badly-signed-release"));
}

#[test]
fn a_revoked_key_signs_nothing() {
    let home = Home::new();
    let made = home.file(&format!("openpgp-revocs.d/{}.rev", home.fingerprint()));
    let revocation = fs::read_to_string(made)
        .unwrap()
        .replace(":-----BEGIN", "-----BEGIN");
    fs::write(home.file("revocation"), revocation).unwrap();
    home.gpg(0, &["--import", &home.file("revocation")]);
    assert_eq!(home.verdicts().0, Err("badly-signed-release"));
}
