// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Evaluations take turns: as many run side by side as there are processors.
//!
//! Their time is measured by the clock on the wall. With more of them than processors each would
//! take as long as all of them together, and what is fast by itself would run out of time just
//! because many ask. Waiting for a turn does not count.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

/// Who may go, and who waits.
#[derive(Debug)]
pub(crate) struct Turns {
    free: Mutex<usize>,
    freed: Condvar,
}

/// Somebody's turn, until it is dropped.
pub(crate) struct Turn<'a>(&'a Turns);

impl Turns {
    /// As many as there are processors; two where that is not known.
    pub(crate) fn of_host() -> Self {
        Self::new(thread::available_parallelism().map_or(2, usize::from))
    }

    fn new(count: usize) -> Self {
        Self {
            free: Mutex::new(count),
            freed: Condvar::new(),
        }
    }

    /// Waits for a turn.
    pub(crate) fn take(&self) -> Turn<'_> {
        let waited = self.freed.wait_while(self.free(), |free| *free == 0);
        *waited.unwrap_or_else(PoisonError::into_inner) -= 1;
        Turn(self)
    }

    fn free(&self) -> MutexGuard<'_, usize> {
        // A number is whole at any time.
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.free() += 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn no_more_go_side_by_side_and_everybody_comes_to_go() {
        let (turns, side, most, all) = (
            Turns::new(2),
            AtomicUsize::new(0),
            AtomicUsize::new(0),
            AtomicUsize::new(0),
        );
        thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let turn = turns.take();
                        let now = side.fetch_add(1, Ordering::SeqCst) + 1;
                        most.fetch_max(now, Ordering::SeqCst);
                        thread::yield_now();
                        side.fetch_sub(1, Ordering::SeqCst);
                        drop(turn);
                        all.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(all.into_inner(), 16 * 50);
        assert_eq!(most.into_inner(), 2);
    }
}
