/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The counters in /sys/class/misc/tidelock/engine.
 */
#ifndef TIDELOCK_STATS_H
#define TIDELOCK_STATS_H

#include <linux/sysfs.h>

extern const struct attribute_group *tdl_stats_groups[];

#endif /* TIDELOCK_STATS_H */
