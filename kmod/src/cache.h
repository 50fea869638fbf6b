/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Verdicts that are kept: see cache.c.
 */
#ifndef TIDELOCK_CACHE_H
#define TIDELOCK_CACHE_H

#include <linux/types.h>

struct tdl_key;
struct tdl_verdict;

int tdl_cache_init(void);
void tdl_cache_exit(void);

bool tdl_cache_find(const struct tdl_key *key, struct tdl_verdict *verdict);
void tdl_cache_keep(const struct tdl_key *key, const struct tdl_verdict *verdict, u32 ttl_ms);
void tdl_cache_make_room(u32 share, int try);
void tdl_cache_flush(void);
u32 tdl_cache_count(void);

#endif /* TIDELOCK_CACHE_H */
