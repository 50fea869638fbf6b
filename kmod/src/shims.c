// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the Rust core asks of the kernel beside memory: randomness and time.
 */
#include <linux/ktime.h>
#include <linux/random.h>

#include "tidelock_core.h"

void tdl_random(u8 *buf, size_t len)
{
	/*
	 * Sleeps until the generator is seeded, which is once, early after boot: keys made
	 * before that could be guessed. A kernel thread gets no signal, so this ends with a
	 * seeded generator.
	 */
	while (wait_for_random_bytes())
		;
	get_random_bytes(buf, len);
}

u64 tdl_unix_time(void)
{
	return ktime_get_real_seconds();
}
