/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Addresses of the kernel's as ours: an IPv4 address of an IPv6 socket is an IPv4 address.
 */
#ifndef TIDELOCK_ADDRESS_H
#define TIDELOCK_ADDRESS_H

#include <linux/build_bug.h>
#include <linux/types.h>

#include "tidelock_core.h"

struct in6_addr;
struct sock;
struct sockaddr_storage;

/* Half-word by half-word, as it is aligned: memcmp() looks at each byte on older kernels. */
static inline bool tdl_address_is_same(const struct tdl_address *a, const struct tdl_address *b)
{
	const u16 *one = (const u16 *)a, *other = (const u16 *)b;
	u16 differs = 0;
	size_t i;

	BUILD_BUG_ON(sizeof(*a) % sizeof(u16));
	for (i = 0; i < sizeof(*a) / sizeof(u16); i++)
		differs |= one[i] ^ other[i];
	return !differs;
}

void tdl_address_v4(struct tdl_address *to, __be32 ip, __be16 port);
void tdl_address_v6(struct tdl_address *to, const struct in6_addr *ip, __be16 port);
bool tdl_address_given(struct tdl_address *to, const struct sock *sk,
		       const struct sockaddr_storage *address, int len);
void tdl_address_local(struct tdl_address *to, const struct sock *sk);
void tdl_address_remote(struct tdl_address *to, const struct sock *sk);

#endif /* TIDELOCK_ADDRESS_H */
