/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who wants something decided: see asker.c.
 */
#ifndef TIDELOCK_ASKER_H
#define TIDELOCK_ASKER_H

#include <linux/refcount.h>

#include "ident.h"

struct pid;

/* Never changed once it is made. */
struct tdl_asker {
	refcount_t refs;
	struct pid *pid;		/* of the process, which may have ended */
	struct tdl_key key;
	struct tdl_process process;
	struct tdl_address local;
	struct tdl_address remote;
	struct tdl_ident_texts texts;
};

struct tdl_asker *tdl_asker_new(const struct tdl_key *key, const struct tdl_process *process,
				const struct tdl_address *local,
				const struct tdl_address *remote);
struct tdl_asker *tdl_asker_get(struct tdl_asker *asker);
void tdl_asker_put(struct tdl_asker *asker);
bool tdl_asker_lives(const struct tdl_asker *asker);
bool tdl_asker_is_unchanged(const struct tdl_asker *asker);
bool tdl_asker_is(const struct tdl_asker *asker, const struct tdl_process *process);
bool tdl_asker_fits(const struct tdl_asker *asker, const struct tdl_key *key);
void tdl_asker_describe(const struct tdl_asker *asker, struct tdl_ask_facts *facts);

#endif /* TIDELOCK_ASKER_H */
