/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The operations of a socket whose connection is not decided: see gate.c.
 */
#ifndef TIDELOCK_GATE_H
#define TIDELOCK_GATE_H

#include <linux/net.h>

void tdl_gate_derive(struct proto_ops *gate);

#endif /* TIDELOCK_GATE_H */
