// SPDX-License-Identifier: GPL-2.0-only
/*
 * accept(2), and poll(2) on a listener: taken from the kernel first, then decided, and only then
 * shown.
 *
 * The verdict is for the task that accepts, or that polls: a listener is readable when there is a
 * connection for the caller, and not before. A connection whose verdict is not in is held here,
 * without a socket of user space, as if the peer had been slow. A refused one is reset and never
 * shown.
 */
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/wait.h>
#include <net/inet_connection_sock.h>
#include <net/sock.h>
#include <net/tcp_states.h>

#include "accept.h"
#include "address.h"
#include "ask.h"
#include "compat.h"
#include "conn.h"
#include "decide.h"
#include "ops.h"
#include "policy.h"
#include "recall.h"

struct tdl_held {
	struct list_head node;		/* under the listener's lock */
	struct tdl_conn *listener;	/* the watch's reference, while it is armed */
	struct sock *sk;		/* ours alone: it has no socket */
	struct tdl_case c;		/* with a question that may wait, or without */
	bool allowed;			/* said and counted, for whom c says */
	struct tdl_watch watch;
};

/* Ends a connection that has no socket, with a reset. Sleeps. */
static void tdl_accept_kill(struct sock *sk)
{
	lock_sock(sk);
	sock_set_flag(sk, SOCK_LINGER);
	sk->sk_lingertime = 0;
	release_sock(sk);
	sk->sk_prot->close(sk, 0);
}

/* Takes an accepted connection away from its socket again, as it was before the accept. */
static struct sock *tdl_accept_detach(struct socket *child)
{
	struct sock *sk = child->sk;

	write_lock_bh(&sk->sk_callback_lock);
	sk_set_socket(sk, NULL);
	RCU_INIT_POINTER(sk->sk_wq, NULL);
	write_unlock_bh(&sk->sk_callback_lock);
	child->sk = NULL;
	child->state = SS_UNCONNECTED;
	return sk;
}

static void tdl_accept_attach(struct socket *child, struct sock *sk)
{
	lock_sock(sk);
	sock_graft(sk, child);
	child->state = SS_CONNECTED;
	release_sock(sk);
}

/* The connection is shown: its socket is one of ours, with nothing left to gate. */
static void tdl_accept_show(struct socket *child, const struct tdl_case *c)
{
	struct tdl_conn *conn = tdl_conn_add(child, GFP_KERNEL);

	/* Without an entry it is decided nevertheless, and can open no other connection. */
	if (!conn)
		return;
	spin_lock_bh(&conn->lock);
	conn->c = *c;
	conn->state = TDL_DECIDED;
	spin_unlock_bh(&conn->lock);
	tdl_ops_settle(conn);
}

static void tdl_held_free(struct tdl_held *held)
{
	if (tdl_ask_unwatch(&held->watch))
		tdl_conn_put(held->listener);
	if (held->c.ask)
		tdl_ask_put(held->c.ask);
	kfree(held);
}

static void tdl_held_kill(struct tdl_held *held)
{
	struct sock *sk = held->sk;

	tdl_held_free(held);
	tdl_accept_kill(sk);
}

static bool tdl_held_is_decided(const struct tdl_held *held)
{
	return !held->c.ask || tdl_ask_is_decided(held->c.ask);
}

static void tdl_held_fire(struct tdl_watch *watch)
{
	struct tdl_held *held = container_of(watch, struct tdl_held, watch);

	tdl_conn_fired(held->listener, &held->listener->held_work);
}

/*
 * Keeps a connection until its question, which held->c has, is decided; or, before the others,
 * one that is decided, until it is accepted.
 */
static void tdl_accept_hold(struct tdl_conn *conn, struct tdl_held *held)
{
	bool closed;

	spin_lock_bh(&conn->lock);
	closed = conn->state != TDL_LISTENING;
	if (!closed) {
		conn->held_count++;
		if (held->c.ask) {
			list_add_tail(&held->node, &conn->held);
			refcount_inc(&conn->refs);
			/* Here, for who finds it in the list may free it. */
			tdl_ask_watch(held->c.ask, &held->watch);
		} else {
			list_add(&held->node, &conn->held);
		}
	}
	spin_unlock_bh(&conn->lock);
	if (closed)
		tdl_held_kill(held);
}

/* The first connection whose verdict is in, now the caller's; NULL when there is none. */
static struct tdl_held *tdl_accept_unhold(struct tdl_conn *conn)
{
	struct tdl_held *held, *found = NULL;

	spin_lock_bh(&conn->lock);
	list_for_each_entry(held, &conn->held, node) {
		if (tdl_held_is_decided(held)) {
			found = held;
			list_del(&held->node);
			conn->held_count--;
			break;
		}
	}
	spin_unlock_bh(&conn->lock);
	return found;
}

