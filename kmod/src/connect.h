/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * connect(2): see connect.c.
 */
#ifndef TIDELOCK_CONNECT_H
#define TIDELOCK_CONNECT_H

#include <linux/net.h>

#include "compat.h"

struct tdl_conn;

int tdl_connect(struct tdl_conn *conn, struct tdl_sockaddr *address, int len, int flags);
bool tdl_connect_is_undecided(struct tdl_conn *conn);
int tdl_connect_await(struct tdl_conn *conn, bool nonblock, long timeout);

void tdl_connect_prepare(struct tdl_conn *conn);
bool tdl_connect_cancel(struct tdl_conn *conn);
bool tdl_connect_shut(struct tdl_conn *conn);
void tdl_connect_reset(struct tdl_conn *conn);

#endif /* TIDELOCK_CONNECT_H */
