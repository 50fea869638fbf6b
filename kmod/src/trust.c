// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who is trusted: the bundles of trust domains and what is void, as the daemon has told. It stays
 * as it is when the daemon goes.
 *
 * All of it the engine's, without any lock.
 */
#include "engine.h"
#include "frame.h"
#include "trust.h"

static struct tdl_trust *tdl_trust;	/* NULL: nobody is */

/* The length of the answer, or an errno. */
ssize_t tdl_trust_change(const u8 *in, size_t in_len, struct tdl_frame *answer)
{
	struct tdl_trust *old = tdl_trust, *new = NULL;
	ssize_t len = tdl_engine_trust(old, in, in_len, answer->data, answer->cap, &new);

	/* Refused: all stays as it was. */
	if (len <= 0 || !new)
		return len;
	tdl_trust = new;
	if (old)
		tdl_engine_free(TDL_HELD_TRUST, old);
	return len;
}

/* In the engine, until it does something else; NULL: nobody is trusted. */
struct tdl_trust *tdl_trust_now(void)
{
	return tdl_trust;
}

static void tdl_trust_forget(void *unused)
{
	if (tdl_trust)
		tdl_engine_free(TDL_HELD_TRUST, tdl_trust);
	tdl_trust = NULL;
}

/* Nobody has the device open any more. */
void tdl_trust_exit(void)
{
	tdl_engine_do(tdl_trust_forget, NULL);
}
