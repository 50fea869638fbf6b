/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What has happened since the module was loaded: a counter for each processor, so that counting
 * costs no shared cache line.
 */
#ifndef TIDELOCK_COUNTERS_H
#define TIDELOCK_COUNTERS_H

#include <linux/percpu.h>

#include "tidelock_core.h"

DECLARE_PER_CPU(struct tdl_counters, tdl_counters);

#define tdl_count(what) this_cpu_inc(tdl_counters.what)

void tdl_counters_sum(struct tdl_counters *sum);

#endif /* TIDELOCK_COUNTERS_H */
