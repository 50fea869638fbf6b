// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the guest measured, as medians and ratios.

use std::fmt;

use serde::Serialize;
use tidelock_model::Measured;

/// The ways of the guest (`images/guest/src/bench.rs`), what they are called, and which of them
/// each is compared with.
const WAYS: [(&str, &str, &str); 7] = [
    ("plain", "plain kernel", "plain"),
    ("off", "module loaded, off", "plain"),
    ("hit", "enforce, verdict kept", "plain"),
    ("miss", "enforce, asked each time", "plain"),
    ("refused_hit", "refused, verdict kept", "refused_hit"),
    ("refused_miss", "refused, asked each time", "refused_hit"),
    ("frame", "a frame and its answer", "refused_hit"),
];
/// So many of [`WAYS`] are connections; the others make no packet.
const CONNECTIONS: usize = 4;

/// The guest did not say what it was to say.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RatiosError {
    /// A line is missing.
    #[error("the guest measured no {0}: guest and factory do not fit each other")]
    Missing(String),
    /// A line cannot be read.
    #[error("the guest measured {0} as {1:?}, which is not what was due")]
    Garbled(String, String),
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Unit {
    /// Time.
    Nanoseconds,
    /// What the guest executed, in kernel and user space.
    Instructions,
}

/// What one round said of one way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Sample {
    count: u32,
    total: u64,
    p50: u64,
    p99: u64,
}

/// A median, and how many times as long that is as what it is compared with: the median of what
/// each round said.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub(super) struct Compared {
    median: f64,
    ratio: f64,
}

/// A way to connect, over all rounds.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(super) struct Way {
    name: &'static str,
    compared_with: &'static str,
    /// All over the count.
    mean: Compared,
    p50: Compared,
    p99: Compared,
    rounds: Vec<Sample>,
}

/// What the slab allocator took.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Memory {
    bytes: u64,
    count: u64,
    /// The caches behind most of it, with the bytes of each for one.
    caches: String,
}

/// All of it; displays as a table.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(super) struct Ratios {
    kernel: String,
    accelerator: String,
    unit: Unit,
    ways: Vec<Way>,
    /// What a verdict that is asked for costs more than one that is kept, at one end of a
    /// connection.
    miss: f64,
    /// What it costs where there is no packet: a question, the answer, and both wake-ups.
    question: f64,
    /// By connections that are open, both ends counted.
    plain: Memory,
    /// The same with the module.
    module: Memory,
    /// By verdicts that are kept.
    kept: Memory,
}

impl Ratios {
    /// Reads what the guest measured.
    pub(super) fn of(
        kernel: &str,
        accelerator: &str,
        unit: Unit,
        measured: &Measured,
    ) -> Result<Self, RatiosError> {
        let mut ways = Vec::new();
        for (name, _, compared_with) in WAYS {
            let own = rounds_of(measured, name)?;
            let other = rounds_of(measured, compared_with)?;
            if own.len() != other.len() {
                return Err(RatiosError::Missing(format!("{name}_{}", own.len())));
            }
            ways.push(Way::of(name, compared_with, own, &other));
        }
        let mean = |name: &str| {
            let way = ways.iter().find(|way| way.name == name);
            way.map_or(0.0, |way| way.mean.median)
        };
        // Both ends of a connection ask.
        let miss = (mean("miss") - mean("hit")) / 2.0;
        let question = mean("refused_miss") - mean("refused_hit");
        Ok(Self {
            kernel: kernel.to_owned(),
            accelerator: accelerator.to_owned(),
            unit,
            ways,
            miss,
            question,
            plain: memory(measured, "memory_plain")?,
            module: memory(measured, "memory_module")?,
            kept: memory(measured, "memory_kept")?,
        })
    }
}

impl Way {
    fn of(
        name: &'static str,
        compared_with: &'static str,
        rounds: Vec<Sample>,
        other: &[Sample],
    ) -> Self {
        let compared = |of: &dyn Fn(&Sample) -> f64| Compared {
            median: median(rounds.iter().map(of).collect()),
            ratio: median(
                rounds
                    .iter()
                    .zip(other)
                    .map(|(own, other)| of(own) / of(other))
                    .collect(),
            ),
        };
        let mean = compared(&|sample| float(sample.total) / f64::from(sample.count));
        Self {
            name,
            compared_with,
            mean,
            p50: compared(&|sample| float(sample.p50)),
            p99: compared(&|sample| float(sample.p99)),
            rounds,
        }
    }
}

