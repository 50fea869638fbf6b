// SPDX-License-Identifier: GPL-2.0-only
/*
 * The operations of a socket of ours: copies of the kernel's with some of them wrapped.
 *
 * Two tables for each family. The gate wraps whatever could move data or tell a state, and is in
 * place until a connection is decided. When it is, nothing is left to wrap but what can begin
 * another connection or end this one: data costs nothing then.
 *
 * Their owner is this module: a socket that has them keeps it.
 */
#include <linux/err.h>
#include <linux/ipv6.h>
#include <linux/module.h>
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
#include "ops.h"
#include "policy.h"

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

static bool tdl_ops_are_ours(const struct socket *sock)
{
	const struct proto_ops *ops = READ_ONCE(sock->ops);

	return ops >= &tdl_tables[0][0] && ops <= &tdl_tables[TDL_FAMILIES - 1][TDL_TABLES - 1];
}

void tdl_ops_adopt(struct socket *sock)
{
	WRITE_ONCE(sock->ops, &tdl_tables[tdl_family_of(sock)][TDL_GATE]);
}

/* From one of ours to another; not while kTLS has to see the kernel's. */
static void tdl_ops_set(struct tdl_conn *conn, int table)
{
	struct socket *sock = conn->sock;

	spin_lock_bh(&conn->lock);
	if (!conn->upper && tdl_ops_are_ours(sock))
		WRITE_ONCE(sock->ops, &tdl_tables[tdl_family_of(sock)][table]);
	spin_unlock_bh(&conn->lock);
}

void tdl_ops_gate(struct tdl_conn *conn)
{
	tdl_ops_set(conn, TDL_GATE);
}

void tdl_ops_settle(struct tdl_conn *conn)
{
	tdl_ops_set(conn, TDL_SETTLED);
}

static int tdl_ops_release(struct socket *sock)
{
	const struct proto_ops *inner = tdl_inner(sock);
	/* No sk: the new socket of an accept that failed. */
	struct tdl_conn *conn = sock->sk ? tdl_conn_remove(sock->sk) : NULL;

	if (conn) {
		tdl_conn_set(conn, TDL_CLOSED);
		tdl_connect_cancel(conn);
		tdl_accept_cancel(conn);
		tdl_conn_put(conn);
	}
	return inner->release(sock);
}

static int tdl_listen_conn(struct tdl_conn *conn, int backlog)
{
	struct socket *sock = conn->sock;
	enum tdl_state before = tdl_conn_state(conn);
	int ret;

	/* As while a SYN is under way. */
	if (before == TDL_WAITING || before == TDL_OPENING)
		return -EINVAL;
	/* Before: the first SYN may come at once. */
	if (READ_ONCE(sock->sk->sk_state) == TCP_CLOSE)
		tdl_conn_set(conn, TDL_LISTENING);
	ret = tdl_inner(sock)->listen(sock, backlog);
	if (ret)
		tdl_conn_set(conn, before);
	else
		tdl_ops_gate(conn);
	return ret;
}

static int tdl_listen(struct socket *sock, int backlog)
{
	struct tdl_conn *conn = tdl_conn_get(sock->sk);
	int ret;

	if (!conn)
		return tdl_inner(sock)->listen(sock, backlog);
	ret = tdl_listen_conn(conn, backlog);
	tdl_conn_put(conn);
	return ret;
}

static int tdl_shutdown(struct socket *sock, int how)
{
	struct tdl_conn *conn = tdl_conn_get(sock->sk);
	bool waited = false;
	int ret;

	/* As the kernel does with a SYN that is under way: it is taken back. */
	if (conn)
		waited = tdl_connect_cancel(conn);
	ret = tdl_inner(sock)->shutdown(sock, how);
	if (waited)
		ret = 0;
	if (!conn)
		return ret;
	if (sock->state == SS_UNCONNECTED && READ_ONCE(sock->sk->sk_state) == TCP_CLOSE) {
		tdl_connect_reset(conn);
		tdl_accept_cancel(conn);
	}
	tdl_conn_put(conn);
	return ret;
}

/*
 * kTLS copies a socket's operations once for all sockets, and gives this one others: it must see
 * the kernel's own. A connection that has others then is its own master: it is decided, and
 * leaves the table. Nothing else may be set over TCP, and nothing on what is not a connection.
 */
static int tdl_setsockopt_upper(struct tdl_conn *conn, int level, int name, sockptr_t value,
				unsigned int len)
{
	struct socket *sock = conn->sock;
	const struct proto_ops *inner = tdl_inner(sock);
	struct tdl_conn *removed = NULL;
	bool mine;
	int ret;

	spin_lock_bh(&conn->lock);
	mine = conn->state == TDL_DECIDED && !conn->upper && tdl_ops_are_ours(sock) &&
	       READ_ONCE(sock->sk->sk_state) == TCP_ESTABLISHED;
	if (mine) {
		conn->upper = true;
		WRITE_ONCE(sock->ops, inner);
	}
	spin_unlock_bh(&conn->lock);
	if (!mine)
		return -ENOTCONN;

	ret = inner->setsockopt(sock, level, name, value, len);

	spin_lock_bh(&conn->lock);
	conn->upper = false;
	if (READ_ONCE(sock->ops) == inner)
		WRITE_ONCE(sock->ops, &tdl_tables[tdl_family_of(sock)][TDL_SETTLED]);
	else
		removed = tdl_conn_remove(sock->sk);
	spin_unlock_bh(&conn->lock);
	if (removed) {
		/* The socket's, for its operations: the others' owner is another. */
		module_put(THIS_MODULE);
		tdl_conn_put(removed);
	}
	return ret;
}

