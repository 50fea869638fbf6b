/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The Rust core's memory: see memory.c.
 */
#ifndef TIDELOCK_MEMORY_H
#define TIDELOCK_MEMORY_H

#include <linux/types.h>

struct tdl_memory_use {
	unsigned long blocks;	/* allocated now */
	unsigned long bytes;	/* asked for by them */
	unsigned long peak;	/* the most bytes at any time */
};

void tdl_memory_use(struct tdl_memory_use *use);
unsigned long tdl_memory_release(void);
void tdl_memory_exit(void);

#endif /* TIDELOCK_MEMORY_H */
