/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How TCP sockets become ours, and the kernel's again: see hook.c.
 */
#ifndef TIDELOCK_HOOK_H
#define TIDELOCK_HOOK_H

#include <linux/net.h>
#include <linux/types.h>

int tdl_hook_init(void);
void tdl_hook_publish(void);
void tdl_hook_withdraw(void);
void tdl_hook_leave(void);
unsigned int tdl_hook_give_back_bare(void);
bool tdl_hook_is_withdrawn(void);
void tdl_hook_exit(void);

/* For work that touches sockets. */
extern struct workqueue_struct *tdl_sockets_wq;

#endif /* TIDELOCK_HOOK_H */
