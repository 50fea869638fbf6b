// SPDX-License-Identifier: GPL-2.0-only
/*
 * connect(2): decided first, then done.
 *
 * Who may wait, waits for the verdict and then for the peer. Who may not is told EINPROGRESS and
 * the verdict's work does the rest; meanwhile the socket looks as while a SYN is under way.
 * A refusal is ECONNREFUSED, as from the network.
 */
#include <linux/sched/signal.h>
#include <linux/string.h>
#include <linux/wait.h>
#include <net/sock.h>
#include <net/tcp_states.h>

#include "address.h"
#include "conn.h"
#include "connect.h"
#include "held.h"
#include "hook.h"
#include "ops.h"
#include "recall.h"

static void tdl_connect_wake(struct sock *sk)
{
	struct socket_wq *wq;

	rcu_read_lock();
	wq = rcu_dereference(sk->sk_wq);
	if (wq)
		wake_up_interruptible_all(&wq->wait);
	rcu_read_unlock();
}

/* Whether a connect waits for its verdict, or for a worker to send the SYN. */
bool tdl_connect_is_undecided(struct tdl_conn *conn)
{
	enum tdl_state state = tdl_conn_state(conn);

	return state == TDL_WAITING || state == TDL_OPENING || state == TDL_CANCELLING;
}

/* Nothing is decided any more; unless another thread has begun something meanwhile. */
void tdl_connect_reset(struct tdl_conn *conn)
{
	if (tdl_conn_set_at_rest(conn, TDL_IDLE))
		tdl_ops_gate(conn);
}

/* With conn->lock held: nobody waits for a verdict here, or is about to send a SYN. */
static bool tdl_connect_may_begin(const struct tdl_conn *conn)
{
	return conn->state == TDL_IDLE || (conn->state == TDL_DECIDED && !conn->opener);
}

/*
 * The verdict is in: this task may open what it says now, and nothing else. From the states that
 * the caller may find; false when another thread has begun something meanwhile.
 */
static bool tdl_connect_decided(struct tdl_conn *conn, const struct tdl_case *c,
				enum tdl_state state)
{
	bool mine;

	spin_lock_bh(&conn->lock);
	/* A worker is in its own state; who calls comes from rest. */
	if (state == TDL_OPENING)
		mine = conn->state == TDL_OPENING;
	else
		mine = tdl_connect_may_begin(conn);
	if (mine) {
		conn->c = *c;
		conn->c.ask = NULL;
		conn->state = state;
		conn->opener = current;
		memset(&conn->opened, 0, sizeof(conn->opened));
		if (state == TDL_DECIDED)
			tdl_ops_settle_locked(conn);
	}
	spin_unlock_bh(&conn->lock);
	return mine;
}

/* It has been sent or never will be. */
static void tdl_connect_opened(struct tdl_conn *conn)
{
	spin_lock_bh(&conn->lock);
	if (conn->opener == current)
		conn->opener = NULL;
	spin_unlock_bh(&conn->lock);
}

/* The kernel's connect; when it has failed nothing is decided any more. */
static int tdl_connect_inner(struct tdl_conn *conn, struct tdl_sockaddr *address, int len,
			     int flags)
{
	struct socket *sock = conn->sock;
	int ret = tdl_inner(sock)->connect(sock, address, len, flags);

	if (ret && sock->state == SS_UNCONNECTED && READ_ONCE(sock->sk->sk_state) == TCP_CLOSE)
		tdl_connect_reset(conn);
	return ret;
}

static int tdl_connect_go(struct tdl_conn *conn, struct tdl_case *c,
			  struct tdl_sockaddr *address, int len, int flags)
{
	int ret;

	if (!tdl_decide_allows(c))
		return -ECONNREFUSED;
	if (!tdl_connect_decided(conn, c, TDL_DECIDED))
		return tdl_conn_state(conn) == TDL_CLOSED ? tdl_recall_self() : -EALREADY;
	ret = tdl_connect_inner(conn, address, len, flags);
	tdl_connect_opened(conn);
	return ret;
}

