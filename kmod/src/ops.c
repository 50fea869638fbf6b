// SPDX-License-Identifier: GPL-2.0-only
/*
 * The operations of a socket of ours: copies of the kernel's with some of them wrapped.
 *
 * Two tables for each family. The gate wraps whatever could move data or tell a state, and is in
 * place until a connection is decided. When it is, nothing is left to wrap but what can begin
 * another connection or end this one: data costs nothing then.
 *
 * Their owner is the kernel's own, so that sockets do not keep this module: unloading gives each
 * socket its own operations back instead (hook.c).
 */
#include <linux/err.h>
#include <linux/ipv6.h>
#include <linux/net.h>
#include <linux/poll.h>
#include <linux/tcp.h>
#include <linux/tls.h>
#include <net/inet_common.h>
#include <net/net_namespace.h>
#include <net/sock.h>

#include "accept.h"
#include "compat.h"
#include "conn.h"
#include "connect.h"
#include "hook.h"
#include "ops.h"

enum { TDL_V4, TDL_V6, TDL_FAMILIES };
enum { TDL_GATE, TDL_SETTLED, TDL_TABLES };

static const struct proto_ops *tdl_inners[TDL_FAMILIES];
static struct proto_ops tdl_tables[TDL_FAMILIES][TDL_TABLES];

static int tdl_family_of(const struct socket *sock)
{
	return READ_ONCE(sock->ops)->family == PF_INET6 ? TDL_V6 : TDL_V4;
}

const struct proto_ops *tdl_inner(const struct socket *sock)
{
	return tdl_inners[tdl_family_of(sock)];
}

/* NULL where there is no IPv6. */
const struct proto_ops *tdl_ops_kernels_v6(void)
{
	return tdl_inners[TDL_V6];
}

bool tdl_ops_are_kernels(const struct socket *sock)
{
	const struct proto_ops *ops = READ_ONCE(sock->ops);

	return ops && (ops == tdl_inners[TDL_V4] || ops == tdl_inners[TDL_V6]);
}

bool tdl_ops_are_ours(const struct socket *sock)
{
	const struct proto_ops *ops = READ_ONCE(sock->ops);

	return ops >= &tdl_tables[0][0] && ops <= &tdl_tables[TDL_FAMILIES - 1][TDL_TABLES - 1];
}

void tdl_ops_gate(struct socket *sock)
{
	WRITE_ONCE(sock->ops, &tdl_tables[tdl_family_of(sock)][TDL_GATE]);
}

void tdl_ops_settle(struct socket *sock)
{
	WRITE_ONCE(sock->ops, &tdl_tables[tdl_family_of(sock)][TDL_SETTLED]);
}

void tdl_ops_restore(struct socket *sock)
{
	WRITE_ONCE(sock->ops, tdl_inner(sock));
}

static int tdl_ops_release(struct socket *sock)
{
	const struct proto_ops *inner = tdl_inner(sock);
	int cookie = tdl_enter();
	struct tdl_conn *conn;
	int ret;

	/* No sk: the new socket of an accept that failed. */
	conn = sock->sk ? tdl_conn_remove(sock->sk) : NULL;
	if (conn) {
		tdl_conn_set(conn, TDL_CLOSED);
		tdl_connect_cancel(conn);
		tdl_accept_cancel(conn);
		tdl_conn_put(conn);
	} else {
		/* Unloading may have taken it out and be about to look at the socket. */
		tdl_hook_sync();
	}
	ret = inner->release(sock);
	tdl_leave(cookie);
	return ret;
}

static int tdl_listen(struct socket *sock, int backlog)
{
	int cookie = tdl_enter();
	struct tdl_conn *conn = tdl_conn_get(sock->sk);
	int ret;

	/* Before: the first SYN may come at once. A connected socket is not lost by it. */
	if (conn && tdl_conn_state(conn) == TDL_IDLE)
		tdl_conn_set(conn, TDL_LISTENING);
	ret = tdl_inner(sock)->listen(sock, backlog);
	if (conn) {
		if (ret && tdl_conn_state(conn) == TDL_LISTENING &&
		    sock->sk->sk_state != TCP_LISTEN)
			tdl_conn_set(conn, TDL_IDLE);
		tdl_conn_put(conn);
	}
	tdl_leave(cookie);
	return ret;
}

