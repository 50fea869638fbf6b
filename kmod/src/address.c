// SPDX-License-Identifier: GPL-2.0-only
/*
 * Addresses of the kernel's as ours.
 */
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/string.h>
#include <net/ipv6.h>
#include <net/sock.h>

#include "address.h"

void tdl_address_v6(struct tdl_address *to, const struct in6_addr *ip, __be16 port)
{
	memset(to, 0, sizeof(*to));
	to->port = ntohs(port);
	if (ipv6_addr_v4mapped(ip)) {
		to->family = 4;
		memcpy(to->bytes, &ip->s6_addr32[3], 4);
	} else {
		to->family = 6;
		memcpy(to->bytes, ip, 16);
	}
}

void tdl_address_v4(struct tdl_address *to, __be32 ip, __be16 port)
{
	memset(to, 0, sizeof(*to));
	to->port = ntohs(port);
	to->family = 4;
	memcpy(to->bytes, &ip, 4);
}

/* The unspecified address stands for this host: the bound address, or the loopback. */
static void tdl_address_any(struct tdl_address *to, const struct sock *sk)
{
	static const u8 any[16];
	struct tdl_address bound;

	if (memcmp(to->bytes, any, to->family == 4 ? 4 : 16))
		return;
	tdl_address_local(&bound, sk);
	if (bound.family == to->family && memcmp(bound.bytes, any, 16)) {
		memcpy(to->bytes, bound.bytes, 16);
	} else if (to->family == 4) {
		to->bytes[0] = 127;
		to->bytes[3] = 1;
	} else {
		to->bytes[15] = 1;
	}
}

/* Whether it is an address that a socket of this family can connect to. */
bool tdl_address_given(struct tdl_address *to, const struct sock *sk,
		       const struct sockaddr_storage *address, int len)
{
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;

	if (address->ss_family != sk->sk_family)
		return false;
	if (sk->sk_family == AF_INET && len >= sizeof(*v4))
		tdl_address_v4(to, v4->sin_addr.s_addr, v4->sin_port);
	else if (sk->sk_family == AF_INET6 && len >= SIN6_LEN_RFC2133)
		tdl_address_v6(to, &v6->sin6_addr, v6->sin6_port);
	else
		return false;
	tdl_address_any(to, sk);
	return true;
}

void tdl_address_local(struct tdl_address *to, const struct sock *sk)
{
	__be16 port = htons(READ_ONCE(sk->sk_num));

#if IS_ENABLED(CONFIG_IPV6)
	if (sk->sk_family == AF_INET6) {
		tdl_address_v6(to, &sk->sk_v6_rcv_saddr, port);
		return;
	}
#endif
	tdl_address_v4(to, sk->sk_rcv_saddr, port);
}

void tdl_address_remote(struct tdl_address *to, const struct sock *sk)
{
#if IS_ENABLED(CONFIG_IPV6)
	if (sk->sk_family == AF_INET6) {
		tdl_address_v6(to, &sk->sk_v6_daddr, sk->sk_dport);
		return;
	}
#endif
	tdl_address_v4(to, sk->sk_daddr, sk->sk_dport);
}
