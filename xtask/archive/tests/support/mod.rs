// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An archive on the loopback that can be made to misbehave, and keys to sign it with.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use pgp::{
    composed::{
        ArmorOptions, CleartextSignedMessage, KeyType, SecretKeyParamsBuilder, SignedSecretKey,
        SubkeyParamsBuilder,
    },
    types::Password,
};
use rand::rngs::OsRng;
use tempfile::TempDir;
use tidelock_archive::{Fetcher, FileRef, Mirrors, Mode, Retry, Store};
use tidelock_model::Sha256;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

/// How the server answers the next request for a path; then it serves as it should.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// This status, without a body.
    Status(u16),
    /// The headers of the whole, and only so many bytes of the body.
    CutAfter(usize),
    /// The whole, whatever range was asked for.
    IgnoreRange,
    /// The part that begins so many bytes before the one that was asked for.
    EarlierPart(usize),
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    answers: BTreeMap<String, Vec<Answer>>,
    /// Method, path and `Range` of every request.
    log: Vec<(String, String, Option<String>)>,
}

/// A server that dies with its handle's runtime.
#[derive(Clone)]
pub(crate) struct Server {
    state: Arc<Mutex<State>>,
    pub(crate) base: String,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/debian", listener.local_addr().unwrap());
        let server = Self {
            state: Arc::default(),
            base,
        };
        let serving = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serving = serving.clone();
                tokio::spawn(async move { serving.talk(stream).await });
            }
        });
        server
    }

    pub(crate) fn put(&self, path: &str, bytes: &[u8]) -> FileRef {
        let key = format!("/debian/{path}");
        self.state.lock().unwrap().files.insert(key, bytes.to_vec());
        FileRef {
            archive: "debian".into(),
            path: path.into(),
            size: bytes.len() as u64,
            sha256: Sha256::of(bytes),
        }
    }

    pub(crate) fn remove(&self, path: &str) {
        let key = format!("/debian/{path}");
        self.state.lock().unwrap().files.remove(&key);
    }

    pub(crate) fn answer(&self, path: &str, answers: Vec<Answer>) {
        let key = format!("/debian/{path}");
        self.state.lock().unwrap().answers.insert(key, answers);
    }

    pub(crate) fn ranges(&self) -> Vec<Option<String>> {
        let state = self.state.lock().unwrap();
        state
            .log
            .iter()
            .map(|(_, _, range)| range.clone())
            .collect()
    }

    pub(crate) fn requests(&self) -> usize {
        self.state.lock().unwrap().log.len()
    }

    pub(crate) fn mirrors(&self) -> Mirrors {
        Mirrors::from_urls(&self.base, None).unwrap()
    }

    async fn talk(&self, stream: TcpStream) -> Option<()> {
        let mut stream = BufReader::new(stream);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            stream
                .read_line(&mut line)
                .await
                .ok()
                .filter(|read| *read > 0)?;
            if line.trim().is_empty() {
                break;
            }
            lines.push(line.trim().to_owned());
        }
        let mut words = lines.first()?.split(' ');
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let range = lines.iter().find_map(|line| {
            line.to_lowercase()
                .strip_prefix("range: ")
                .map(str::to_owned)
        });
        let reply = self.reply(&method, &path, range.as_deref());
        stream.get_mut().write_all(&reply).await.ok()?;
        stream.get_mut().shutdown().await.ok()
    }

    fn reply(&self, method: &str, path: &str, range: Option<&str>) -> Vec<u8> {
        let mut state = self.state.lock().unwrap();
        state
            .log
            .push((method.into(), path.into(), range.map(str::to_owned)));
        let answer = state
            .answers
            .get_mut(path)
            .filter(|answers| !answers.is_empty())
            .map(|answers| answers.remove(0));
        let Some(body) = state.files.get(path) else {
            return head(404, 0, None);
        };
        let offset: usize = range
            .and_then(|range| {
                range
                    .strip_prefix("bytes=")?
                    .strip_suffix('-')?
                    .parse()
                    .ok()
            })
            .filter(|_| !matches!(answer, Some(Answer::IgnoreRange)))
            .unwrap_or(0);
        let offset = match answer {
            Some(Answer::EarlierPart(bytes)) => offset - bytes,
            _ => offset,
        };
        if offset > body.len() {
            return head(416, 0, None);
        }
        let rest = &body[offset..];
        let (status, part) = match offset {
            0 => (200, None),
            _ => (
                206,
                Some(format!("bytes {offset}-{}/{}", body.len() - 1, body.len())),
            ),
        };
        let mut reply = match answer {
            Some(Answer::Status(status)) => return head(status, 0, None),
            _ => head(status, rest.len(), part),
        };
        match answer {
            _ if method == "HEAD" => {}
            Some(Answer::CutAfter(bytes)) => reply.extend_from_slice(&rest[..bytes]),
            _ => reply.extend_from_slice(rest),
        }
        reply
    }
}

