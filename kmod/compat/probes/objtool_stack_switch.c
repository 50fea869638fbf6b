// SPDX-License-Identifier: GPL-2.0-only
/*
 * Does objtool understand code that switches stacks? It learned to when the kernel's own
 * switch became inline assembly in this header.
 */
#include <asm/irq_stack.h>

#ifndef call_on_stack
#error "no call_on_stack()"
#endif
