/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * /proc/tidelock/connections and svids: see table.c.
 */
#ifndef TIDELOCK_TABLE_H
#define TIDELOCK_TABLE_H

int tdl_table_init(void);
void tdl_table_exit(void);

#endif /* TIDELOCK_TABLE_H */
