// SPDX-License-Identifier: GPL-2.0-only
/*
 * What this kernel can do.
 *
 * Known when the module is compiled: kTLS, its ciphers and its rekeying, MPTCP. They say what
 * the kernel was configured with. Where kTLS or a cipher is a module, that module can still be
 * missing from a machine, and no interface tells so without trying to load it; who opens a
 * kTLS socket must cope with the refusal.
 *
 * Known only at run time: IPv6, which can be configured and then switched off at boot.
 */
#include <linux/ipv6.h>
#include <linux/kconfig.h>

#include "caps.h"
#include "compat.h"
#include "tidelock_core.h"

u32 tdl_caps(void)
{
	u32 caps = 0;

	if (IS_ENABLED(CONFIG_TLS)) {
		caps |= TDL_CAP_KTLS | TDL_CAP_KTLS_AES128GCM | TDL_CAP_KTLS_AES256GCM;
		if (TDL_HAVE_KTLS_CHACHA20)
			caps |= TDL_CAP_KTLS_CHACHA20;
		if (TDL_HAVE_KTLS_REKEY)
			caps |= TDL_CAP_KTLS_REKEY;
	}
	if (ipv6_mod_enabled())
		caps |= TDL_CAP_IPV6;
	if (IS_ENABLED(CONFIG_MPTCP))
		caps |= TDL_CAP_MPTCP;
	return caps;
}
