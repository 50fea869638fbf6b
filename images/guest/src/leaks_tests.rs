// SPDX-License-Identifier: Apache-2.0 OR MIT

use super::*;

fn census(slab: u64, used_kib: u64) -> Census {
    Census(
        [
            ((Kind::Slab, "kmalloc-64".into()), slab),
            ((Kind::Used, "used memory".into()), used_kib),
        ]
        .into(),
    )
}

fn found(counts: &[Census; 3]) -> Vec<String> {
    let counts = [&counts[0], &counts[1], &counts[2]];
    leaks(counts, 100).iter().map(Growth::to_string).collect()
}

#[test]
fn one_object_a_cycle_is_found() {
    // KFENCE takes a few of the leaked objects out of their cache.
    let counts = [(1000, 0), (1080, 20), (1175, 60)].map(|(slab, used)| census(slab, used));
    assert_eq!(found(&counts), ["kmalloc-64 +80 and +95 objects"]);
}

#[test]
fn one_page_a_cycle_is_found() {
    // Some of it noise, against the leak.
    let counts = [50_000, 50_400, 50_700].map(|used| census(0, used));
    assert_eq!(found(&counts), ["used memory +400 and +300 KiB"]);
}

#[test]
fn one_thread_or_area_a_cycle_is_found() {
    let counts = [0, 100, 200].map(|count| {
        Census(
            [
                ((Kind::Areas, "stack_alloc+0x1/0x2".into()), count),
                ((Kind::Threads, "threads".into()), 40 + count),
            ]
            .into(),
        )
    });
    assert_eq!(
        found(&counts),
        [
            "stack_alloc+0x1/0x2 +100 and +100 areas",
            "threads +100 and +100 threads"
        ]
    );
}

#[test]
fn what_the_kernel_takes_once_is_no_leak() {
    for used in [[50_000, 52_636, 52_640], [50_000, 50_050, 52_686]] {
        assert_eq!(found(&used.map(|used| census(0, used))), [""; 0]);
    }
    for slab in [[0, 126, 130], [0, 0, 126], [126, 0, 126]] {
        assert_eq!(found(&slab.map(|slab| census(slab, 0))), [""; 0]);
    }
}

#[test]
fn what_grew_in_the_first_half_is_worth_waiting_for() {
    let before = census(1000, 50_000);
    assert!(!census(1049, 50_199).is_suspect(&before, 100));
    assert!(census(1050, 50_000).is_suspect(&before, 100));
    assert!(census(1000, 50_200).is_suspect(&before, 100));
}

#[test]
fn counts_agree_when_hardly_anything_moved_either_way() {
    let count = census(1000, 50_000);
    assert!(census(1008, 49_968).agrees_with(&count));
    assert!(!census(991, 50_000).agrees_with(&count));
    assert!(!census(1000, 50_033).agrees_with(&count));
    let more = |number| {
        let mut census = count.clone();
        census.0.insert((Kind::Areas, "a".into()), number);
        census
    };
    assert!(!more(1).agrees_with(&count) && !count.agrees_with(&more(1)));
    assert!(more(0).agrees_with(&count));
}

#[test]
fn the_noise_is_told_by_halves() {
    let counts = [census(10, 500), census(12, 480), census(12, 484)];
    assert_eq!(
        noise([&counts[0], &counts[1], &counts[2]]),
        "kmalloc-64 +2 objects, used memory -20 KiB; kmalloc-64 +0 objects, used memory +4 KiB"
    );
}

const MEMORY: &str = "MemTotal: 1000 kB\nMemFree: 500 kB\nBuffers: 10 kB\nCached: 20 kB\n\
    SReclaimable: 30 kB\nPercpu: 40 kB\n";
const ZONES: &str = "  pagesets\n    cpu: 0\n              count: 5\n";

#[test]
fn pages_that_processors_keep_are_not_in_use() {
    assert_eq!(memory_in_use(MEMORY, ZONES).unwrap(), (420, 40));
}

#[test]
fn a_counter_that_is_not_there_breaks_the_check() {
    for name in ["MemTotal", "MemFree", "SReclaimable", "Percpu"] {
        let failure = memory_in_use(&MEMORY.replace(name, "Other"), ZONES).unwrap_err();
        assert_eq!(
            failure.to_string(),
            format!("broken-check: /proc/meminfo has no {name}")
        );
    }
    for (memory, zones) in [
        (MEMORY, "Node 0, zone DMA\n"),
        (&MEMORY.replace("1000", "100"), ZONES),
    ] {
        let failure = memory_in_use(memory, zones).unwrap_err().to_string();
        assert!(failure.starts_with("broken-check: /proc/"), "{failure}");
    }
    let empty = named(Kind::Slab, "/proc/slabinfo", BTreeMap::new());
    assert!(matches!(empty.map(drop), Err(Failure::BrokenCheck(_))));
}
