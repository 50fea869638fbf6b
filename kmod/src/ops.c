// SPDX-License-Identifier: GPL-2.0-only
/*
 * The operations of a socket of ours: copies of the kernel's with some of them wrapped.
 *
 * Two tables for each family. The gate wraps whatever could move data or tell a state, and is in
 * place until a connection is decided. When it is, nothing is left to wrap but what can begin
 * another connection or end this one: data costs nothing then.
 *
 * Their owner is this module: a socket that has them keeps it. A socket can be given back to the
 * kernel with its reference (withdraw.c), also while a task is in one of its operations or about
 * to be: that task is sent to the edge of user space and calls again. Unloading waits for those
 * that are still on their way out.
 */
#include <linux/err.h>
#include <linux/ipv6.h>
#include <linux/module.h>
#include <linux/net.h>
#include <linux/tcp.h>
#include <linux/tls.h>
#include <net/inet_common.h>
#include <net/net_namespace.h>
#include <net/sock.h>

#include "accept.h"
#include "compat.h"
#include "conn.h"
#include "connect.h"
#include "gate.h"
#include "held.h"
#include "ops.h"
#include "pass.h"
#include "policy.h"
#include "recall.h"

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

void tdl_ops_adopt(struct socket *sock)
{
	WRITE_ONCE(sock->ops, &tdl_tables[tdl_family_of(sock)][TDL_GATE]);
}

/* From one of ours to another; not while kTLS has to see the kernel's. With conn->lock held. */
static void tdl_ops_set(struct tdl_conn *conn, int table)
{
	struct socket *sock = conn->sock;

	if (!conn->upper && tdl_ops_are_ours(sock))
		WRITE_ONCE(sock->ops, &tdl_tables[tdl_family_of(sock)][table]);
}

/* The kernel has given it operations of its own for another family. */
static void tdl_ops_again(struct tdl_conn *conn, int table)
{
	struct socket *sock = conn->sock;

	spin_lock_bh(&conn->lock);
	if (conn->state != TDL_CLOSED && tdl_ops_are_kernels(sock))
		WRITE_ONCE(sock->ops, &tdl_tables[tdl_family_of(sock)][table]);
	spin_unlock_bh(&conn->lock);
}

void tdl_ops_gate(struct tdl_conn *conn)
{
	spin_lock_bh(&conn->lock);
	tdl_ops_set(conn, TDL_GATE);
	spin_unlock_bh(&conn->lock);
}

/* With conn->lock held. */
void tdl_ops_settle_locked(struct tdl_conn *conn)
{
	tdl_ops_set(conn, TDL_SETTLED);
}

void tdl_ops_settle(struct tdl_conn *conn)
{
	spin_lock_bh(&conn->lock);
	tdl_ops_settle_locked(conn);
	spin_unlock_bh(&conn->lock);
}

/* The socket is the kernel's again. Not while something is under way. */
bool tdl_ops_give_back(struct tdl_conn *conn)
{
	struct socket *sock = conn->sock;
	bool given;

	spin_lock_bh(&conn->lock);
	given = !conn->upper && tdl_ops_are_ours(sock) && !tdl_connect_is_undecided(conn);
	if (given) {
		/* As the network's refusal leaves a socket: the next connect() tells of it. */
		if (conn->state == TDL_REFUSED)
			sock->state = SS_CONNECTING;
		WRITE_ONCE(sock->ops, tdl_inner(sock));
		conn->state = TDL_CLOSED;
		conn->given_back = true;
	}
	spin_unlock_bh(&conn->lock);
	return given;
}

/*
 * The same for a socket without an entry, which somebody in the midst of accept() has made.
 * Whether it was ours; its reference of the module is the caller's then.
 */
bool tdl_ops_give_back_bare(struct socket *sock)
{
	const struct proto_ops *ops = READ_ONCE(sock->ops);

	return tdl_ops_are_ours(sock) && cmpxchg(&sock->ops, ops, tdl_inner(sock)) == ops;
}

static int tdl_ops_release(struct socket *sock)
{
	const struct proto_ops *inner = tdl_inner(sock);
	int cookie = tdl_pass_enter();
	/* No sk: the new socket of an accept that failed. */
	struct tdl_conn *conn = sock->sk ? tdl_conn_get(sock->sk) : NULL;
	int ret;

	if (conn) {
		if (tdl_conn_take_out(conn)) {
			if (tdl_conn_close(conn)) {
				tdl_connect_cancel(conn);
				tdl_held_cancel(conn);
			}
			/* The table's. */
			tdl_conn_put(conn);
		}
		tdl_conn_put(conn);
	}
	ret = inner->release(sock);
	tdl_pass_leave(cookie);
	return ret;
}

static int tdl_ops_connect(struct socket *sock, struct tdl_sockaddr *address, int len, int flags)
{
	struct tdl_pass pass;
	int ret = tdl_pass_begin(&pass, sock, !(flags & O_NONBLOCK));

	/* Without an entry nothing is ever decided: the packet filter has the last word. */
	if (!ret && pass.conn)
		ret = tdl_connect(pass.conn, address, len, flags);
	else if (!ret)
		ret = tdl_inner(sock)->connect(sock, address, len, flags);
	tdl_pass_end(&pass);
	return ret;
}

