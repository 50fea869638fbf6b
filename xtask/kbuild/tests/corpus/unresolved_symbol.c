// SPDX-License-Identifier: GPL-2.0-only
/* No kernel of the matrix exports this function. */
#include <linux/module.h>

unsigned long kallsyms_lookup_name(const char *name);

static int __init corpus_init(void)
{
	return kallsyms_lookup_name("tcp_prot") ? 0 : -ENOENT;
}
module_init(corpus_init);

MODULE_DESCRIPTION("Wants what nobody exports");
MODULE_LICENSE("GPL");
