/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every difference between kernels, as one face. The rest of the module is written as if only
 * the newest kernel existed.
 *
 * compat_config.h is made for each kernel from probes/ (see README.md): one TDL_HAVE_<NAME>
 * for each probe, 1 or 0.
 */
#ifndef TIDELOCK_COMPAT_H
#define TIDELOCK_COMPAT_H

#include <linux/objtool.h>
#include <linux/version.h>

#include "compat_config.h"

/* The only version test: kernels that nobody has tried. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(5, 10, 0)
#error "tidelock supports Linux 5.10 to 7.3: this kernel is older"
#endif
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 4, 0)
#error "tidelock supports Linux 5.10 to 7.3: this kernel is newer"
#endif

/* An objtool that does not know a switch of stacks must not look at the function. */
#if TDL_HAVE_OBJTOOL_STACK_SWITCH
#define TDL_STACK_SWITCH_NON_STANDARD(func)
#else
#define TDL_STACK_SWITCH_NON_STANDARD(func) STACK_FRAME_NON_STANDARD(func)
#endif

#endif /* TIDELOCK_COMPAT_H */
