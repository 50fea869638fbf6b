// SPDX-License-Identifier: GPL-2.0-only
/* Whether addresses of sockets have a type without a size. */
#include <linux/net.h>

int tdl_probe(struct socket *sock, struct sockaddr_unsized *address, const struct proto_ops *ops);
int tdl_probe(struct socket *sock, struct sockaddr_unsized *address, const struct proto_ops *ops)
{
	return ops->connect(sock, address, 0, 0);
}
