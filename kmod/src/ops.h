/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The operations of a socket of ours: see ops.c.
 */
#ifndef TIDELOCK_OPS_H
#define TIDELOCK_OPS_H

#include <linux/net.h>
#include <linux/types.h>

#include "compat.h"

int tdl_ops_init(void);

struct tdl_conn;

/* The kernel's own operations for a socket of ours. */
const struct proto_ops *tdl_inner(const struct socket *sock);
const struct proto_ops *tdl_ops_kernels_v6(void);
bool tdl_ops_are_kernels(const struct socket *sock);
bool tdl_ops_are_ours(const struct socket *sock);

void tdl_ops_adopt(struct socket *sock);	/* the kernel's become ours: all calls come by us */
void tdl_ops_gate(struct tdl_conn *conn);	/* the same, again */
void tdl_ops_settle(struct tdl_conn *conn);
void tdl_ops_settle_locked(struct tdl_conn *conn);	/* data goes past us */
bool tdl_ops_give_back(struct tdl_conn *conn);	/* the kernel's again, for good */
bool tdl_ops_give_back_bare(struct socket *sock);

#endif /* TIDELOCK_OPS_H */