impl Memory {
    #[expect(
        clippy::cast_precision_loss,
        reason = "bytes of one object, to be shown"
    )]
    fn each(&self) -> f64 {
        self.bytes as f64 / self.count as f64
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact up to a hundred days")]
fn float(number: u64) -> f64 {
    number as f64
}

/// Of an even number the lower of the two in the middle; 0 of none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len().saturating_sub(1) / 2;
    values.get(middle).copied().unwrap_or_default()
}

/// `NAME_0`, `NAME_1` and so on; one at the least.
fn rounds_of(measured: &Measured, name: &str) -> Result<Vec<Sample>, RatiosError> {
    let mut rounds = Vec::new();
    while let Some(text) = measured.get(&format!("{name}_{}", rounds.len())) {
        let sample = sample(text);
        rounds.push(sample.ok_or_else(|| RatiosError::Garbled(name.into(), text.clone()))?);
    }
    if rounds.is_empty() {
        return Err(RatiosError::Missing(format!("{name}_0")));
    }
    Ok(rounds)
}

/// `COUNT TOTAL P50 P99`; nothing takes no time.
fn sample(text: &str) -> Option<Sample> {
    let words: Vec<u64> = text
        .split(' ')
        .map(|word| word.parse().ok().filter(|number| *number > 0))
        .collect::<Option<_>>()?;
    match words[..] {
        [count, total, p50, p99] => Some(Sample {
            count: u32::try_from(count).ok()?,
            total,
            p50,
            p99,
        }),
        _ => None,
    }
}

/// `BYTES COUNT CACHES`.
fn memory(measured: &Measured, name: &str) -> Result<Memory, RatiosError> {
    let text = measured
        .get(name)
        .ok_or_else(|| RatiosError::Missing(name.into()))?;
    let read = || {
        let mut words = text.splitn(3, ' ');
        let bytes = words.next()?.parse().ok()?;
        let count = words.next()?.parse().ok().filter(|count| *count > 0)?;
        Some(Memory {
            bytes,
            count,
            caches: words.next().unwrap_or_default().to_owned(),
        })
    };
    read().ok_or_else(|| RatiosError::Garbled(name.into(), text.clone()))
}

impl fmt::Display for Ratios {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounds = self.ways.first().map_or(0, |way| way.rounds.len());
        let Self {
            kernel,
            accelerator,
            ..
        } = self;
        writeln!(f, "{kernel} ({accelerator}), medians of {rounds} rounds\n")?;
        let (connections, others) = self.ways.split_at(CONNECTIONS.min(self.ways.len()));
        table(f, "connect, accept, close", self.unit, connections)?;
        writeln!(f)?;
        table(f, "without a packet", self.unit, others)?;
        let (miss, question) = (self.miss / 1e3, self.question / 1e3);
        let unit = self.unit.thousands();
        writeln!(
            f,
            "\na miss costs {miss:.1} {unit} at each end, {:.2} times the {question:.1} {unit} of \
             a question without a packet",
            miss / question
        )?;
        writeln!(f, "\nmemory, in bytes of the slab allocator")?;
        let (plain, module) = (self.plain.each(), self.module.each());
        let more = module - plain;
        let own = "of a connection, both ends";
        writeln!(f, "{own:<28}{plain:>8.0}  {}", self.plain.caches)?;
        let with = "with the module";
        writeln!(f, "{with:<28}{module:>8.0}  {}", self.module.caches)?;
        writeln!(f, "{:<28}{more:>8.0}", "so by the module")?;
        let kept = "of a kept verdict";
        writeln!(
            f,
            "{kept:<28}{:>8.0}  {}",
            self.kept.each(),
            self.kept.caches
        )
    }
}

impl Unit {
    /// What a thousand of them are called.
    const fn thousands(self) -> &'static str {
        match self {
            Self::Nanoseconds => "us",
            Self::Instructions => "k",
        }
    }
}

