// SPDX-License-Identifier: GPL-2.0-only
/* Whether accept takes its flags in a structure. */
#include <linux/net.h>
#include <net/sock.h>

int tdl_probe(struct socket *sock, struct socket *child, const struct proto_ops *ops);
int tdl_probe(struct socket *sock, struct socket *child, const struct proto_ops *ops)
{
	struct proto_accept_arg arg = { .flags = 0, .kern = true };

	return ops->accept(sock, child, &arg);
}
