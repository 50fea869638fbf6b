/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Connections that nobody has been shown yet: see held.c.
 */
#ifndef TIDELOCK_HELD_H
#define TIDELOCK_HELD_H

#include <linux/list.h>
#include <linux/net.h>

#include "ask.h"
#include "decide.h"

struct tdl_conn;
struct tdl_shake;

struct tdl_held {
	struct list_head node;		/* under the listener's lock */
	struct tdl_conn *listener;	/* the watch's reference, while it is armed */
	struct sock *sk;		/* ours alone: it has no socket, or this one */
	struct socket *sock;		/* nobody's, for as long as hands are shaken */
	struct tdl_shake *shake;	/* once started with a reference of the listener */
	struct tdl_case c;		/* with a question that may wait, or without */
	struct tdl_key key;		/* of whom c is about */
	bool allowed;			/* said and counted, for whom c says */
	struct tdl_watch watch;
};

void tdl_held_prepare(struct tdl_conn *conn);
void tdl_held_cancel(struct tdl_conn *conn);

struct sock *tdl_held_detach(struct socket *child);
void tdl_held_reset(struct sock *sk);

struct tdl_held *tdl_held_new(struct tdl_conn *conn, struct socket *child,
			      struct tdl_case *c, const struct tdl_key *key);
void tdl_held_free(struct tdl_held *held);	/* the connection is another's now */
void tdl_held_kill(struct tdl_held *held);

bool tdl_held_shake(struct tdl_conn *conn, struct tdl_held *held);
void tdl_held_unshake(struct tdl_held *held);

bool tdl_held_put(struct tdl_conn *conn, struct tdl_held *held);
struct tdl_held *tdl_held_take(struct tdl_conn *conn);

bool tdl_held_is_ready(struct tdl_conn *conn);
bool tdl_held_missed(struct tdl_conn *conn);
bool tdl_held_are_full(const struct tdl_conn *conn);

#endif /* TIDELOCK_HELD_H */
