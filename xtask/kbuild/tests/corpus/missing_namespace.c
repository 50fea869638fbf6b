// SPDX-License-Identifier: GPL-2.0-only
/* Exported in the namespace USB_STORAGE since Linux 5.4. */
#include <linux/module.h>
#include <linux/usb.h>

int usb_stor_reset_resume(struct usb_interface *interface);

static int __init corpus_init(void)
{
	return usb_stor_reset_resume(NULL);
}
module_init(corpus_init);

MODULE_DESCRIPTION("Does not import a namespace");
MODULE_LICENSE("GPL");