fn head(status: u16, length: usize, range: Option<String>) -> Vec<u8> {
    let mut head =
        format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n");
    if let Some(range) = range {
        write!(head, "Content-Range: {range}\r\n").unwrap();
    }
    format!("{head}\r\n").into_bytes()
}

/// A server, an empty store, and a fetcher between them that does not wait long.
pub(crate) struct Bench {
    pub(crate) server: Server,
    pub(crate) store: Store,
    pub(crate) dir: TempDir,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self {
            server: Server::start().await,
            store: Store::at(dir.path().join("store")),
            dir,
        }
    }

    pub(crate) fn fetcher(&self, mode: Mode) -> Fetcher {
        let retry = Retry {
            attempts: 3,
            pause: Duration::from_millis(1),
        };
        Fetcher::with_retry(self.store.clone(), self.server.mirrors(), mode, retry).unwrap()
    }
}

/// A key as the archive's are: the primary certifies, a subkey signs.
pub(crate) fn new_key(name: &str) -> SignedSecretKey {
    let subkey = SubkeyParamsBuilder::default()
        .key_type(KeyType::Ed25519Legacy)
        .can_sign(true)
        .build()
        .unwrap();
    SecretKeyParamsBuilder::default()
        .key_type(KeyType::Ed25519Legacy)
        .can_certify(true)
        .can_sign(false)
        .primary_user_id(format!("{name} <{name}@example.org>"))
        .subkey(subkey)
        .build()
        .unwrap()
        .generate(OsRng)
        .unwrap()
}

pub(crate) fn public(key: &SignedSecretKey) -> Vec<u8> {
    key.to_public_key()
        .to_armored_bytes(ArmorOptions::default())
        .unwrap()
}

pub(crate) fn clear_sign(key: &SignedSecretKey, text: &str) -> Vec<u8> {
    let subkey = &key.secret_subkeys[0].key;
    CleartextSignedMessage::sign(OsRng, text, subkey, &Password::empty())
        .unwrap()
        .to_armored_bytes(ArmorOptions::default())
        .unwrap()
}

/// `Sat, 09 Aug 2025 09:16:30 UTC`.
pub(crate) fn date(time: SystemTime) -> String {
    httpdate::fmt_http_date(time).replace("GMT", "UTC")
}

/// The text of a release of `suite` that lists `files`.
pub(crate) fn release_text(
    suite: &str,
    made: SystemTime,
    valid: Option<SystemTime>,
    files: &[(&str, &[u8])],
) -> String {
    let mut text = format!(
        "Origin: Test\nSuite: {suite}\nCodename: {suite}\nDate: {}\n",
        date(made)
    );
    if let Some(valid) = valid {
        writeln!(text, "Valid-Until: {}", date(valid)).unwrap();
    }
    text.push_str("Acquire-By-Hash: yes\nSHA256:\n");
    for (path, bytes) in files {
        writeln!(text, " {} {} {path}", Sha256::of(bytes), bytes.len()).unwrap();
    }
    text
}
