/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The second line: see filter.c.
 */
#ifndef TIDELOCK_FILTER_H
#define TIDELOCK_FILTER_H

int tdl_filter_init(void);
void tdl_filter_exit(void);

#endif /* TIDELOCK_FILTER_H */
