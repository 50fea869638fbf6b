/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A handshake with who connects to us: see shake.c.
 */
#ifndef TIDELOCK_SHAKE_H
#define TIDELOCK_SHAKE_H

#include <linux/net.h>
#include <linux/types.h>

struct tdl_case;
struct tdl_shake;

/* What came of it. */
enum tdl_shaken {
	TDL_SHAKEN_YET,		/* it goes on */
	TDL_SHAKEN_DONE,
	TDL_SHAKEN_FAILED,	/* for a reason */
};

int tdl_shakes_init(void);
void tdl_shakes_exit(void);

struct tdl_shake *tdl_shake_new(struct socket *sock, const struct proto_ops *inner,
				struct tdl_case *c, u32 share, void (*fire)(void *data),
				void *data);
void tdl_shake_start(struct tdl_shake *shake);
enum tdl_shaken tdl_shake_look(const struct tdl_shake *shake, u32 *reason);
bool tdl_shake_stop(struct tdl_shake *shake);
void tdl_shake_free(struct tdl_shake *shake);

#endif /* TIDELOCK_SHAKE_H */
