// SPDX-License-Identifier: GPL-2.0-only
/* Whether the socket of a file comes with an errno. */
#include <linux/net.h>

struct socket *tdl_probe(struct file *file);
struct socket *tdl_probe(struct file *file)
{
	int err;

	return sock_from_file(file, &err);
}
