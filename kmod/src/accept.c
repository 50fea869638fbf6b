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
#include "held.h"
#include "hook.h"
#include "ops.h"
#include "policy.h"
#include "recall.h"

/* So many are refused at once before others get on. */
#define TDL_LOOKS 32

static void tdl_accept_attach(struct tdl_conn *conn, struct socket *child, struct sock *sk)
{
	/* What __inet_accept() hands on. */
#ifdef SOCK_SUPPORT_ZC
	if (test_bit(SOCK_SUPPORT_ZC, &conn->sock->flags))
		set_bit(SOCK_SUPPORT_ZC, &child->flags);
#endif
#ifdef SOCK_CUSTOM_SOCKOPT
	if (test_bit(SOCK_CUSTOM_SOCKOPT, &conn->sock->flags))
		set_bit(SOCK_CUSTOM_SOCKOPT, &child->flags);
#endif
	lock_sock(sk);
	sock_graft(sk, child);
	child->state = SS_CONNECTED;
	release_sock(sk);
}

/* The connection is shown: its socket is one of ours, with nothing left to gate. */
static void tdl_accept_show(struct socket *child, const struct tdl_case *c)
{
	struct tdl_conn *conn;

	/* The kernel's: the listener was not ours yet when the caller came. */
	if (!tdl_ops_are_ours(child))
		return;
	conn = tdl_conn_add(child, GFP_KERNEL);
	/* Without an entry it is decided nevertheless, and can open no other connection. */
	if (!conn)
		return;
	spin_lock_bh(&conn->lock);
	/* Else it has been given back already. */
	if (conn->state != TDL_CLOSED) {
		conn->c = *c;
		conn->c.ask = NULL;
		conn->state = TDL_DECIDED;
		tdl_ops_settle_locked(conn);
	}
	spin_unlock_bh(&conn->lock);
	tdl_conn_put(conn);
}

/* Who may be shown what is held, and decided on in its name when it polls: who calls. */
void tdl_accept_begin(struct tdl_conn *conn, struct tdl_caller *caller)
{
	tdl_ident_caller(conn->sk, caller);
	if (!caller->error)
		WRITE_ONCE(conn->accepts_as, tdl_ident_hash(&caller->key));
}

/* Whether the caller is like who listened or accepted last. */
static bool tdl_accept_is_acceptors(struct tdl_conn *conn)
{
	struct tdl_caller caller;

	/* Work for somebody who cannot be told (aio, io_uring of a task that ends). */
	if (current->flags & (PF_KTHREAD | PF_EXITING))
		return false;
	tdl_ident_caller(conn->sk, &caller);
	return !caller.error && tdl_ident_hash(&caller.key) == READ_ONCE(conn->accepts_as);
}

static bool tdl_accept_has_more(const struct tdl_conn *conn)
{
	return !tdl_held_are_full(conn) &&
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
	struct tdl_caller caller;
	struct tdl_key key;
	bool same;

	tdl_ident_caller(conn->sk, &caller);
	same = !tdl_ident_purpose(&caller, TDL_ACCEPT, &now.local, &now.remote, &key) &&
	       tdl_ident_is_same(&key, &held->key) &&
	       held->c.epoch == tdl_policy_epoch() && (held->c.ask || !held->c.own);
	/* It has fired, or is about to. */
	if (tdl_ask_unwatch(&held->watch))
		tdl_conn_put(conn);
	if (same) {
		held->c.process = caller.process;
		if (held->c.ask)
			tdl_decide_answer(&held->c);
		return true;
	}
	tdl_decide_forget(&held->c);
	held->allowed = false;
	held->c = now;
	return tdl_decide(&caller, &held->c, &held->key);
}

/*
 * Holds it until it is decided. Not when the listener has been given back meanwhile: the mode is
 * off then, and it is the caller's.
 */
static bool tdl_accept_hold(struct tdl_conn *conn, struct tdl_held *held)
{
	if (tdl_held_put(conn, held))
		return true;
	if (tdl_hook_is_withdrawn())
		return false;
	tdl_held_kill(held);
	return true;
}

