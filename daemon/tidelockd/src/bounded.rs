// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A listener that holds so many connections at once and no more: who opens many and says
//! nothing takes no descriptors from attestation, and has the others wait at the door alone.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::serve::Listener;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{OwnedSemaphorePermit, Semaphore},
};

/// The listener.
#[derive(Debug)]
pub struct Bounded<L> {
    inner: L,
    places: Arc<Semaphore>,
}

impl<L> Bounded<L> {
    /// Of these connections, `limit` at once.
    pub fn new(inner: L, limit: usize) -> Self {
        Self {
            inner,
            places: Arc::new(Semaphore::new(limit)),
        }
    }
}

/// A connection, which has a place until it is dropped.
#[derive(Debug)]
pub struct Held<T> {
    inner: T,
    _place: Option<OwnedSemaphorePermit>,
}

impl<T> Held<T> {
    /// The connection itself.
    pub const fn get(&self) -> &T {
        &self.inner
    }
}

impl<L: Listener> Listener for Bounded<L> {
    type Io = Held<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        // None only of a semaphore that is closed, which nobody does.
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        let (inner, address) = self.inner.accept().await;
        let held = Held {
            inner,
            _place: place,
        };
        (held, address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.inner.local_addr()
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Held<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Held<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{UnixListener, UnixStream};

    use super::*;

    #[tokio::test]
    async fn one_more_waits_until_one_has_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let mut bounded = Bounded::new(UnixListener::bind(&path).unwrap(), 1);
        let _clients = [
            UnixStream::connect(&path).await.unwrap(),
            UnixStream::connect(&path).await.unwrap(),
        ];
        let (first, _) = bounded.accept().await;
        {
            let mut second = std::pin::pin!(bounded.accept());
            // Polled once: it has not the place that it would need.
            let waits = std::future::poll_fn(|context| {
                Poll::Ready(second.as_mut().poll(context).is_pending())
            });
            assert!(waits.await);
        }
        drop(first);
        bounded.accept().await;
    }
}