/* The application is told by readiness: the question and the address wait in conn. */
static int tdl_connect_later(struct tdl_conn *conn, const struct tdl_case *c,
			     const void *address, int len)
{
	bool first;

	spin_lock_bh(&conn->lock);
	/* Another thread may have been first. */
	first = tdl_connect_may_begin(conn) && READ_ONCE(conn->sk->sk_state) == TCP_CLOSE;
	if (first) {
		conn->c = *c;
		conn->state = TDL_WAITING;
		conn->address_len = min_t(int, len, sizeof(conn->address));
		memcpy(&conn->address, address, conn->address_len);
		/* The watch's, which goes to the work. */
		refcount_inc(&conn->refs);
		conn->worked = true;
		tdl_ask_watch(c->ask, &conn->watch);
	}
	spin_unlock_bh(&conn->lock);
	if (first) {
		tdl_ops_gate(conn);
		return -EINPROGRESS;
	}
	tdl_ask_put(c->ask);
	return tdl_conn_state(conn) == TDL_CLOSED ? tdl_recall_self() : -EALREADY;
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
	struct tdl_case c = { .id = conn->id, .direction = TDL_CONNECT };
	struct sock *sk = conn->sk;
	struct tdl_caller caller;
	struct tdl_key key;
	long timeout = sock_sndtimeo(sk, flags & O_NONBLOCK);
	long left;

	/* The kernel says what is wrong with it. Nothing is decided, so nothing would leave. */
	if (!tdl_address_given(&c.remote, sk, (struct sockaddr_storage *)address, len))
		return tdl_connect_inner(conn, address, len, flags);
	tdl_address_local(&c.local, sk);
	tdl_ident_caller(sk, &caller);
	if (!tdl_decide(&caller, &c, &key)) {
		if (!timeout)
			return tdl_connect_later(conn, &c, address, len);
		left = wait_for_completion_interruptible_timeout(&c.ask->done, timeout);
		if (!left)
			return tdl_connect_later(conn, &c, address, len);
		if (left < 0) {
			/* The attempt goes on, as that of a SYN does; a restarted call waits. */
			left = tdl_connect_later(conn, &c, address, len);
			return left == -EINPROGRESS ? sock_intr_errno(timeout) : left;
		}
		tdl_decide_answer(&c);
	}
	return tdl_connect_go(conn, &c, address, len, flags);
}

/* Until a connect that waits for its verdict does so no more. */
int tdl_connect_await(struct tdl_conn *conn, bool nonblock, long timeout)
{
	long left;

	if (!tdl_connect_is_undecided(conn))
		return 0;
	if (nonblock)
		return -EAGAIN;
	left = wait_event_interruptible_timeout(conn->settled, !tdl_connect_is_undecided(conn),
						timeout);
	if (left < 0)
		return sock_intr_errno(timeout);
	return left ? 0 : -EAGAIN;
}

static int tdl_connect_disconnect(struct tdl_conn *conn, struct tdl_sockaddr *address, int len,
				  int flags)
{
	struct socket *sock = conn->sock;
	bool waited = tdl_connect_cancel(conn);
	int ret = tdl_inner(sock)->connect(sock, address, len, flags);

	if (waited)
		WRITE_ONCE(sock->sk->sk_err, ECONNRESET);
	if (READ_ONCE(sock->sk->sk_state) == TCP_CLOSE) {
		tdl_connect_reset(conn);
		tdl_held_cancel(conn);
	}
	return ret;
}

int tdl_connect(struct tdl_conn *conn, struct tdl_sockaddr *address, int len, int flags)
{
	struct socket *sock = conn->sock;
	int ret;

	if (len >= sizeof(sa_family_t) &&
	    ((struct sockaddr_storage *)address)->ss_family == AF_UNSPEC)
		return tdl_connect_disconnect(conn, address, len, flags);
	/* That does not wait for the network: nobody need hear of it. */
	if (tdl_conn_state(conn) == TDL_OPENING)
		flush_delayed_work(&conn->work);
	if (tdl_connect_is_undecided(conn)) {
		ret = tdl_connect_await(conn, flags & O_NONBLOCK,
					sock_sndtimeo(conn->sk, flags & O_NONBLOCK));
		if (ret)
			return ret == -EAGAIN ? -EALREADY : ret;
	}
	if (tdl_conn_state(conn) == TDL_REFUSED)
		return tdl_connect_told(conn);
	/* Under way, done, or a listener: the kernel knows best. */
	if (sock->state != SS_UNCONNECTED || READ_ONCE(sock->sk->sk_state) != TCP_CLOSE)
		return tdl_connect_inner(conn, address, len, flags);
	return tdl_connect_anew(conn, address, len, flags);
}

/* shutdown(2) of a connect that waits, or not: whether there was one, which is taken back then. */
bool tdl_connect_shut(struct tdl_conn *conn)
{
	struct sock *sk = conn->sk;

	if (!tdl_connect_cancel(conn))
		return false;
	/* As the kernel does with a SYN that is under way (inet_shutdown(), tcp_disconnect()). */
	lock_sock(sk);
	/* Else another thread has begun something since. */
	if (sk->sk_state == TCP_CLOSE) {
		sk->sk_prot->disconnect(sk, O_NONBLOCK);
		WRITE_ONCE(sk->sk_err, ECONNRESET);
		tdl_connect_reset(conn);
	}
	release_sock(sk);
	tdl_sk_error_report(sk);
	return true;
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
	tdl_sk_error_report(sk);
}

