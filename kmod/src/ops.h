/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The operations of a socket of ours: see ops.c.
 */
#ifndef TIDELOCK_OPS_H
#define TIDELOCK_OPS_H

#include <linux/net.h>
#include <linux/types.h>

int tdl_ops_init(void);

/* The kernel's own operations for a socket of ours, whatever has become of it meanwhile. */
const struct proto_ops *tdl_inner(const struct socket *sock);
const struct proto_ops *tdl_ops_kernels_v6(void);
bool tdl_ops_are_kernels(const struct socket *sock);
bool tdl_ops_are_ours(const struct socket *sock);

/* Swaps them; each waits for nobody. */
void tdl_ops_gate(struct socket *sock);		/* all calls come by us */
void tdl_ops_settle(struct socket *sock);	/* data goes past us */
void tdl_ops_restore(struct socket *sock);	/* the kernel's */

#endif /* TIDELOCK_OPS_H */
