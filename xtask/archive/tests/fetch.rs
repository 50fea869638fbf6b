// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Downloads that go wrong, each in its own way.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "the helpers of a test may panic, and write its throw-away files"
)]

mod support;

use std::{fs, sync::Arc, sync::Mutex};

use support::{Answer, Bench};
use tidelock_archive::{Arrival, FileRef, Kind, Mirrors, Mode, NoProgress, Presence, Progress};

fn body(bytes: usize) -> Vec<u8> {
    (0..251_u8).cycle().step_by(31).take(bytes).collect()
}

async fn fetch(bench: &Bench, file: &FileRef) -> Result<Vec<u8>, &'static str> {
    let fetcher = bench.fetcher(Mode::Online);
    match fetcher.fetch_one(file, Kind::Package, &NoProgress).await {
        Ok(path) => Ok(fs::read(path).unwrap()),
        Err(error) => Err(error.verdict()),
    }
}

#[tokio::test]
async fn a_file_is_fetched_once_and_replayed_offline() {
    let bench = Bench::new().await;
    let file = bench.server.put("pool/a+b~1.deb", &body(100_000));
    assert_eq!(fetch(&bench, &file).await.unwrap(), body(100_000));
    assert_eq!(fetch(&bench, &file).await.unwrap(), body(100_000));
    assert_eq!(bench.server.requests(), 1);
    let offline = bench.fetcher(Mode::Offline);
    offline
        .fetch_one(&file, Kind::Package, &NoProgress)
        .await
        .unwrap();

    let other = bench.server.put("pool/other.deb", b"other");
    let error = offline
        .fetch_one(&other, Kind::Package, &NoProgress)
        .await
        .unwrap_err();
    assert_eq!(error.verdict(), "not-in-cache");
    assert!(error.to_string().contains("pool/other.deb"), "{error}");
    assert!(error.to_string().contains("cargo xtask"), "{error}");
    assert_eq!(bench.server.requests(), 1, "offline asks nobody");
}

#[tokio::test]
async fn a_damaged_file_of_the_store_is_fetched_again() {
    let bench = Bench::new().await;
    let file = bench.server.put("pool/a.deb", &body(1000));
    fetch(&bench, &file).await.unwrap();
    let path = bench.store.path(&file.sha256);
    fs::remove_file(&path).unwrap();
    fs::write(&path, body(999)).unwrap();
    assert_eq!(fetch(&bench, &file).await.unwrap(), body(1000));
}

#[tokio::test]
async fn a_tampered_package_is_refused_and_leaves_nothing() {
    let bench = Bench::new().await;
    let file = bench.server.put("pool/a.deb", &body(1000));
    let mut tampered = body(1000);
    tampered[500] ^= 1;
    bench.server.put("pool/a.deb", &tampered);
    assert_eq!(fetch(&bench, &file).await, Err("tampered-package"));
    bench.server.put("pool/a.deb", &body(1001));
    assert_eq!(fetch(&bench, &file).await, Err("tampered-package"));
    assert!(!bench.store.path(&file.sha256).exists());
    let index = bench
        .fetcher(Mode::Online)
        .fetch_one(&file, Kind::Index, &NoProgress)
        .await;
    assert_eq!(index.unwrap_err().verdict(), "tampered-index");
    bench.server.put("pool/a.deb", &body(1000));
    assert_eq!(fetch(&bench, &file).await.unwrap(), body(1000));
}