/* In a worker: the SYN is sent. Until then the socket looks as before. */
static void tdl_connect_send(struct tdl_conn *conn, const struct tdl_case *c)
{
	struct socket *sock = conn->sock;
	int ret;

	/* Only a release comes between. */
	if (!tdl_connect_decided(conn, c, TDL_OPENING))
		return;
	ret = tdl_inner(sock)->connect(sock, (struct tdl_sockaddr *)&conn->address,
				       conn->address_len, O_NONBLOCK);
	tdl_connect_opened(conn);
	if (ret && ret != -EINPROGRESS) {
		tdl_connect_fail(conn, -ret);
		return;
	}
	tdl_conn_set(conn, TDL_DECIDED);
	tdl_ops_settle(conn);
}

static bool tdl_connect_is_locked(struct sock *sk)
{
	bool locked;

	spin_lock_bh(&sk->sk_lock.slock);
	locked = sock_owned_by_user(sk);
	spin_unlock_bh(&sk->sk_lock.slock);
	return locked;
}

/*
 * In a worker: the verdict that a connect waits for is in. Releasing the socket waits for it, so
 * that the socket is there.
 */
static void tdl_connect_work(struct work_struct *work)
{
	struct tdl_conn *conn = container_of(to_delayed_work(work), struct tdl_conn, work);
	bool waiting;
	struct tdl_case c;

	/*
	 * Whoever has locked the socket may keep it for long (he copies from memory of his), and
	 * workers are few.
	 */
	if (tdl_connect_is_locked(conn->sk)) {
		if (!queue_delayed_work(tdl_sockets_wq, &conn->work, 1))
			tdl_conn_put(conn);
		return;
	}

	spin_lock_bh(&conn->lock);
	waiting = conn->state == TDL_WAITING;
	if (waiting) {
		c = conn->c;
		conn->c.ask = NULL;
		conn->state = TDL_OPENING;
	}
	spin_unlock_bh(&conn->lock);
	if (waiting) {
		tdl_decide_answer(&c);
		if (tdl_decide_allows(&c))
			tdl_connect_send(conn, &c);
		else
			tdl_connect_fail(conn, ECONNREFUSED);
		wake_up_all(&conn->settled);
		/* Its state may have changed while we hid it; a SYN alone is no news. */
		if (READ_ONCE(conn->sk->sk_state) != TCP_SYN_SENT)
			tdl_connect_wake(conn->sk);
	}
	/* The watch's. */
	tdl_conn_put(conn);
}

static void tdl_connect_fire(struct tdl_watch *watch)
{
	struct tdl_conn *conn = container_of(watch, struct tdl_conn, watch);

	/* It is queued already, with a reference of its own: this is not the last. */
	if (!queue_delayed_work(tdl_sockets_wq, &conn->work, 0))
		tdl_conn_put(conn);
}

void tdl_connect_prepare(struct tdl_conn *conn)
{
	INIT_DELAYED_WORK(&conn->work, tdl_connect_work);
	init_waitqueue_head(&conn->settled);
	conn->watch.fire = tdl_connect_fire;
}

/*
 * A connect that waits for its verdict is taken back; one whose SYN is being sent is waited for.
 * Whether it was taken back. The caller has a reference.
 */
bool tdl_connect_cancel(struct tdl_conn *conn)
{
	struct tdl_ask *ask = NULL;
	enum tdl_state state;
	bool waited;

	spin_lock_bh(&conn->lock);
	state = conn->state;
	waited = state == TDL_WAITING;
	/* Before another may arm the watch, or queue the work, for a connect of its own. */
	if (waited)
		conn->state = TDL_CANCELLING;
	if (waited || state == TDL_CLOSED)
		swap(ask, conn->c.ask);
	if (ask && tdl_ask_unwatch(&conn->watch))
		refcount_dec(&conn->refs);
	spin_unlock_bh(&conn->lock);

	if (state == TDL_OPENING)
		flush_delayed_work(&conn->work);
	else if ((waited || state == TDL_CLOSED) && cancel_delayed_work_sync(&conn->work))
		tdl_conn_put(conn);
	if (ask)
		tdl_ask_put(ask);
	if (!waited)
		return false;
	spin_lock_bh(&conn->lock);
	if (conn->state == TDL_CANCELLING)
		conn->state = TDL_IDLE;
	spin_unlock_bh(&conn->lock);
	wake_up_all(&conn->settled);
	tdl_connect_wake(conn->sk);
	return true;
}
