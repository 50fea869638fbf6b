// SPDX-License-Identifier: GPL-2.0-only
/* Whether an inode's times have accessors. */
#include <linux/fs.h>

s64 tdl_probe(const struct inode *inode);
s64 tdl_probe(const struct inode *inode)
{
	struct timespec64 time = inode_get_ctime(inode);

	return timespec64_to_ns(&time);
}
