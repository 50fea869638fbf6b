/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sending tasks to the edge of user space, from where they call again: see recall.c.
 */
#ifndef TIDELOCK_RECALL_H
#define TIDELOCK_RECALL_H

struct sock;

int tdl_recall_self(void);
void tdl_recall(struct sock *sk);

#endif /* TIDELOCK_RECALL_H */