fn table(f: &mut fmt::Formatter<'_>, title: &str, unit: Unit, ways: &[Way]) -> fmt::Result {
    write!(f, "{title:<26}")?;
    // The number of instructions a second says nothing.
    if unit == Unit::Nanoseconds {
        write!(f, "{:>8}", "1/s")?;
    }
    for name in ["mean", "p50", "p99"] {
        let name = format!("{name} {}", unit.thousands());
        write!(f, "{name:>10}{:>8}", "ratio")?;
    }
    writeln!(f)?;
    for way in ways {
        let known = WAYS.iter().find(|(name, ..)| *name == way.name);
        let title = known.map_or(way.name, |(_, title, _)| title);
        write!(f, "{title:<26}")?;
        if unit == Unit::Nanoseconds {
            write!(f, "{:>8.0}", 1e9 / way.mean.median)?;
        }
        for Compared { median, ratio } in [way.mean, way.p50, way.p99] {
            write!(f, "{:>10.1}{ratio:>8.3}", median / 1e3)?;
        }
        writeln!(f)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three rounds, the second on a host that was busy with something else.
    fn said() -> Measured {
        let mut measured = Measured::new();
        let means = [
            ("plain", 400),
            ("off", 410),
            ("hit", 440),
            ("miss", 1000),
            ("refused_hit", 50),
            ("refused_miss", 300),
            ("frame", 120),
        ];
        for (name, micros) in means {
            for (round, load) in [(0, 10), (1, 35), (2, 11)] {
                let each = micros * load * 100;
                let text = format!("200 {} {} {}", each * 200, each - 500, each * 2);
                measured.insert(format!("{name}_{round}"), text);
            }
        }
        let memory = [
            ("memory_plain", "5200000 1000 TCP 4480"),
            ("memory_module", "7248000 1000 TCP 4480, kmalloc-1k 2048"),
            (
                "memory_kept",
                "3200000 10000 kmalloc-256 256, kmalloc-64 64",
            ),
        ];
        measured.extend(memory.map(|(name, text)| (name.to_owned(), text.to_owned())));
        measured
    }

    #[test]
    fn the_table_shows_medians_and_ratios() {
        let of = |unit| Ratios::of("6.1.0-56-amd64", "tcg", unit, &said()).unwrap();
        insta::assert_snapshot!(of(Unit::Nanoseconds));
        insta::assert_snapshot!("instructions", of(Unit::Instructions));
    }

    #[test]
    fn a_ratio_is_of_the_same_round_so_that_load_falls_out() {
        let ratios = Ratios::of("6.1", "tcg", Unit::Nanoseconds, &said()).unwrap();
        let hit = &ratios.ways[2];
        assert!((hit.mean.ratio - 1.1).abs() < 1e-9, "{hit:?}");
        assert!((hit.mean.median - 484_000.0).abs() < 1e-6, "{hit:?}");
        assert!((ratios.miss - 308_000.0).abs() < 1e-6);
        assert!((ratios.question - 275_000.0).abs() < 1e-6);
    }

    #[test]
    fn medians_are_of_what_was_measured() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(vec![4.0, 1.0, 2.0, 3.0]) - 2.0).abs() < f64::EPSILON);
        assert!(median(Vec::new()).abs() < f64::EPSILON);
    }

    #[test]
    fn what_is_missing_or_garbled_is_named() {
        let without = |name: &str| {
            let mut measured = said();
            measured.remove(name);
            Ratios::of("6.1", "tcg", Unit::Nanoseconds, &measured).unwrap_err()
        };
        assert_eq!(without("hit_0"), RatiosError::Missing("hit_0".into()));
        assert_eq!(without("hit_2"), RatiosError::Missing("hit_2".into()));
        assert_eq!(
            without("memory_kept"),
            RatiosError::Missing("memory_kept".into())
        );
        for (name, text) in [
            ("miss_1", "200 0 1 1"),
            ("miss_1", "200 1 1"),
            ("miss_1", "many 1 1 1"),
            ("memory_plain", "12"),
            ("memory_plain", "12 0"),
        ] {
            let mut measured = said();
            measured.insert(name.into(), text.into());
            let error = Ratios::of("6.1", "tcg", Unit::Nanoseconds, &measured).unwrap_err();
            assert!(matches!(error, RatiosError::Garbled(..)), "{error}");
        }
    }
}
