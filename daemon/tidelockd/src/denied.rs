// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who is refused most: a bounded table of counts.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use tidelock_api::{Denied, DeniedReport, Direction};

/// How many are told apart. Where more come the least refused makes room, so that one who is
/// refused all the time is not driven out by many who are refused once.
const CAPACITY: usize = 1024;

/// What refusals are told apart by.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Refused {
    /// The executable's path, or the process's own name.
    pub who: String,
    /// Its user.
    pub uid: u32,
    /// Which end it was.
    pub direction: Direction,
    /// The other end.
    pub remote: String,
    /// Why.
    pub reason: String,
}

/// The table.
#[derive(Debug, Default)]
pub struct Table(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    counts: HashMap<Refused, u64>,
    others: u64,
}

impl Table {
    /// Counts one.
    pub fn count(&self, refused: Refused) {
        // The table is whole after every statement that changes it.
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = inner.counts.get_mut(&refused) {
            *count += 1;
            return;
        }
        if inner.counts.len() >= CAPACITY {
            inner.make_room();
        }
        inner.counts.insert(refused, 1);
    }

    /// The most refused first, `limit` at most.
    pub fn top(&self, limit: usize) -> DeniedReport {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rows: Vec<(&Refused, u64)> = inner
            .counts
            .iter()
            .map(|(key, count)| (key, *count))
            .collect();
        // By name where counts are equal, so that the order does not change by itself.
        rows.sort_by(|a, b| {
            let names = |of: &Refused| (of.who.clone(), of.remote.clone(), of.uid);
            b.1.cmp(&a.1).then_with(|| names(a.0).cmp(&names(b.0)))
        });
        let rest = rows.iter().skip(limit).map(|(_, count)| count).sum::<u64>();
        DeniedReport {
            denied: rows
                .into_iter()
                .take(limit)
                .map(|(key, count)| denied(key, count))
                .collect(),
            others: inner.others + rest,
        }
    }
}

impl Inner {
    /// Takes out the tenth that was refused least: rarely, for it looks at them all.
    fn make_room(&mut self) {
        let mut counts: Vec<u64> = self.counts.values().copied().collect();
        counts.sort_unstable();
        let limit = counts.get(CAPACITY / 10).copied().unwrap_or(u64::MAX);
        let mut room = CAPACITY / 10;
        let others = &mut self.others;
        self.counts.retain(|_, count| {
            if *count > limit || room == 0 {
                return true;
            }
            room -= 1;
            *others += *count;
            false
        });
    }
}

fn denied(key: &Refused, count: u64) -> Denied {
    Denied {
        count,
        who: key.who.clone(),
        uid: key.uid,
        direction: key.direction,
        remote: key.remote.clone(),
        reason: key.reason.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(who: &str) -> Refused {
        Refused {
            who: who.into(),
            uid: 1,
            direction: Direction::Connect,
            remote: "192.0.2.1:1".into(),
            reason: "no".into(),
        }
    }

    #[test]
    fn many_who_are_refused_once_do_not_drive_out_one_who_always_is() {
        let table = Table::default();
        for _ in 0..3 {
            table.count(refused("often"));
        }
        for at in 0..5 * CAPACITY {
            table.count(refused(&format!("once {at}")));
        }
        let top = table.top(1);
        assert_eq!(
            (top.denied[0].who.as_str(), top.denied[0].count),
            ("often", 3)
        );
        // None is lost from the sum.
        assert_eq!(top.others, 5 * CAPACITY as u64);
        assert!(table.top(usize::MAX).denied.len() <= CAPACITY);
    }
}