#[tokio::test]
async fn a_truncated_download_resumes_where_it_broke() {
    let bench = Bench::new().await;
    let file = bench.server.put("pool/a.deb", &body(100_000));
    bench.server.answer(
        "pool/a.deb",
        vec![Answer::CutAfter(60_000), Answer::CutAfter(10_000)],
    );
    assert_eq!(fetch(&bench, &file).await.unwrap(), body(100_000));
    let ranges = bench.server.ranges();
    assert_eq!(ranges.len(), 3);
    assert_eq!(ranges[0], None);
    let offsets: Vec<usize> = ranges[1..]
        .iter()
        .map(|range| {
            let range = range.as_deref().unwrap();
            range
                .strip_prefix("bytes=")
                .unwrap()
                .strip_suffix('-')
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect();
    assert_eq!(offsets, [60_000, 70_000]);
}

#[tokio::test]
async fn what_always_breaks_off_is_given_up_and_resumed_by_the_next_run() {
    let bench = Bench::new().await;
    let file = bench.server.put("pool/a.deb", &body(1000));
    bench
        .server
        .answer("pool/a.deb", vec![Answer::CutAfter(100); 3]);
    assert_eq!(fetch(&bench, &file).await, Err("transfer-failed"));
    assert_eq!(fetch(&bench, &file).await.unwrap(), body(1000));
    let last = bench.server.ranges().pop().unwrap();
    assert_eq!(last.as_deref(), Some("bytes=300-"));
}

#[tokio::test]
async fn a_resumed_part_of_something_else_is_thrown_away() {
    let bench = Bench::new().await;
    let file = bench.server.put("pool/a.deb", &body(1000));
    for leftover in [vec![7; 400], vec![7; 1000], vec![7; 2000]] {
        let part = bench
            .dir
            .path()
            .join("store/part")
            .join(file.sha256.to_hex());
        fs::create_dir_all(part.parent().unwrap()).unwrap();
        fs::write(&part, &leftover).unwrap();
        assert_eq!(
            fetch(&bench, &file).await.unwrap(),
            body(1000),
            "{}",
            leftover.len()
        );
        assert!(!part.exists());
        fs::remove_file(bench.store.path(&file.sha256)).unwrap();
    }
}

#[tokio::test]
async fn a_server_without_ranges_is_taken_from_the_start() {
    let bench = Bench::new().await;
    let file = bench.server.put("pool/a.deb", &body(1000));
    bench.server.answer(
        "pool/a.deb",
        vec![Answer::CutAfter(100), Answer::IgnoreRange],
    );
    assert_eq!(fetch(&bench, &file).await.unwrap(), body(1000));
}

#[tokio::test]
async fn the_wrong_part_is_no_tampering_and_the_whole_is_asked_for() {
    let bench = Bench::new().await;
    let file = bench.server.put("pool/a.deb", &body(1000));
    bench.server.answer(
        "pool/a.deb",
        vec![Answer::CutAfter(100), Answer::EarlierPart(50)],
    );
    assert_eq!(fetch(&bench, &file).await.unwrap(), body(1000));
    assert_eq!(
        bench.server.ranges(),
        [None, Some("bytes=100-".into()), None]
    );
}

#[tokio::test]
async fn what_may_pass_is_tried_again_and_what_will_not_is_not() {
    let bench = Bench::new().await;
    let file = bench.server.put("pool/a.deb", &body(10));
    bench
        .server
        .answer("pool/a.deb", vec![Answer::Status(500), Answer::Status(503)]);
    assert_eq!(fetch(&bench, &file).await.unwrap(), body(10));
    assert_eq!(bench.server.requests(), 3);

    let refused = bench.server.put("pool/refused.deb", &body(11));
    bench
        .server
        .answer("pool/refused.deb", vec![Answer::Status(403)]);
    assert_eq!(fetch(&bench, &refused).await, Err("refused-download"));
    assert_eq!(bench.server.requests(), 4);

    let gone = bench.server.put("pool/gone.deb", &body(12));
    bench.server.remove("pool/gone.deb");
    let fetcher = bench.fetcher(Mode::Online);
    let error = fetcher
        .fetch_one(&gone, Kind::Package, &NoProgress)
        .await
        .unwrap_err();
    assert_eq!(error.verdict(), "vanished-file");
    assert!(
        error.to_string().contains("cargo xtask kernels diff"),
        "{error}"
    );
    assert_eq!(bench.server.requests(), 5);

    let busy = bench.server.put("pool/busy.deb", &body(13));
    bench
        .server
        .answer("pool/busy.deb", vec![Answer::Status(500); 3]);
    assert_eq!(fetch(&bench, &busy).await, Err("transfer-failed"));
    assert_eq!(bench.server.requests(), 8);
}

#[tokio::test]
async fn the_second_mirror_serves_what_the_first_has_not() {
    let bench = Bench::new().await;
    let empty = support::Server::start().await;
    let file = bench.server.put("pool/a.deb", &body(10));
    let mut mirrors = Mirrors::none();
    for server in [&empty, &bench.server] {
        mirrors.add("debian", &server.base).unwrap();
    }
    let fetcher =
        tidelock_archive::Fetcher::new(bench.store.clone(), mirrors, Mode::Online).unwrap();
    fetcher
        .fetch_one(&file, Kind::Package, &NoProgress)
        .await
        .unwrap();
    assert_eq!((empty.requests(), bench.server.requests()), (1, 1));

    let mut foreign = file.clone();
    foreign.archive = "elsewhere".into();
    foreign.sha256 = tidelock_model::Sha256::of(b"elsewhere");
    let error = fetcher
        .fetch_one(&foreign, Kind::Package, &NoProgress)
        .await
        .unwrap_err();
    assert_eq!(error.verdict(), "no-mirror");
}

#[derive(Default)]
struct Recorder(Mutex<Record>);

#[derive(Default)]
struct Record {
    expected: (usize, u64),
    bytes: i64,
    begun: usize,
    downloaded: usize,
    cached: usize,
}

impl Progress for Recorder {
    fn expect(&self, files: usize, bytes: u64) {
        self.0.lock().unwrap().expected = (files, bytes);
    }
    fn advance(&self, bytes: i64) {
        self.0.lock().unwrap().bytes += bytes;
    }
    fn downloading(&self, _: &FileRef) {
        self.0.lock().unwrap().begun += 1;
    }
    fn arrived(&self, _: &FileRef, how: Arrival) {
        let mut record = self.0.lock().unwrap();
        match how {
            Arrival::Cached => record.cached += 1,
            Arrival::Downloaded => record.downloaded += 1,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_files_come_in_order_and_all_failures_are_told() {
    let bench = Bench::new().await;
    let mut files: Vec<FileRef> = (1..=20_usize)
        .map(|n| bench.server.put(&format!("pool/{n}.deb"), &body(n * 100)))
        .collect();
    bench.server.answer(
        "pool/7.deb",
        vec![Answer::CutAfter(100), Answer::Status(500)],
    );
    files.push(files[0].clone());
    let recorder = Arc::new(Recorder::default());
    let fetcher = bench.fetcher(Mode::Online);
    fetcher
        .fetch_one(&files[1], Kind::Package, &NoProgress)
        .await
        .unwrap();
    let paths = fetcher
        .fetch(&files, Arc::clone(&recorder) as _)
        .await
        .unwrap();
    for (file, path) in files.iter().zip(&paths) {
        assert_eq!(fs::metadata(path).unwrap().len(), file.size);
    }
    assert_eq!(paths.len(), 21);
    {
        let record = recorder.0.lock().unwrap();
        assert_eq!(record.expected, (20, 21_000));
        assert_eq!(
            (record.bytes, record.downloaded, record.cached),
            (21_000, 19, 1)
        );
        assert_eq!(record.begun, 19);
    }
    let mut wanted = Vec::new();
    for n in 30..33_usize {
        wanted.push(bench.server.put(&format!("pool/{n}.deb"), &body(n)));
    }
    bench.server.remove("pool/30.deb");
    bench.server.put("pool/31.deb", &body(99));
    let errors = fetcher
        .fetch(&wanted, Arc::new(NoProgress))
        .await
        .unwrap_err();
    let verdicts: Vec<_> = errors
        .0
        .iter()
        .map(tidelock_archive::FetchError::verdict)
        .collect();
    assert_eq!(verdicts, ["vanished-file", "tampered-package"]);
    assert_eq!(errors.verdict(), "tampered-package");
    assert!(
        bench.store.seems_to_hold(&wanted[2]),
        "the others were still fetched"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_who_want_the_same_file_download_it_once() {
    let bench = Bench::new().await;
    let file = bench.server.put("pool/a.deb", &body(500_000));
    let (one, two) = (bench.fetcher(Mode::Online), bench.fetcher(Mode::Online));
    let (a, b) = tokio::join!(
        one.fetch_one(&file, Kind::Package, &NoProgress),
        two.fetch_one(&file, Kind::Package, &NoProgress),
    );
    assert_eq!(a.unwrap(), b.unwrap());
    assert_eq!(bench.server.requests(), 1);
}

#[tokio::test]
async fn presence_is_told_without_a_download() {
    let bench = Bench::new().await;
    let file = bench.server.put("pool/a.deb", &body(10));
    let fetcher = bench.fetcher(Mode::Online);
    assert_eq!(fetcher.presence(&file).await.unwrap(), Presence::Served);
    bench.server.put("pool/a.deb", &body(11));
    assert_eq!(
        fetcher.presence(&file).await.unwrap(),
        Presence::OtherSize(11)
    );
    bench.server.remove("pool/a.deb");
    assert_eq!(fetcher.presence(&file).await.unwrap(), Presence::Vanished);
}

#[tokio::test]
async fn gone_is_what_every_mirror_says() {
    let [one, two] = [Bench::new().await, Bench::new().await];
    let file = one.server.put("pool/a.deb", &body(10));
    one.server.remove("pool/a.deb");
    two.server.put("pool/a.deb", &body(10));
    let mut mirrors = Mirrors::none();
    for bench in [&one, &two] {
        mirrors.add("debian", &bench.server.base).unwrap();
    }
    let fetcher = tidelock_archive::Fetcher::new(one.store.clone(), mirrors, Mode::Online).unwrap();
    let refuse = || two.server.answer("pool/a.deb", vec![Answer::Status(403)]);
    let fetch = async || fetcher.fetch_one(&file, Kind::Package, &NoProgress).await;
    refuse();
    let error = fetcher.presence(&file).await.unwrap_err();
    assert_eq!(error.verdict(), "refused-download");
    refuse();
    assert_eq!(fetch().await.unwrap_err().verdict(), "refused-download");
    assert_eq!(fetcher.presence(&file).await.unwrap(), Presence::Served);
    one.server.put("pool/a.deb", &body(11));
    assert_eq!(fetcher.presence(&file).await.unwrap(), Presence::Served);
    two.server.remove("pool/a.deb");
    let other = Presence::OtherSize(11);
    assert_eq!(fetcher.presence(&file).await.unwrap(), other);
    assert_eq!(fetch().await.unwrap_err().verdict(), "tampered-package");
    one.server.remove("pool/a.deb");
    assert_eq!(fetcher.presence(&file).await.unwrap(), Presence::Vanished);
    assert_eq!(fetch().await.unwrap_err().verdict(), "vanished-file");
}
