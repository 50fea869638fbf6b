/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How TCP sockets become ours, and the kernel's again: see hook.c.
 */
#ifndef TIDELOCK_HOOK_H
#define TIDELOCK_HOOK_H

#include <linux/net.h>
#include <linux/types.h>

int tdl_hook_init(void);
void tdl_hook_exit(void);

/* Around everything in an operation of ours: unloading waits for it. */
int tdl_enter(void);
void tdl_leave(int cookie);

/* Whether unloading has begun: who sleeps in an operation of ours must end soon. */
bool tdl_leaving(void);
int tdl_restart(void);
void tdl_hook_sync(void);

/* For work that touches sockets. */
extern struct workqueue_struct *tdl_sockets_wq;

#endif /* TIDELOCK_HOOK_H */
