// SPDX-License-Identifier: GPL-2.0-only
/* Whether sockets have an operation of their own for sending pages. */
#include <linux/net.h>

ssize_t tdl_probe(const struct proto_ops *ops, struct socket *sock, struct page *page);
ssize_t tdl_probe(const struct proto_ops *ops, struct socket *sock, struct page *page)
{
	return ops->sendpage(sock, page, 0, 0, 0);
}
