// SPDX-License-Identifier: GPL-2.0-only
/* No kernel can tell its license: modpost refuses it. */
#include <linux/module.h>

static int __init corpus_init(void)
{
	return 0;
}
module_init(corpus_init);
