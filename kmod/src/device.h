/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * /dev/tidelock.
 */
#ifndef TIDELOCK_DEVICE_H
#define TIDELOCK_DEVICE_H

int tdl_device_init(void);
void tdl_device_exit(void);

#endif /* TIDELOCK_DEVICE_H */
