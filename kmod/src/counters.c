// SPDX-License-Identifier: GPL-2.0-only
/*
 * What has happened since the module was loaded.
 */
#include <linux/build_bug.h>
#include <linux/cpumask.h>

#include "counters.h"

#define TDL_COUNTERS (sizeof(struct tdl_counters) / sizeof(u64))

DEFINE_PER_CPU(struct tdl_counters, tdl_counters);

/* Not a snapshot: others count meanwhile. */
void tdl_counters_sum(struct tdl_counters *sum)
{
	u64 *total = (u64 *)sum;
	unsigned int i;
	int cpu;

	BUILD_BUG_ON(sizeof(struct tdl_counters) % sizeof(u64));
	for (i = 0; i < TDL_COUNTERS; i++)
		total[i] = 0;
	for_each_possible_cpu(cpu) {
		const u64 *one = (const u64 *)per_cpu_ptr(&tdl_counters, cpu);

		for (i = 0; i < TDL_COUNTERS; i++)
			total[i] += READ_ONCE(one[i]);
	}
}
