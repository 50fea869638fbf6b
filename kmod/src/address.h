/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Addresses of the kernel's as ours: an IPv4 address of an IPv6 socket is an IPv4 address.
 */
#ifndef TIDELOCK_ADDRESS_H
#define TIDELOCK_ADDRESS_H

#include <linux/types.h>

#include "tidelock_core.h"

struct in6_addr;
struct sock;
struct sockaddr_storage;

void tdl_address_v4(struct tdl_address *to, __be32 ip, __be16 port);
void tdl_address_v6(struct tdl_address *to, const struct in6_addr *ip, __be16 port);
bool tdl_address_given(struct tdl_address *to, const struct sock *sk,
		       const struct sockaddr_storage *address, int len);
void tdl_address_local(struct tdl_address *to, const struct sock *sk);
void tdl_address_remote(struct tdl_address *to, const struct sock *sk);

#endif /* TIDELOCK_ADDRESS_H */
