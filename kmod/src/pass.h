/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A task's way through an operation of ours: see pass.c.
 */
#ifndef TIDELOCK_PASS_H
#define TIDELOCK_PASS_H

#include <linux/net.h>

struct tdl_conn;

struct tdl_pass {
	struct tdl_conn *conn;	/* with a reference; NULL when the socket has no entry */
	int cookie;
};

int tdl_pass_init(void);
void tdl_pass_drain(void);
void tdl_pass_exit(void);

/* Always both, also when the first one says that the operation may not go on. */
int tdl_pass_begin(struct tdl_pass *pass, struct socket *sock, bool waits);
void tdl_pass_end(struct tdl_pass *pass);

/* For operations that go on in any case, and never sleep for long. */
int tdl_pass_enter(void);
void tdl_pass_leave(int cookie);

#endif /* TIDELOCK_PASS_H */