static bool tdl_accept_is_ready(struct tdl_conn *conn)
{
	struct tdl_held *held;
	bool ready = false;

	if (!READ_ONCE(conn->held_count))
		return false;
	spin_lock_bh(&conn->lock);
	list_for_each_entry(held, &conn->held, node) {
		ready = tdl_held_is_decided(held);
		if (ready)
			break;
	}
	spin_unlock_bh(&conn->lock);
	return ready;
}

/* As many as the backlog may be held: then the kernel's own queue fills up, as it should. */
static bool tdl_accept_is_full(const struct tdl_conn *conn)
{
	return READ_ONCE(conn->held_count) > READ_ONCE(conn->sk->sk_max_ack_backlog);
}

static bool tdl_accept_has_more(const struct tdl_conn *conn)
{
	return !tdl_accept_is_full(conn) &&
	       !reqsk_queue_empty(&inet_csk(conn->sk)->icsk_accept_queue);
}

/*
 * The verdict that was asked for is the caller's when the caller is whom it was asked for, or one
 * like it, and the policy is still the same. Otherwise it is asked anew. Whether there is one.
 */
static bool tdl_held_decide(struct tdl_conn *conn, struct tdl_held *held)
{
	struct tdl_case now = {
		.id = conn->id,
		.direction = TDL_ACCEPT,
		.local = held->c.local,
		.remote = held->c.remote,
	};
	u64 generation = held->c.ask ? held->c.ask->verdict.generation : held->c.verdict.generation;
	bool same;

	same = !tdl_ident(conn->sk, TDL_ACCEPT, &now.local, &now.remote, &now.key, &now.process) &&
	       !memcmp(&now.key, &held->c.key, sizeof(now.key)) &&
	       generation == tdl_policy_generation();
	/* It has fired, or is about to. */
	if (tdl_ask_unwatch(&held->watch))
		tdl_conn_put(conn);
	if (same) {
		if (held->c.ask)
			tdl_decide_answer(&held->c);
		return true;
	}
	if (held->c.ask)
		tdl_ask_put(held->c.ask);
	held->allowed = false;
	held->c = now;
	return tdl_decide(conn->sk, &held->c);
}

/* The first held connection that the caller may have, and has now; NULL when there is none. */
static struct tdl_held *tdl_accept_next(struct tdl_conn *conn)
{
	struct tdl_held *held;

	while ((held = tdl_accept_unhold(conn))) {
		if (!tdl_held_decide(conn, held)) {
			tdl_accept_hold(conn, held);
			continue;
		}
		if (!held->allowed)
			held->allowed = tdl_decide_allows(&held->c);
		if (held->allowed)
			return held;
		tdl_held_kill(held);
	}
	return NULL;
}

/* A held connection for the caller: whether child has one now. */
static bool tdl_accept_from_held(struct tdl_conn *conn, struct socket *child)
{
	struct tdl_held *held = tdl_accept_next(conn);

	if (!held)
		return false;
	/* Its place may be what those behind it wait for. */
	if (tdl_accept_has_more(conn))
		conn->sk->sk_data_ready(conn->sk);
	tdl_accept_attach(child, held->sk);
	tdl_accept_show(child, &held->c);
	tdl_held_free(held);
	return true;
}

/* Takes a connection away from child, to be held. Not, and it is reset, without memory. */
static struct tdl_held *tdl_held_new(struct tdl_conn *conn, struct socket *child,
				     const struct tdl_case *c)
{
	struct tdl_held *held = kzalloc(sizeof(*held), GFP_KERNEL_ACCOUNT);
	struct sock *sk = tdl_accept_detach(child);

	if (!held) {
		if (c->ask)
			tdl_ask_put(c->ask);
		tdl_accept_kill(sk);
		return NULL;
	}
	held->sk = sk;
	held->c = *c;
	held->listener = conn;
	INIT_LIST_HEAD(&held->watch.node);
	held->watch.fire = tdl_held_fire;
	return held;
}

/*
 * A connection that the kernel has just given to child: whether the caller may have it. If not it
 * is held or reset.
 */
static bool tdl_accept_fresh(struct tdl_conn *conn, struct socket *child, struct tdl_case *c)
{
	struct tdl_held *held;

	*c = (struct tdl_case){ .id = conn->id, .direction = TDL_ACCEPT };
	tdl_address_local(&c->local, child->sk);
	tdl_address_remote(&c->remote, child->sk);
	if (tdl_decide(child->sk, c)) {
		if (tdl_decide_allows(c))
			return true;
		tdl_accept_kill(tdl_accept_detach(child));
		return false;
	}
	held = tdl_held_new(conn, child, c);
	if (held)
		tdl_accept_hold(conn, held);
	return false;
}

