/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * All sockets back to the kernel: see withdraw.c.
 */
#ifndef TIDELOCK_WITHDRAW_H
#define TIDELOCK_WITHDRAW_H

void tdl_withdraw_init(void);
void tdl_withdraw_exit(void);

#endif /* TIDELOCK_WITHDRAW_H */
