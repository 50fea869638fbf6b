// SPDX-License-Identifier: GPL-2.0-only
/*
 * connect(2): decided first, then done.
 *
 * Who may wait, waits for the verdict and then for the peer. Who may not is told EINPROGRESS and
 * the verdict's work does the rest; meanwhile the socket looks as while a SYN is under way.
 * A refusal is ECONNREFUSED, as from the network.
 *
 * No call of the kernel's own blocks below a function of ours: it is made without waiting, and
 * the wait is here, where unloading can end it.
 */
#include <linux/sched/signal.h>
#include <linux/string.h>
#include <linux/wait.h>
#include <net/sock.h>
#include <net/tcp_states.h>

#include "address.h"
#include "conn.h"
#include "connect.h"
#include "hook.h"
#include "ops.h"
#include "trace.h"

static void tdl_connect_wake(struct sock *sk)
{
	struct socket_wq *wq;

	rcu_read_lock();
	wq = rcu_dereference(sk->sk_wq);
	if (wq)
		wake_up_interruptible_all(&wq->wait);
	rcu_read_unlock();
}

/* The verdict is in: from now on the socket may open what it says, and nothing else. */
static void tdl_connect_decided(struct tdl_conn *conn, const struct tdl_case *c)
{
	spin_lock_bh(&conn->lock);
	if (conn->state != TDL_CLOSED) {
		conn->c = *c;
		conn->c.ask = NULL;
		conn->state = TDL_DECIDED;
		conn->opening = true;
	}
	spin_unlock_bh(&conn->lock);
	tdl_ops_settle(conn->sock);
}

/* Nothing is decided any more. */
void tdl_connect_reset(struct tdl_conn *conn)
{
	tdl_conn_set(conn, TDL_IDLE);
	if (tdl_ops_are_ours(conn->sock))
		tdl_ops_gate(conn->sock);
}

static bool tdl_connect_is_under_way(const struct sock *sk)
{
	return (1 << READ_ONCE(sk->sk_state)) & (TCPF_SYN_SENT | TCPF_SYN_RECV);
}

/* As inet_stream_connect(), whose wait this is, but for unloading. */
static int tdl_connect_wait(struct socket *sock, const struct proto_ops *inner,
			    struct tdl_sockaddr *address, int len, int flags)
{
	struct sock *sk = sock->sk;
	long timeout = sock_sndtimeo(sk, flags & O_NONBLOCK);
	int ret = inner->connect(sock, address, len, flags | O_NONBLOCK);
	long left;

	if ((ret != -EINPROGRESS && ret != -EALREADY) || !timeout)
		return ret;
	left = wait_event_interruptible_timeout(*sk_sleep(sk),
						!tdl_connect_is_under_way(sk) || tdl_leaving(),
						timeout);
	if (left < 0)
		return sock_intr_errno(timeout);
	if (!left)
		return ret;
	if (tdl_connect_is_under_way(sk))
		return tdl_restart();
	return inner->connect(sock, address, len, flags | O_NONBLOCK);
}

static int tdl_connect_go(struct tdl_conn *conn, const struct tdl_case *c,
			  struct tdl_sockaddr *address, int len, int flags)
{
	struct socket *sock = conn->sock;
	int ret;

	if (!tdl_decide_allows(&c->verdict))
		return -ECONNREFUSED;
	tdl_connect_decided(conn, c);
	ret = tdl_connect_wait(sock, tdl_inner(sock), address, len, flags);
	if (ret && sock->state == SS_UNCONNECTED)
		tdl_connect_reset(conn);
	return ret;
}

/* The application is told by readiness: the question and the address wait in conn. */
static int tdl_connect_later(struct tdl_conn *conn, const struct tdl_case *c,
			     const void *address, int len)
{
	spin_lock_bh(&conn->lock);
	conn->c = *c;
	conn->state = TDL_WAITING;
	conn->address_len = min_t(int, len, sizeof(conn->address));
	memcpy(&conn->address, address, conn->address_len);
	spin_unlock_bh(&conn->lock);
	tdl_ask_watch(c->ask, &conn->watch);
	return -EINPROGRESS;
}

/* As after a connect that the network has refused: what a second call is told. */
static int tdl_connect_told(struct tdl_conn *conn)
{
	struct sock *sk = conn->sk;
	int ret;

	lock_sock(sk);
	ret = sock_error(sk);
	sk->sk_prot->disconnect(sk, O_NONBLOCK);
	release_sock(sk);
	tdl_connect_reset(conn);
	return ret ? ret : -ECONNABORTED;
}

static int tdl_connect_anew(struct tdl_conn *conn, struct tdl_sockaddr *address, int len, int flags)
{
	struct tdl_case c = { .direction = TDL_CONNECT };
	struct sock *sk = conn->sk;
	long timeout = sock_sndtimeo(sk, flags & O_NONBLOCK);
	long left;

	/* The kernel says what is wrong with it. Nothing is decided, so nothing would leave. */
	if (!tdl_address_given(&c.remote, sk, (struct sockaddr_storage *)address, len))
		return tdl_connect_wait(conn->sock, tdl_inner(conn->sock), address, len, flags);
	tdl_address_local(&c.local, sk);
	if (!tdl_decide(sk, &c)) {
		if (!timeout)
			return tdl_connect_later(conn, &c, address, len);
		left = wait_for_completion_interruptible_timeout(&c.ask->done, timeout);
		if (!left)
			return tdl_connect_later(conn, &c, address, len);
		if (left < 0) {
			tdl_ask_put(c.ask);
			return sock_intr_errno(timeout);
		}
		tdl_decide_answer(&c);
	}
	trace_tidelock_verdict(conn->id, &c);
	return tdl_connect_go(conn, &c, address, len, flags);
}

