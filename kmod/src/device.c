// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/tidelock: for root, and for one opener at a time. read(2) returns and write(2) takes
 * one whole frame.
 */
#include <linux/atomic.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>

#include "device.h"
#include "session.h"
#include "stats.h"

/* The bit is held from open to release. */
#define TDL_DEVICE_OPEN 0
static unsigned long tdl_device_flags;

static bool tdl_nonblock(const struct file *file)
{
	return file->f_flags & O_NONBLOCK;
}

static int tdl_open(struct inode *inode, struct file *file)
{
	struct tdl_session *s;

	if (test_and_set_bit_lock(TDL_DEVICE_OPEN, &tdl_device_flags))
		return -EBUSY;
	s = tdl_session_open();
	if (IS_ERR(s)) {
		clear_bit_unlock(TDL_DEVICE_OPEN, &tdl_device_flags);
		return PTR_ERR(s);
	}
	file->private_data = s;
	/* No position: no seeking, no pread(2), no lock around it. */
	return stream_open(inode, file);
}

static int tdl_release(struct inode *inode, struct file *file)
{
	tdl_session_close(file->private_data);
	/* Last: the next opener finds the engine idle. */
	clear_bit_unlock(TDL_DEVICE_OPEN, &tdl_device_flags);
	return 0;
}

static ssize_t tdl_read(struct file *file, char __user *buf, size_t count, loff_t *pos)
{
	return tdl_session_read(file->private_data, buf, count, tdl_nonblock(file));
}

static ssize_t tdl_write(struct file *file, const char __user *buf, size_t count, loff_t *pos)
{
	return tdl_session_write(file->private_data, buf, count, tdl_nonblock(file));
}

static __poll_t tdl_poll(struct file *file, poll_table *wait)
{
	return tdl_session_poll(file->private_data, file, wait);
}

/* The owner keeps the module while the device is open: rmmod fails with EAGAIN then. */
static const struct file_operations tdl_fops = {
	.owner = THIS_MODULE,
	.open = tdl_open,
	.release = tdl_release,
	.read = tdl_read,
	.write = tdl_write,
	.poll = tdl_poll,
};

static struct miscdevice tdl_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "tidelock",
	.fops = &tdl_fops,
	.groups = tdl_stats_groups,
	.mode = 0600,
};

int tdl_device_init(void)
{
	return misc_register(&tdl_device);
}

/* When it returns nobody is inside: files keep the module, attributes are drained here. */
void tdl_device_exit(void)
{
	misc_deregister(&tdl_device);
}