/* Takes one from the kernel's queue and holds it: 0, -EAGAIN when there is none, another errno. */
static int tdl_accept_take(struct tdl_conn *conn)
{
	struct tdl_held *held;
	struct socket *child;
	struct tdl_case c;
	int ret;

	if (!tdl_accept_has_more(conn))
		return -EAGAIN;
	ret = sock_create_lite(conn->sk->sk_family, SOCK_STREAM, IPPROTO_TCP, &child);
	if (ret)
		return ret;
	ret = tdl_inner_accept(tdl_inner(conn->sock), conn->sock, child, O_NONBLOCK, false);
	if (!ret && tdl_accept_fresh(conn, child, &c)) {
		held = tdl_held_new(conn, child, &c);
		if (held) {
			held->allowed = true;
			tdl_accept_hold(conn, held);
		}
	}
	/* It has no operations: nothing but its memory goes. */
	sock_release(child);
	return ret;
}

/* Whether there is a connection for the caller, and then it is the first of those held. */
static bool tdl_accept_look(struct tdl_conn *conn)
{
	struct tdl_held *held;
	int ret;

	for (;;) {
		held = tdl_accept_next(conn);
		if (held) {
			tdl_accept_hold(conn, held);
			return true;
		}
		ret = tdl_accept_take(conn);
		if (ret)
			return ret != -EAGAIN;
		cond_resched();
	}
}

/* What poll says of a listener, by what the kernel says. In the context of a task; may sleep. */
__poll_t tdl_accept_poll(struct tdl_conn *conn, __poll_t mask)
{
	const __poll_t readable = EPOLLIN | EPOLLRDNORM;

	if (tdl_conn_state(conn) != TDL_LISTENING)
		return mask;
	/* A worker of the kernel's (aio) polls for somebody who cannot be told: it may be wrong. */
	if (current->flags & PF_KTHREAD)
		return tdl_accept_is_ready(conn) ? mask | readable : mask;
	/* Most often there is nothing, or nothing to decide. */
	if (!READ_ONCE(conn->held_count) &&
	    (!(mask & readable) || tdl_policy_mode() == TDL_OFF))
		return mask;
	mask &= ~readable;
	return tdl_accept_look(conn) ? mask | readable : mask;
}

static bool tdl_accept_may_go_on(struct tdl_conn *conn)
{
	return tdl_accept_has_more(conn) || tdl_accept_is_ready(conn) ||
	       READ_ONCE(conn->sk->sk_state) != TCP_LISTEN;
}

/* As inet_csk_wait_for_connect(): one connection wakes one of those who wait. */
static long tdl_accept_wait(struct tdl_conn *conn, long timeout)
{
	DEFINE_WAIT(wait);

	prepare_to_wait_exclusive(sk_sleep(conn->sk), &wait, TASK_INTERRUPTIBLE);
	if (!tdl_accept_may_go_on(conn) && !signal_pending(current))
		timeout = schedule_timeout(timeout);
	finish_wait(sk_sleep(conn->sk), &wait);
	return timeout;
}

int tdl_accept(struct tdl_conn *conn, struct socket *child, int flags)
{
	const struct proto_ops *inner = tdl_inner(conn->sock);
	long timeout = sock_rcvtimeo(conn->sk, flags & O_NONBLOCK);
	struct tdl_case c;
	int ret;

	for (;;) {
		if (tdl_conn_state(conn) == TDL_CLOSED)
			return tdl_recall_self();
		if (tdl_accept_from_held(conn, child))
			return 0;
		ret = -EAGAIN;
		if (!tdl_accept_is_full(conn))
			ret = tdl_inner_accept(inner, conn->sock, child, flags | O_NONBLOCK, false);
		if (!ret && tdl_accept_fresh(conn, child, &c)) {
			tdl_accept_show(child, &c);
			return 0;
		}
		if (!ret) {
			cond_resched();
			continue;
		}
		if (ret != -EAGAIN || !timeout)
			return ret;
		timeout = tdl_accept_wait(conn, timeout);
		/* A wake-up may have been for us alone: it must not be lost with the signal. */
		if (signal_pending(current) && !tdl_accept_may_go_on(conn))
			return sock_intr_errno(timeout);
	}
}

/* In a worker: a held connection is decided. Releasing the listener waits for it. */
static void tdl_accept_work(struct work_struct *work)
{
	struct tdl_conn *conn = container_of(work, struct tdl_conn, held_work);

	if (tdl_conn_state(conn) == TDL_LISTENING)
		conn->sk->sk_data_ready(conn->sk);
	/* The watch's. */
	tdl_conn_put(conn);
}

void tdl_accept_prepare(struct tdl_conn *conn)
{
	INIT_LIST_HEAD(&conn->held);
	INIT_WORK(&conn->held_work, tdl_accept_work);
}

/* Ends all that is held. Sleeps. Nobody accepts any more, or there is nothing left to hold. */
void tdl_accept_cancel(struct tdl_conn *conn)
{
	struct tdl_held *held;

	for (;;) {
		spin_lock_bh(&conn->lock);
		held = list_first_entry_or_null(&conn->held, struct tdl_held, node);
		if (held) {
			list_del(&held->node);
			conn->held_count--;
		}
		spin_unlock_bh(&conn->lock);
		if (!held)
			break;
		tdl_held_kill(held);
	}
	if (cancel_work_sync(&conn->held_work))
		tdl_conn_put(conn);
}