static int tdl_shutdown(struct socket *sock, int how)
{
	int cookie = tdl_enter();
	struct tdl_conn *conn = tdl_conn_get(sock->sk);
	bool waited = false;
	int ret;

	/* As the kernel does with a SYN that is under way: it is taken back. */
	if (conn)
		waited = tdl_connect_cancel(conn);
	ret = tdl_inner(sock)->shutdown(sock, how);
	if (waited)
		ret = 0;
	if (conn) {
		if (sock->state == SS_UNCONNECTED && sock->sk->sk_state != TCP_LISTEN)
			tdl_connect_reset(conn);
		tdl_conn_put(conn);
	}
	tdl_leave(cookie);
	return ret;
}

/*
 * kTLS copies a socket's operations once for all sockets, and gives this one others: it must see
 * the kernel's own. A connection that has others then is its own master: it is decided, and
 * leaves the table.
 */
static int tdl_setsockopt_upper(struct socket *sock, const struct proto_ops *inner, int level,
				int name, sockptr_t value, unsigned int len)
{
	bool settled = READ_ONCE(sock->ops) == &tdl_tables[tdl_family_of(sock)][TDL_SETTLED];
	struct tdl_conn *conn = tdl_conn_remove(sock->sk);
	int ret;

	if (!conn)
		return inner->setsockopt(sock, level, name, value, len);
	WRITE_ONCE(sock->ops, inner);
	ret = inner->setsockopt(sock, level, name, value, len);
	if (READ_ONCE(sock->ops) != inner || !tdl_conn_restore(conn)) {
		tdl_connect_cancel(conn);
		tdl_accept_cancel(conn);
		tdl_conn_put(conn);
	} else if (settled) {
		tdl_ops_settle(sock);
	} else {
		tdl_ops_gate(sock);
	}
	return ret;
}

static int tdl_setsockopt(struct socket *sock, int level, int name, sockptr_t value,
			  unsigned int len)
{
	const struct proto_ops *inner = tdl_inner(sock);
	int cookie = tdl_enter();
	bool settled;
	int ret;

	if (level == SOL_TLS || (level == SOL_TCP && name == TCP_ULP)) {
		ret = tdl_setsockopt_upper(sock, inner, level, name, value, len);
		goto out;
	}
	settled = READ_ONCE(sock->ops) == &tdl_tables[tdl_family_of(sock)][TDL_SETTLED];
	ret = inner->setsockopt(sock, level, name, value, len);
	/* IPV6_ADDRFORM has made it a socket of IPv4, with the kernel's operations. */
	if (!ret && level == SOL_IPV6 && name == IPV6_ADDRFORM && tdl_ops_are_kernels(sock) &&
	    !tdl_leaving()) {
		if (settled)
			tdl_ops_settle(sock);
		else
			tdl_ops_gate(sock);
	}
out:
	tdl_leave(cookie);
	return ret;
}

static __poll_t tdl_poll_socket(struct file *file, struct socket *sock,
				struct poll_table_struct *wait)
{
	int cookie = tdl_enter();
	struct tdl_conn *conn = tdl_conn_get(sock->sk);
	__poll_t mask = 0;

	if (conn && tdl_conn_state(conn) == TDL_WAITING) {
		/* As while a SYN is under way: nothing. */
		sock_poll_wait(file, sock, wait);
		if (tdl_conn_state(conn) == TDL_WAITING)
			goto out;
	}
	mask = tdl_inner(sock)->poll(file, sock, wait);
	if (conn && tdl_accept_is_ready(conn))
		mask |= EPOLLIN | EPOLLRDNORM;
out:
	if (conn)
		tdl_conn_put(conn);
	tdl_leave(cookie);
	return mask;
}