static int tdl_listen_conn(struct tdl_conn *conn, int backlog)
{
	struct socket *sock = conn->sock;
	enum tdl_state before = tdl_conn_state(conn);
	struct tdl_caller caller;
	int ret;

	tdl_accept_begin(conn, &caller);
	/* Before: the first SYN may come at once. */
	if (READ_ONCE(sock->sk->sk_state) == TCP_CLOSE &&
	    !tdl_conn_set_at_rest(conn, TDL_LISTENING))
		/* As while a SYN is under way. */
		return -EINVAL;
	ret = tdl_inner(sock)->listen(sock, backlog);
	if (ret)
		tdl_conn_set_at_rest(conn, before);
	else
		tdl_ops_gate(conn);
	return ret;
}

static int tdl_listen(struct socket *sock, int backlog)
{
	struct tdl_pass pass;
	int ret = tdl_pass_begin(&pass, sock, false);

	if (!ret && pass.conn)
		ret = tdl_listen_conn(pass.conn, backlog);
	else if (!ret)
		ret = tdl_inner(sock)->listen(sock, backlog);
	tdl_pass_end(&pass);
	return ret;
}

static int tdl_shutdown_conn(struct tdl_conn *conn, int how)
{
	struct socket *sock = conn->sock;
	int ret;

	if (how >= SHUT_RD && how <= SHUT_RDWR && tdl_connect_shut(conn))
		return 0;
	ret = tdl_inner(sock)->shutdown(sock, how);
	if (sock->state == SS_UNCONNECTED && READ_ONCE(sock->sk->sk_state) == TCP_CLOSE) {
		tdl_connect_reset(conn);
		tdl_held_cancel(conn);
	}
	return ret;
}

static int tdl_shutdown(struct socket *sock, int how)
{
	struct tdl_pass pass;
	int ret = tdl_pass_begin(&pass, sock, false);

	if (!ret && pass.conn)
		ret = tdl_shutdown_conn(pass.conn, how);
	else if (!ret)
		ret = tdl_inner(sock)->shutdown(sock, how);
	tdl_pass_end(&pass);
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
	bool removed = false;
	bool mine, given;
	int ret;

	spin_lock_bh(&conn->lock);
	mine = conn->state == TDL_DECIDED && !conn->upper && tdl_ops_are_ours(sock) &&
	       READ_ONCE(sock->sk->sk_state) == TCP_ESTABLISHED;
	if (mine) {
		conn->upper = true;
		WRITE_ONCE(sock->ops, inner);
	}
	given = conn->state == TDL_CLOSED;
	spin_unlock_bh(&conn->lock);
	if (given)
		return tdl_recall_self();
	if (!mine)
		return -ENOTCONN;
	/*
	 * The work that has sent its SYN may yet look at the socket, whose release will not wait
	 * for it. There is no other while it is connected.
	 */
	if (READ_ONCE(conn->worked))
		flush_delayed_work(&conn->work);

	ret = inner->setsockopt(sock, level, name, value, len);

	spin_lock_bh(&conn->lock);
	conn->upper = false;
	if (READ_ONCE(sock->ops) == inner)
		WRITE_ONCE(sock->ops, &tdl_tables[tdl_family_of(sock)][TDL_SETTLED]);
	else
		removed = tdl_conn_take_out(conn);
	/* The others' owner is another: our reference goes when nobody is inside any more. */
	if (removed)
		conn->given_back = true;
	spin_unlock_bh(&conn->lock);
	/* The table's; the caller has his own. */
	if (removed)
		tdl_conn_put(conn);
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
	/* It has made it a socket of IPv4, with the kernel's operations. */
	if (!ret && level == SOL_IPV6 && name == IPV6_ADDRFORM)
		tdl_ops_again(conn, settled ? TDL_SETTLED : TDL_GATE);
	return ret;
}

static int tdl_setsockopt(struct socket *sock, int level, int name, sockptr_t value,
			  unsigned int len)
{
	struct tdl_pass pass;
	int ret = tdl_pass_begin(&pass, sock, true);

	if (!ret && pass.conn)
		ret = tdl_setsockopt_conn(pass.conn, level, name, value, len);
	else if (!ret)
		ret = tdl_inner(sock)->setsockopt(sock, level, name, value, len);
	tdl_pass_end(&pass);
	return ret;
}

static int tdl_ops_accept(struct socket *sock, struct socket *child, TDL_ACCEPT_PARAMETERS)
{
	struct tdl_pass pass;
	int ret = tdl_pass_begin(&pass, sock, !(TDL_ACCEPT_FLAGS & O_NONBLOCK));

	/*
	 * A service in the kernel accepts for itself (its socket gets our operations afterwards,
	 * which find no entry). Without an entry of the listener nobody is asked: its SYN-ACKs
	 * are dropped where something is in force.
	 */
	if (!ret && pass.conn && TDL_ACCEPT_KERN)
		WRITE_ONCE(pass.conn->kernels, true);
	if (!ret && pass.conn && !TDL_ACCEPT_KERN)
		ret = tdl_accept(pass.conn, child, TDL_ACCEPT_FLAGS);
	else if (!ret)
		ret = tdl_inner_accept(tdl_inner(sock), sock, child, TDL_ACCEPT_FLAGS,
				       TDL_ACCEPT_KERN);
	tdl_pass_end(&pass);
	return ret;
}

static void tdl_ops_derive(int family)
{
	struct proto_ops *gate = &tdl_tables[family][TDL_GATE];
	struct proto_ops *settled = &tdl_tables[family][TDL_SETTLED];

	*settled = *tdl_inners[family];
	settled->owner = THIS_MODULE;
	settled->release = tdl_ops_release;
	settled->connect = tdl_ops_connect;
	settled->listen = tdl_listen;
	settled->accept = tdl_ops_accept;
	settled->shutdown = tdl_shutdown;
	settled->setsockopt = tdl_setsockopt;

	*gate = *settled;
	tdl_gate_derive(gate);
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
