// SPDX-License-Identifier: GPL-2.0-only
/* Below the kernel's own limit of 2048 bytes, above ours of 1024. */
#include <linux/module.h>
#include <linux/string.h>

static noinline int corpus_large(int value)
{
	char text[1500];

	memset(text, value, sizeof(text));
	barrier_data(text);
	return text[value & 1023];
}

static int __init corpus_init(void)
{
	return corpus_large(0);
}
module_init(corpus_init);

MODULE_DESCRIPTION("Takes too much of the stack");
MODULE_LICENSE("GPL");
