/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * accept(2): see accept.c.
 */
#ifndef TIDELOCK_ACCEPT_H
#define TIDELOCK_ACCEPT_H

#include <linux/net.h>
#include <linux/types.h>

struct tdl_caller;
struct tdl_conn;

int tdl_accept(struct tdl_conn *conn, struct socket *child, int flags);
/* Who calls listens or accepts: it may be decided for him when he polls. */
void tdl_accept_begin(struct tdl_conn *conn, struct tdl_caller *caller);

/* What poll says of a listener, by what the kernel says. */
__poll_t tdl_accept_poll(struct tdl_conn *conn, __poll_t mask);

#endif /* TIDELOCK_ACCEPT_H */
