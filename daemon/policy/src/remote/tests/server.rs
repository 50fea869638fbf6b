// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A server that has one bundle, and knows which it is.

use std::sync::{Arc, Mutex};

use tidelock_https::testing::{self, Bytes, Request, Response, header};

use crate::Bundle;

/// What every question is answered with.
#[derive(Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) etag: Option<String>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn bundle(bundle: &Bundle, etag: Option<&str>) -> Self {
        Self {
            status: 200,
            etag: etag.map(Into::into),
            body: bundle.to_tar_gz().unwrap(),
        }
    }
}

#[derive(Default)]
struct State {
    answer: Option<Answer>,
    asked: Vec<Option<String>>,
}

pub(super) struct Server {
    pub(super) https: testing::Server,
    state: Arc<Mutex<State>>,
}

impl Server {
    pub(super) async fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let handler = move |request| reply(&request, &mut shared.lock().unwrap());
        Self {
            https: testing::Server::start(handler).await,
            state,
        }
    }

    pub(super) fn answer(&self, answer: Answer) {
        self.state.lock().unwrap().answer = Some(answer);
    }

    /// The `If-None-Match` of each question.
    pub(super) fn asked(&self) -> Vec<Option<String>> {
        self.state.lock().unwrap().asked.clone()
    }
}

/// A server that knows its own `ETag`.
fn reply(request: &Request<Bytes>, state: &mut State) -> Response<Bytes> {
    let known = request.headers().get(header::IF_NONE_MATCH);
    let known = known.map(|etag| etag.to_str().unwrap().to_owned());
    state.asked.push(known.clone());
    let answer = state.answer.clone().unwrap();
    let mut response = Response::builder().status(answer.status);
    if let Some(etag) = &answer.etag {
        response = response.header(header::ETAG, etag);
        if known.as_ref() == Some(etag) {
            return response.status(304).body(Bytes::new()).unwrap();
        }
    }
    response.body(Bytes::from(answer.body)).unwrap()
}
