/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What one opener of the device says and is told: see session.c.
 */
#ifndef TIDELOCK_SESSION_H
#define TIDELOCK_SESSION_H

#include <linux/poll.h>
#include <linux/types.h>

struct tdl_session;

/* Whether somebody has the device open. */
bool tdl_session_is_open(void);
/* There is a question to be sent. */
void tdl_session_feed(void);

struct tdl_session *tdl_session_open(void);
void tdl_session_close(struct tdl_session *s);
ssize_t tdl_session_read(struct tdl_session *s, char __user *buf, size_t count, bool nonblock);
ssize_t tdl_session_write(struct tdl_session *s, const char __user *buf, size_t count,
			  bool nonblock);
__poll_t tdl_session_poll(struct tdl_session *s, struct file *file, poll_table *wait);

#endif /* TIDELOCK_SESSION_H */