/* The name is copied first: user space cannot change it, nor keep the operations waiting. */
static int tdl_setsockopt_ulp(struct tdl_conn *conn, sockptr_t value, unsigned int len)
{
	char ulp[16] = "";

	if (!len)
		return -EINVAL;
	if (copy_from_sockptr(ulp, value, min_t(unsigned int, len, sizeof(ulp) - 1)))
		return -EFAULT;
	if (strcmp(ulp, "tls"))
		return -ENOENT;
	return tdl_setsockopt_upper(conn, SOL_TCP, TCP_ULP, KERNEL_SOCKPTR(ulp), strlen(ulp));
}

static int tdl_setsockopt_conn(struct tdl_conn *conn, int level, int name, sockptr_t value,
			       unsigned int len)
{
	struct socket *sock = conn->sock;
	bool settled = READ_ONCE(sock->ops) == &tdl_tables[tdl_family_of(sock)][TDL_SETTLED];
	int ret;

	if (level == SOL_TCP && name == TCP_ULP)
		return tdl_setsockopt_ulp(conn, value, len);
	/* As where Fast Open is off: the SYN would come with the first write. */
	if (level == SOL_TCP && name == TCP_FASTOPEN_CONNECT && tdl_policy_mode() != TDL_OFF)
		return -EOPNOTSUPP;
	if (level == SOL_TLS)
		return tdl_setsockopt_upper(conn, level, name, value, len);
	ret = tdl_inner(sock)->setsockopt(sock, level, name, value, len);
	/* IPV6_ADDRFORM has made it a socket of IPv4, with the kernel's operations. */
	if (!ret && level == SOL_IPV6 && name == IPV6_ADDRFORM && tdl_ops_are_kernels(sock)) {
		tdl_ops_adopt(sock);
		if (settled)
			tdl_ops_settle(conn);
	}
	return ret;
}

static int tdl_setsockopt(struct socket *sock, int level, int name, sockptr_t value,
			  unsigned int len)
{
	struct tdl_conn *conn = tdl_conn_get(sock->sk);
	int ret;

	if (!conn)
		return tdl_inner(sock)->setsockopt(sock, level, name, value, len);
	ret = tdl_setsockopt_conn(conn, level, name, value, len);
	tdl_conn_put(conn);
	return ret;
}

static __poll_t tdl_poll_socket(struct file *file, struct socket *sock,
				struct poll_table_struct *wait)
{
	struct tdl_conn *conn = tdl_conn_get(sock->sk);
	__poll_t mask = 0;

	if (!conn)
		return tdl_inner(sock)->poll(file, sock, wait);
	if (tdl_connect_is_undecided(conn))
		/* As while a SYN is under way: nothing. Looked at again below. */
		sock_poll_wait(file, sock, wait);
	if (!tdl_connect_is_undecided(conn))
		mask = tdl_accept_poll(conn, tdl_inner(sock)->poll(file, sock, wait));
	tdl_conn_put(conn);
	return mask;
}

static int tdl_sendmsg(struct socket *sock, struct msghdr *msg, size_t size)
{
	bool nonblock = msg->msg_flags & MSG_DONTWAIT;
	int ret;

	if (msg->msg_flags & MSG_FASTOPEN && msg->msg_name) {
		/* Data in a SYN: as with a peer that does not take it, one after the other. */
		ret = tdl_connect_fast(sock, msg->msg_name, msg->msg_namelen,
				       nonblock ? O_NONBLOCK : 0);
		msg->msg_flags &= ~MSG_FASTOPEN;
	} else {
		ret = tdl_connect_await(sock, nonblock, sock_sndtimeo(sock->sk, nonblock));
	}
	return ret ? ret : tdl_inner(sock)->sendmsg(sock, msg, size);
}

static int tdl_recvmsg(struct socket *sock, struct msghdr *msg, size_t size, int flags)
{
	bool nonblock = flags & MSG_DONTWAIT;
	int ret = tdl_connect_await(sock, nonblock, sock_rcvtimeo(sock->sk, nonblock));

	return ret ? ret : tdl_inner(sock)->recvmsg(sock, msg, size, flags);
}

static ssize_t tdl_splice_read(struct socket *sock, loff_t *pos, struct pipe_inode_info *pipe,
			       size_t len, unsigned int flags)
{
	bool nonblock = sock->file && sock->file->f_flags & O_NONBLOCK;
	int ret = tdl_connect_await(sock, nonblock, sock_rcvtimeo(sock->sk, nonblock));

	return ret ? ret : tdl_inner(sock)->splice_read(sock, pos, pipe, len, flags);
}

#if TDL_HAVE_PROTO_OPS_SENDPAGE
static ssize_t tdl_sendpage(struct socket *sock, struct page *page, int offset, size_t size,
			    int flags)
{
	bool nonblock = flags & MSG_DONTWAIT;
	int ret = tdl_connect_await(sock, nonblock, sock_sndtimeo(sock->sk, nonblock));

	return ret ? ret : tdl_inner(sock)->sendpage(sock, page, offset, size, flags);
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
	settled->owner = THIS_MODULE;
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