/* The first held connection that the caller may have, and has now; NULL when there is none. */
static struct tdl_held *tdl_accept_next(struct tdl_conn *conn)
{
	struct tdl_held *held;

	while ((held = tdl_held_take(conn))) {
		if (!tdl_held_decide(conn, held)) {
			if (tdl_accept_hold(conn, held))
				continue;
			held->allowed = true;
		}
		if (!held->allowed)
			held->allowed = tdl_decide_allows(&held->c);
		if (!held->allowed || (held->c.svid && !tdl_held_shake(conn, held))) {
			tdl_held_kill(held);
			continue;
		}
		if (!held->shake)
			return held;
		if (tdl_accept_hold(conn, held))
			continue;
		tdl_held_unshake(held);
		return held;
	}
	return NULL;
}

/*
 * One wake-up may have stood for several connections, and its place may be what others wait for:
 * who has taken one wakes the next who would.
 */
static void tdl_accept_pass_on(struct tdl_conn *conn)
{
	if (tdl_accept_has_more(conn) || tdl_held_is_ready(conn))
		conn->sk->sk_data_ready(conn->sk);
}

/* A held connection for the caller: whether child has one now. */
static bool tdl_accept_from_held(struct tdl_conn *conn, struct socket *child)
{
	struct tdl_held *held = tdl_accept_next(conn);

	if (!held)
		return false;
	tdl_accept_attach(conn, child, held->sk);
	tdl_accept_show(child, &held->c);
	tdl_held_free(held);
	tdl_accept_pass_on(conn);
	return true;
}

/*
 * A connection that the kernel has just given to child: whether the caller may have it. If not it
 * is held or reset.
 */
static bool tdl_accept_fresh(struct tdl_conn *conn, struct socket *child,
			     const struct tdl_caller *caller, struct tdl_case *c,
			     struct tdl_key *key)
{
	struct tdl_held *held;
	bool shakes;

	*c = (struct tdl_case){ .id = conn->id, .direction = TDL_ACCEPT };
	tdl_address_local(&c->local, child->sk);
	/* Its own is gone when it has been reset already. */
	c->local.port = conn->sk->sk_num;
	tdl_address_remote(&c->remote, child->sk);
	if (tdl_decide(caller, c, key)) {
		if (!tdl_decide_allows(c)) {
			tdl_held_reset(tdl_held_detach(child));
			return false;
		}
		if (!c->svid)
			return true;
	}
	shakes = c->svid;
	held = tdl_held_new(conn, child, c, key);
	if (!held)
		return false;
	if (shakes && !tdl_held_shake(conn, held)) {
		tdl_held_kill(held);
		return false;
	}
	if (tdl_accept_hold(conn, held))
		return false;
	tdl_held_unshake(held);
	tdl_accept_attach(conn, child, held->sk);
	/* With its question, and what else it had of c. */
	tdl_held_free(held);
	c->ask = NULL;
	c->svid = NULL;
	c->verdict.terms = NULL;
	return true;
}

/* Takes one from the kernel's queue and holds it: 0, -EAGAIN when there is none, another errno. */
static int tdl_accept_take(struct tdl_conn *conn)
{
	struct tdl_caller caller;
	struct tdl_held *held;
	struct socket *child;
	struct tdl_key key;
	struct tdl_case c;
	int ret;

	if (!tdl_accept_has_more(conn))
		return -EAGAIN;
	ret = sock_create_lite(conn->sk->sk_family, SOCK_STREAM, IPPROTO_TCP, &child);
	if (ret)
		return ret;
	ret = tdl_inner_accept(tdl_inner(conn->sock), conn->sock, child, O_NONBLOCK, false);
	if (!ret)
		tdl_ident_caller(conn->sk, &caller);
	if (!ret && tdl_accept_fresh(conn, child, &caller, &c, &key)) {
		held = tdl_held_new(conn, child, &c, &key);
		if (held) {
			held->allowed = true;
			if (!tdl_held_put(conn, held))
				tdl_held_kill(held);
		}
	}
	/* It has no operations: nothing but its memory goes. */
	sock_release(child);
	return ret;
}

