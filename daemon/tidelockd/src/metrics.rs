// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Numbers for Prometheus, in the text form of OpenMetrics.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use tidelock_api::{Counts, DeviceState, KernelReport};
use tidelock_policy::Decision;
use tidelock_wire::Direction;

use crate::{decide::name, serve::direction};

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Answer {
    decision: &'static str,
    direction: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

const ISSUED: Outcome = Outcome { outcome: "issued" };
const REFUSED: Outcome = Outcome { outcome: "refused" };

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct What {
    what: &'static str,
}

/// What is counted, and how it is shown.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    answers: Family<Answer, Counter>,
    seconds: Histogram,
    svids: Family<Outcome, Counter>,
    busy: Gauge,
    device: Gauge,
    opened: Counter,
    hashed: Counter,
    suppressed: Counter,
    generation: Gauge<u64, AtomicU64>,
    trouble: Gauge,
    authority_trouble: Gauge,
    kernel: Family<What, Counter>,
    kernel_now: Family<What, Gauge<u64, AtomicU64>>,
}

/// What is looked up when somebody reads the metrics.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scrape {
    /// How far the device is open.
    pub device: DeviceState,
    /// How often it was opened.
    pub opened: u64,
    /// Executables hashed.
    pub hashed: u64,
    /// Lines left out of the audit.
    pub suppressed: u64,
    /// The number of the policy.
    pub generation: u64,
    /// Whether a newer policy could not be taken.
    pub trouble: bool,
    /// Whether SVIDs cannot be signed, or soon cannot.
    pub authority_trouble: bool,
    /// What the kernel says.
    pub kernel: Option<KernelReport>,
}

impl Metrics {
    /// All zero.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            answers: Family::default(),
            seconds: Histogram::new([
                0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0,
            ]),
            svids: Family::default(),
            busy: Gauge::default(),
            device: Gauge::default(),
            opened: Counter::default(),
            hashed: Counter::default(),
            suppressed: Counter::default(),
            generation: Gauge::default(),
            trouble: Gauge::default(),
            authority_trouble: Gauge::default(),
            kernel: Family::default(),
            kernel_now: Family::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let Self { registry: to, .. } = self;
        to.register(
            "tidelockd_answers",
            "Questions of the kernel that were answered",
            self.answers.clone(),
        );
        to.register(
            "tidelockd_answer_seconds",
            "From the question to the answer",
            self.seconds.clone(),
        );
        to.register(
            "tidelockd_svids",
            "Requests of the kernel for an SVID that were answered",
            self.svids.clone(),
        );
        to.register(
            "tidelockd_busy",
            "Questions being answered",
            self.busy.clone(),
        );
        to.register(
            "tidelockd_device_up",
            "1 while the kernel's questions are answered",
            self.device.clone(),
        );
        to.register(
            "tidelockd_device_opened",
            "How often the device was opened",
            self.opened.clone(),
        );
        to.register(
            "tidelockd_executables_hashed",
            "Executables that were read for their digest",
            self.hashed.clone(),
        );
        to.register(
            "tidelockd_audit_suppressed",
            "Lines left out of the audit",
            self.suppressed.clone(),
        );
        to.register(
            "tidelockd_policy_generation",
            "The number of the policy in force",
            self.generation.clone(),
        );
        to.register(
            "tidelockd_policy_trouble",
            "1 while a newer policy cannot be taken",
            self.trouble.clone(),
        );
        self.register_more();
    }

    fn register_more(&mut self) {
        let Self { registry: to, .. } = self;
        to.register(
            "tidelockd_authority_trouble",
            "1 while SVIDs cannot be signed, or soon cannot",
            self.authority_trouble.clone(),
        );
        to.register(
            "tidelock_kernel",
            "What the module has counted since it was loaded",
            self.kernel.clone(),
        );
        to.register(
            "tidelock_kernel_now",
            "What the module holds now",
            self.kernel_now.clone(),
        );
    }

    /// A question was answered.
    pub fn answered(&self, of: Direction, decision: Option<&Decision>, took: Duration) {
        let answer = Answer {
            decision: decision.map_or("error", |decision| name(decision.mode)),
            direction: direction(of).name(),
        };
        self.answers.get_or_create(&answer).inc();
        self.seconds.observe(took.as_secs_f64());
    }

    /// A request for an SVID was answered: with one, or not.
    pub fn certified(&self, issued: bool) {
        let outcome = if issued { ISSUED } else { REFUSED };
        self.svids.get_or_create(&outcome).inc();
    }

    /// How many SVIDs were issued, and how many refused.
    pub fn svids(&self) -> (u64, u64) {
        let count = |outcome| self.svids.get_or_create(outcome).get();
        (count(&ISSUED), count(&REFUSED))
    }

    /// A question is being answered, until what this returns is dropped.
    pub fn busy(&self) -> Busy<'_> {
        self.busy.inc();
        Busy(&self.busy)
    }

    /// What was counted here, for the interface.
    pub fn counts(&self, hashed: u64, audit_suppressed: u64) -> Counts {
        let sum = |decision| {
            let of = |direction| {
                let answer = Answer {
                    decision,
                    direction,
                };
                self.answers.get_or_create(&answer).get()
            };
            of("connect") + of("accept")
        };
        let (denied, errors) = (sum("deny"), sum("error"));
        Counts {
            answered: denied + errors + sum("plain") + sum("mtls"),
            denied,
            errors,
            busy: u64::try_from(self.busy.get()).unwrap_or(0),
            hashed,
            audit_suppressed,
        }
    }

    /// The text that Prometheus reads.
    ///
    /// # Errors
    /// None is known: writing to a string does not fail.
    pub fn text(&self, scrape: &Scrape) -> Result<String, fmt::Error> {
        self.device
            .set((scrape.device == DeviceState::Serving).into());
        self.trouble.set(scrape.trouble.into());
        self.authority_trouble.set(scrape.authority_trouble.into());
        self.generation.set(scrape.generation);
        set(&self.opened, scrape.opened);
        set(&self.hashed, scrape.hashed);
        set(&self.suppressed, scrape.suppressed);
        if let Some(kernel) = &scrape.kernel {
            for (what, number) in totals(kernel) {
                set(&self.kernel.get_or_create(&What { what }), number);
            }
            for (what, number) in [("waiting", kernel.waiting), ("kept", kernel.kept)] {
                let gauge = self.kernel_now.get_or_create(&What { what });
                gauge.set(number.into());
            }
        }
        let mut out = String::new();
        text::encode(&mut out, &self.registry)?;
        Ok(out)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// A question being answered.
#[derive(Debug)]
pub struct Busy<'a>(&'a Gauge);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A counter that is counted elsewhere.
fn set(counter: &Counter, to: u64) {
    counter.inner().store(to, Ordering::Relaxed);
}

const fn totals(kernel: &KernelReport) -> [(&'static str, u64); 12] {
    [
        ("connects", kernel.connects),
        ("accepts", kernel.accepts),
        ("hits", kernel.hits),
        ("asks", kernel.asks),
        ("allowed", kernel.allowed),
        ("denied", kernel.denied),
        ("would_deny", kernel.would_deny),
        ("timeouts", kernel.timeouts),
        ("overflows", kernel.overflows),
        ("late", kernel.late),
        ("stale", kernel.stale),
        ("dropped", kernel.dropped),
    ]
}