/* Until a connect that waits for its verdict does so no more. */
static int tdl_connect_await_conn(struct tdl_conn *conn, bool nonblock, long timeout)
{
	long left;

	if (tdl_conn_state(conn) != TDL_WAITING)
		return 0;
	if (nonblock)
		return -EAGAIN;
	left = wait_event_interruptible_timeout(*sk_sleep(conn->sk),
						tdl_conn_state(conn) != TDL_WAITING ||
						tdl_leaving(), timeout);
	if (left < 0)
		return sock_intr_errno(timeout);
	if (!left)
		return -EAGAIN;
	/* Not from here, where it would sleep in the kernel's own call: from the start. */
	return tdl_restart();
}

int tdl_connect_await(struct socket *sock, bool nonblock, long timeout)
{
	struct tdl_conn *conn = tdl_conn_get(sock->sk);
	int ret;

	if (!conn)
		return 0;
	ret = tdl_connect_await_conn(conn, nonblock, timeout);
	tdl_conn_put(conn);
	return ret;
}

static int tdl_connect_conn(struct tdl_conn *conn, struct tdl_sockaddr *address, int len, int flags)
{
	struct socket *sock = conn->sock;
	const struct proto_ops *inner = tdl_inner(sock);
	int ret;

	if (len >= sizeof(sa_family_t) &&
	    ((struct sockaddr_storage *)address)->ss_family == AF_UNSPEC) {
		tdl_connect_cancel(conn);
		ret = inner->connect(sock, address, len, flags);
		tdl_connect_reset(conn);
		return ret;
	}
	switch (tdl_conn_state(conn)) {
	case TDL_WAITING:
		ret = tdl_connect_await_conn(conn, flags & O_NONBLOCK,
					     sock_sndtimeo(conn->sk, flags & O_NONBLOCK));
		return ret == -EAGAIN ? -EALREADY : ret;
	case TDL_REFUSED:
		return tdl_connect_told(conn);
	default:
		break;
	}
	if (sock->state != SS_UNCONNECTED)
		return tdl_connect_wait(sock, inner, address, len, flags);
	return tdl_connect_anew(conn, address, len, flags);
}

int tdl_connect_here(struct socket *sock, void *address, int len, int flags)
{
	struct tdl_conn *conn = tdl_conn_get(sock->sk);
	int ret;

	/* Not ours any more: unloading. */
	if (!conn)
		return tdl_inner(sock)->connect(sock, address, len, flags);
	ret = tdl_connect_conn(conn, address, len, flags);
	tdl_conn_put(conn);
	return ret;
}

int tdl_connect(struct socket *sock, struct tdl_sockaddr *address, int len, int flags)
{
	int cookie = tdl_enter();
	int ret = tdl_connect_here(sock, address, len, flags);

	tdl_leave(cookie);
	return ret;
}

/* What the network's refusal does to a socket whose SYN was under way. */
static void tdl_connect_fail(struct tdl_conn *conn, int error)
{
	struct sock *sk = conn->sk;

	lock_sock(sk);
	WRITE_ONCE(sk->sk_err, error);
	WRITE_ONCE(sk->sk_shutdown, SHUTDOWN_MASK);
	release_sock(sk);
	tdl_conn_set(conn, TDL_REFUSED);
	if (tdl_ops_are_ours(conn->sock))
		tdl_ops_gate(conn->sock);
	tdl_sk_error_report(sk);
}

/* In a worker: the verdict that a connect waits for is in. Releasing the socket waits for it. */
static void tdl_connect_work(struct work_struct *work)
{
	struct tdl_conn *conn = container_of(work, struct tdl_conn, work);
	struct socket *sock = conn->sock;
	struct tdl_case c;
	int ret;

	spin_lock_bh(&conn->lock);
	if (conn->state != TDL_WAITING) {
		spin_unlock_bh(&conn->lock);
		return;
	}
	c = conn->c;
	conn->c.ask = NULL;
	spin_unlock_bh(&conn->lock);

	tdl_decide_answer(&c);
	trace_tidelock_verdict(conn->id, &c);
	if (!tdl_decide_allows(&c.verdict)) {
		tdl_connect_fail(conn, ECONNREFUSED);
	} else {
		tdl_connect_decided(conn, &c);
		ret = tdl_inner(sock)->connect(sock, (struct tdl_sockaddr *)&conn->address,
					       conn->address_len, O_NONBLOCK);
		if (ret && ret != -EINPROGRESS)
			tdl_connect_fail(conn, -ret);
	}
	tdl_connect_wake(conn->sk);
}

void tdl_connect_prepare(struct tdl_conn *conn)
{
	INIT_WORK(&conn->work, tdl_connect_work);
	conn->watch.wq = tdl_sockets_wq;
	conn->watch.work = &conn->work;
}

/* A connect that waits for its verdict is taken back. Sleeps until its work is over. */
bool tdl_connect_cancel(struct tdl_conn *conn)
{
	struct tdl_ask *ask = NULL;
	bool waited;

	spin_lock_bh(&conn->lock);
	waited = conn->state == TDL_WAITING;
	if (waited)
		conn->state = TDL_IDLE;
	swap(ask, conn->c.ask);
	spin_unlock_bh(&conn->lock);
	tdl_ask_unwatch(&conn->watch);
	cancel_work_sync(&conn->work);
	if (ask)
		tdl_ask_put(ask);
	if (waited)
		tdl_connect_wake(conn->sk);
	return waited;
}