/* Whether there is a connection for the caller, and then it is the first of those held. */
static bool tdl_accept_search(struct tdl_conn *conn)
{
	struct tdl_held *held;
	int i, ret;

	for (i = 0; i < TDL_LOOKS; i++) {
		held = tdl_accept_next(conn);
		if (held && tdl_held_put(conn, held))
			return true;
		if (held)
			tdl_held_kill(held);
		ret = tdl_accept_take(conn);
		if (ret)
			return ret != -EAGAIN;
		cond_resched();
	}
	/* Many that are refused: others get on, and we are asked again. */
	WRITE_ONCE(conn->worked, true);
	refcount_inc(&conn->refs);
	tdl_conn_fired(conn, &conn->held_work);
	return false;
}

/* The same; who looks for one meanwhile, and finds none, is woken when one is put back. */
static bool tdl_accept_look(struct tdl_conn *conn)
{
	bool found, missed;

	spin_lock_bh(&conn->lock);
	conn->looking++;
	spin_unlock_bh(&conn->lock);

	found = tdl_accept_search(conn);

	spin_lock_bh(&conn->lock);
	missed = !--conn->looking && conn->missed;
	if (missed)
		conn->missed = false;
	/* Another has one in hand: he tells whoever polls when he puts it back. */
	if (!found && conn->looking)
		conn->missed = true;
	spin_unlock_bh(&conn->lock);
	if (missed && (found || tdl_held_is_ready(conn)))
		conn->sk->sk_data_ready(conn->sk);
	return found;
}

/* What poll says of a listener, by what the kernel says. In the context of a task; may sleep. */
__poll_t tdl_accept_poll(struct tdl_conn *conn, __poll_t mask)
{
	const __poll_t readable = EPOLLIN | EPOLLRDNORM;

	if (tdl_conn_state(conn) != TDL_LISTENING)
		return mask;
	/* Most often there is nothing, or nothing to decide. */
	if (!READ_ONCE(conn->held_count) && !READ_ONCE(conn->looking) &&
	    (!(mask & readable) || tdl_policy_mode() == TDL_OFF))
		return mask;
	/* Who only watches decides nothing in another's name, and is told what may be. */
	if (!tdl_accept_is_acceptors(conn))
		return tdl_held_missed(conn) ? mask | readable : mask;
	mask &= ~readable;
	return tdl_accept_look(conn) ? mask | readable : mask;
}

static bool tdl_accept_may_go_on(struct tdl_conn *conn)
{
	return tdl_accept_has_more(conn) || tdl_held_is_ready(conn) ||
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
	struct tdl_caller caller;
	struct tdl_key key;
	struct tdl_case c;
	int ret;

	for (;;) {
		/* Anew after each wait. */
		tdl_accept_begin(conn, &caller);
		if (tdl_conn_state(conn) == TDL_CLOSED && timeout)
			return tdl_recall_self();
		if (tdl_accept_from_held(conn, child))
			return 0;
		ret = -EAGAIN;
		if (!tdl_held_are_full(conn))
			ret = tdl_inner_accept(inner, conn->sock, child, flags | O_NONBLOCK, false);
		if (!ret && tdl_accept_fresh(conn, child, &caller, &c, &key)) {
			tdl_accept_show(child, &c);
			tdl_accept_pass_on(conn);
			return 0;
		}
		if (!ret) {
			/* Refused or held: as if it had never come, but for who would be ended. */
			if (signal_pending(current)) {
				tdl_accept_pass_on(conn);
				return sock_intr_errno(timeout);
			}
			cond_resched();
			continue;
		}
		if (ret == -EAGAIN && tdl_held_missed(conn))
			continue;
		if (ret != -EAGAIN || !timeout)
			return ret;
		timeout = tdl_accept_wait(conn, timeout);
		/* A wake-up may have been for us alone: it must not be lost with the signal. */
		if (signal_pending(current) && !tdl_accept_may_go_on(conn))
			return sock_intr_errno(timeout);
	}
}
