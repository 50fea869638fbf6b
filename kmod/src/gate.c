// SPDX-License-Identifier: GPL-2.0-only
/*
 * What could move data or tell a state, while a connection is not decided: the operations that
 * only the gate wraps. They wait as for a slow network.
 */
#include <linux/net.h>
#include <linux/poll.h>
#include <net/sock.h>

#include "accept.h"
#include "compat.h"
#include "conn.h"
#include "connect.h"
#include "gate.h"
#include "ops.h"
#include "pass.h"

static __poll_t tdl_gate_poll(struct file *file, struct socket *sock,
			      struct poll_table_struct *wait)
{
	int cookie = tdl_pass_enter();
	struct tdl_conn *conn = tdl_conn_get(sock->sk);
	bool undecided = conn && tdl_connect_is_undecided(conn);
	__poll_t mask = 0;

	if (undecided) {
		/* As while a SYN is under way: nothing. Looked at again when we are waited for. */
		sock_poll_wait(file, sock, wait);
		undecided = tdl_connect_is_undecided(conn);
	}
	if (!undecided)
		mask = tdl_inner(sock)->poll(file, sock, wait);
	if (conn) {
		mask = tdl_accept_poll(conn, mask);
		tdl_conn_put(conn);
	}
	tdl_pass_leave(cookie);
	return mask;
}

/* For what moves data: until a connect that waits for its verdict does so no more. */
static int tdl_gate_pass(struct tdl_pass *pass, struct socket *sock, bool nonblock, long timeout)
{
	int ret = tdl_pass_begin(pass, sock, !nonblock);

	if (!ret && pass->conn)
		ret = tdl_connect_await(pass->conn, nonblock, timeout);
	return ret;
}

/* Data in a SYN: as with a peer that does not take it, one after the other. */
static int tdl_gate_connect(struct tdl_pass *pass, struct socket *sock, struct msghdr *msg,
			    bool nonblock)
{
	struct sockaddr_storage *address = msg->msg_name;
	int flags = nonblock ? O_NONBLOCK : 0;

	if (msg->msg_namelen >= sizeof(sa_family_t) && address->ss_family == AF_UNSPEC)
		return -EOPNOTSUPP;
	msg->msg_flags &= ~MSG_FASTOPEN;
	if (pass->conn)
		return tdl_connect(pass->conn, msg->msg_name, msg->msg_namelen, flags);
	return tdl_inner(sock)->connect(sock, msg->msg_name, msg->msg_namelen, flags);
}

static int tdl_gate_sendmsg(struct socket *sock, struct msghdr *msg, size_t size)
{
	bool nonblock = msg->msg_flags & MSG_DONTWAIT;
	bool fast = msg->msg_flags & MSG_FASTOPEN && msg->msg_name;
	struct tdl_pass pass;
	int ret;

	ret = fast ? tdl_pass_begin(&pass, sock, !nonblock) :
		     tdl_gate_pass(&pass, sock, nonblock, sock_sndtimeo(sock->sk, nonblock));
	if (!ret && fast)
		ret = tdl_gate_connect(&pass, sock, msg, nonblock);
	if (!ret) {
		ret = tdl_inner(sock)->sendmsg(sock, msg, size);
		/* Once connected it must not call again: that would be another connect. */
		if (fast && ret == -ERESTARTSYS)
			ret = -EINTR;
	}
	tdl_pass_end(&pass);
	return ret;
}

static int tdl_gate_recvmsg(struct socket *sock, struct msghdr *msg, size_t size, int flags)
{
	bool nonblock = flags & MSG_DONTWAIT;
	struct tdl_pass pass;
	int ret = tdl_gate_pass(&pass, sock, nonblock, sock_rcvtimeo(sock->sk, nonblock));

	if (!ret)
		ret = tdl_inner(sock)->recvmsg(sock, msg, size, flags);
	tdl_pass_end(&pass);
	return ret;
}

static ssize_t tdl_gate_splice_read(struct socket *sock, loff_t *pos, struct pipe_inode_info *pipe,
				    size_t len, unsigned int flags)
{
	bool nonblock = sock->file && sock->file->f_flags & O_NONBLOCK;
	struct tdl_pass pass;
	ssize_t ret = tdl_gate_pass(&pass, sock, nonblock, sock_rcvtimeo(sock->sk, nonblock));

	if (!ret)
		ret = tdl_inner(sock)->splice_read(sock, pos, pipe, len, flags);
	tdl_pass_end(&pass);
	return ret;
}

#if TDL_HAVE_PROTO_OPS_SENDPAGE
static ssize_t tdl_gate_sendpage(struct socket *sock, struct page *page, int offset, size_t size,
				 int flags)
{
	bool nonblock = flags & MSG_DONTWAIT;
	struct tdl_pass pass;
	ssize_t ret = tdl_gate_pass(&pass, sock, nonblock, sock_sndtimeo(sock->sk, nonblock));

	if (!ret)
		ret = tdl_inner(sock)->sendpage(sock, page, offset, size, flags);
	tdl_pass_end(&pass);
	return ret;
}
#endif

void tdl_gate_derive(struct proto_ops *gate)
{
	gate->poll = tdl_gate_poll;
	gate->sendmsg = tdl_gate_sendmsg;
	gate->recvmsg = tdl_gate_recvmsg;
	gate->splice_read = tdl_gate_splice_read;
#if TDL_HAVE_PROTO_OPS_SENDPAGE
	gate->sendpage = tdl_gate_sendpage;
#endif
}
