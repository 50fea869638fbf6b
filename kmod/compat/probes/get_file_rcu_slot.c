// SPDX-License-Identifier: GPL-2.0-only
/* Whether get_file_rcu() takes the place of a pointer, since files are reused at once. */
#include <linux/fs.h>

struct file *tdl_probe(struct file __rcu **slot);
struct file *tdl_probe(struct file __rcu **slot)
{
	return get_file_rcu(slot);
}
