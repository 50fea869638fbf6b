// SPDX-License-Identifier: GPL-2.0-only
/* Whether an error of a socket is reported by a function, and not through a pointer alone. */
#include <net/sock.h>

void tdl_probe(struct sock *sk);
void tdl_probe(struct sock *sk)
{
	sk_error_report(sk);
}
