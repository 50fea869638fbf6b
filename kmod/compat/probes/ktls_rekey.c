// SPDX-License-Identifier: GPL-2.0-only
/* Does kTLS take new keys for TLS 1.3? It counts them where it does. */
#include <linux/snmp.h>

int tdl_probe(void);
int tdl_probe(void)
{
	return LINUX_MIB_TLSTXREKEYOK;
}
