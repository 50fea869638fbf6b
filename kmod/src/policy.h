/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is in force: see policy.c.
 */
#ifndef TIDELOCK_POLICY_H
#define TIDELOCK_POLICY_H

#include <linux/types.h>

#include "tidelock_core.h"

int tdl_policy_init(void);
void tdl_policy_exit(void);

int tdl_policy_configure(const struct tdl_order *order);

u32 tdl_policy_mode(void);
void tdl_policy_suspend(bool suspend);
u64 tdl_policy_epoch(void);
u64 tdl_policy_generation(void);
u32 tdl_policy_deadline_ms(void);
bool tdl_policy_exempts(const struct tdl_address *remote);

/* The process that has the device open: the daemon, about whom nobody is asked. */
void tdl_policy_set_daemon(void);
void tdl_policy_clear_daemon(void);
bool tdl_policy_is_daemon(void);

#endif /* TIDELOCK_POLICY_H */