static int tdl_sendmsg(struct socket *sock, struct msghdr *msg, size_t size)
{
	int cookie = tdl_enter();
	bool nonblock = msg->msg_flags & MSG_DONTWAIT;
	int ret;

	if (msg->msg_flags & MSG_FASTOPEN && msg->msg_name) {
		/* Data in a SYN: as with a peer that does not take it, one after the other. */
		ret = tdl_connect_here(sock, msg->msg_name, msg->msg_namelen,
				       nonblock ? O_NONBLOCK : 0);
		msg->msg_flags &= ~MSG_FASTOPEN;
	} else {
		ret = tdl_connect_await(sock, nonblock, sock_sndtimeo(sock->sk, nonblock));
	}
	if (!ret)
		ret = tdl_inner(sock)->sendmsg(sock, msg, size);
	tdl_leave(cookie);
	return ret;
}

static int tdl_recvmsg(struct socket *sock, struct msghdr *msg, size_t size, int flags)
{
	int cookie = tdl_enter();
	bool nonblock = flags & MSG_DONTWAIT;
	int ret = tdl_connect_await(sock, nonblock, sock_rcvtimeo(sock->sk, nonblock));

	if (!ret)
		ret = tdl_inner(sock)->recvmsg(sock, msg, size, flags);
	tdl_leave(cookie);
	return ret;
}

static ssize_t tdl_splice_read(struct socket *sock, loff_t *pos, struct pipe_inode_info *pipe,
			       size_t len, unsigned int flags)
{
	int cookie = tdl_enter();
	bool nonblock = sock->file && sock->file->f_flags & O_NONBLOCK;
	ssize_t ret = tdl_connect_await(sock, nonblock, sock_rcvtimeo(sock->sk, nonblock));

	if (!ret)
		ret = tdl_inner(sock)->splice_read(sock, pos, pipe, len, flags);
	tdl_leave(cookie);
	return ret;
}

#if TDL_HAVE_PROTO_OPS_SENDPAGE
static ssize_t tdl_sendpage(struct socket *sock, struct page *page, int offset, size_t size,
			    int flags)
{
	int cookie = tdl_enter();
	bool nonblock = flags & MSG_DONTWAIT;
	ssize_t ret = tdl_connect_await(sock, nonblock, sock_sndtimeo(sock->sk, nonblock));

	if (!ret)
		ret = tdl_inner(sock)->sendpage(sock, page, offset, size, flags);
	tdl_leave(cookie);
	return ret;
}
#endif

static int tdl_ops_accept(struct socket *sock, struct socket *child, TDL_ACCEPT_PARAMETERS)
{
	return tdl_accept(sock, child, TDL_ACCEPT_FLAGS, TDL_ACCEPT_KERN);
}

static void tdl_ops_derive(int family)
{
	struct proto_ops *gate = &tdl_tables[family][TDL_GATE];
	struct proto_ops *settled = &tdl_tables[family][TDL_SETTLED];

	*settled = *tdl_inners[family];
	settled->release = tdl_ops_release;
	settled->connect = tdl_connect;
	settled->listen = tdl_listen;
	settled->accept = tdl_ops_accept;
	settled->shutdown = tdl_shutdown;
	settled->setsockopt = tdl_setsockopt;

	*gate = *settled;
	gate->poll = tdl_poll_socket;
	gate->sendmsg = tdl_sendmsg;
	gate->recvmsg = tdl_recvmsg;
	gate->splice_read = tdl_splice_read;
#if TDL_HAVE_PROTO_OPS_SENDPAGE
	gate->sendpage = tdl_sendpage;
#endif
}

/* The kernel's table for a family: not exported by all kernels, but every socket has it. */
static int tdl_ops_capture(int family, int domain)
{
	struct socket *sock;
	int ret;

	ret = sock_create_kern(&init_net, domain, SOCK_STREAM, IPPROTO_TCP, &sock);
	if (ret)
		return ret;
	tdl_inners[family] = sock->ops;
	sock_release(sock);
	tdl_ops_derive(family);
	return 0;
}

/* Before anybody can have such a table. */
int tdl_ops_init(void)
{
	int ret = tdl_ops_capture(TDL_V4, PF_INET);

	if (!ret && ipv6_mod_enabled())
		ret = tdl_ops_capture(TDL_V6, PF_INET6);
	return ret;
}
