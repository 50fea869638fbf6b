// SPDX-License-Identifier: GPL-2.0-only
/*
 * Connections that the kernel has given away and nobody has been shown yet: of each listener, under
 * its lock. They have no socket of user space.
 */
#include <linux/slab.h>
#include <net/inet_connection_sock.h>
#include <net/sock.h>

#include "conn.h"
#include "held.h"
#include "ops.h"
#include "shake.h"

/* Ends a connection that has no socket, with a reset. Sleeps. */
void tdl_held_reset(struct sock *sk)
{
	lock_sock(sk);
	sock_set_flag(sk, SOCK_LINGER);
	sk->sk_lingertime = 0;
	release_sock(sk);
	sk->sk_prot->close(sk, 0);
}

/* Takes an accepted connection away from its socket again, as it was before the accept. */
struct sock *tdl_held_detach(struct socket *child)
{
	struct sock *sk = child->sk;

	/* As tcp_close() does it: softirq looks at the socket under the lock alone. */
	lock_sock(sk);
	local_bh_disable();
	bh_lock_sock(sk);
	write_lock(&sk->sk_callback_lock);
	sk_set_socket(sk, NULL);
	RCU_INIT_POINTER(sk->sk_wq, NULL);
	write_unlock(&sk->sk_callback_lock);
	bh_unlock_sock(sk);
	local_bh_enable();
	release_sock(sk);
	child->sk = NULL;
	child->state = SS_UNCONNECTED;
	return sk;
}

static void tdl_held_shaken(void *data)
{
	struct tdl_held *held = data;

	tdl_conn_fired(held->listener, &held->listener->held_work);
}

/*
 * Hands are to be shaken before anybody is shown it: it gets a socket that no process has, for the
 * kernel's functions. It begins when it is held. False, and it is told, when there can be none.
 */
bool tdl_held_shake(struct tdl_conn *conn, struct tdl_held *held)
{
	const struct proto_ops *inner = tdl_inner(conn->sock);
	struct sock *sk = held->sk;
	struct tdl_shake *shake;
	int ret;

	ret = sock_create_lite(sk->sk_family, SOCK_STREAM, IPPROTO_TCP, &held->sock);
	if (ret) {
		tdl_decide_refuse(&held->c, TDL_REASON_NO_MEMORY);
		return false;
	}
	lock_sock(sk);
	sock_graft(sk, held->sock);
	held->sock->state = SS_CONNECTED;
	release_sock(sk);
	shake = tdl_shake_new(held->sock, inner, &held->c, tdl_ident_share(&held->key),
			      tdl_held_shaken, held);
	if (!IS_ERR(shake)) {
		held->shake = shake;
		return true;
	}
	tdl_decide_refuse(&held->c, PTR_ERR(shake) == -ENOBUFS ? TDL_REASON_OVERFLOW :
								 TDL_REASON_NO_MEMORY);
	return false;
}

/* It is over, or taken back: the connection is without a socket again. Sleeps. */
void tdl_held_unshake(struct tdl_held *held)
{
	if (held->shake) {
		if (tdl_shake_stop(held->shake))
			tdl_conn_put(held->listener);
		tdl_shake_free(held->shake);
		held->shake = NULL;
	}
	if (held->sock) {
		tdl_held_detach(held->sock);
		/* It has no operations: nothing but its memory goes. */
		sock_release(held->sock);
		held->sock = NULL;
	}
}

void tdl_held_free(struct tdl_held *held)
{
	tdl_held_unshake(held);
	if (tdl_ask_unwatch(&held->watch))
		tdl_conn_put(held->listener);
	tdl_decide_forget(&held->c);
	kfree(held);
}

void tdl_held_kill(struct tdl_held *held)
{
	struct sock *sk = held->sk;

	tdl_held_free(held);
	tdl_held_reset(sk);
}

static bool tdl_held_is_decided(const struct tdl_held *held)
{
	/* Of those whose hands are shaken none is shown to anybody yet. */
	if (held->shake)
		return false;
	return !held->c.ask || tdl_ask_is_decided(held->c.ask);
}

static void tdl_held_fire(struct tdl_watch *watch)
{
	struct tdl_held *held = container_of(watch, struct tdl_held, watch);

	tdl_conn_fired(held->listener, &held->listener->held_work);
}

/*
 * Keeps a connection until its question, which held->c has, is decided, or its handshake, which
 * begins, is over; or, before the others, one that is decided, until it is accepted. Not when the
 * listener is closed, or given back.
 */
bool tdl_held_put(struct tdl_conn *conn, struct tdl_held *held)
{
	bool closed;

	spin_lock_bh(&conn->lock);
	closed = conn->state != TDL_LISTENING;
	if (!closed) {
		conn->held_count++;
		if (held->c.ask || held->shake) {
			list_add_tail(&held->node, &conn->held);
			refcount_inc(&conn->refs);
			conn->worked = true;
			/* Here, for who finds it in the list may free it. */
			if (held->shake)
				tdl_shake_start(held->shake);
			else
				tdl_ask_watch(held->c.ask, &held->watch);
		} else {
			list_add(&held->node, &conn->held);
		}
	}
	spin_unlock_bh(&conn->lock);
	return !closed;
}

/* The first connection whose verdict is in, now the caller's; NULL when there is none. */
struct tdl_held *tdl_held_take(struct tdl_conn *conn)
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

/* With conn->lock held. */
static bool tdl_held_any_decided(const struct tdl_conn *conn)
{
	const struct tdl_held *held;

	list_for_each_entry(held, &conn->held, node) {
		if (tdl_held_is_decided(held))
			return true;
	}
	return false;
}

bool tdl_held_is_ready(struct tdl_conn *conn)
{
	bool ready;

	if (!READ_ONCE(conn->held_count))
		return false;
	spin_lock_bh(&conn->lock);
	ready = tdl_held_any_decided(conn);
	spin_unlock_bh(&conn->lock);
	return ready;
}

/* Nothing was found. Whether that has changed; if it may yet, by who polls, he wakes us. */
bool tdl_held_missed(struct tdl_conn *conn)
{
	bool ready;

	spin_lock_bh(&conn->lock);
	if (conn->looking)
		conn->missed = true;
	ready = tdl_held_any_decided(conn);
	spin_unlock_bh(&conn->lock);
	return ready;
}

/* As many as the backlog may be held: then the kernel's own queue fills up, as it should. */
bool tdl_held_are_full(const struct tdl_conn *conn)
{
	return READ_ONCE(conn->held_count) > READ_ONCE(conn->sk->sk_max_ack_backlog);
}

/*
 * Takes a connection away from child, to be held, and over what c has. Without memory it is not
 * held but reset.
 */
struct tdl_held *tdl_held_new(struct tdl_conn *conn, struct socket *child,
			      struct tdl_case *c, const struct tdl_key *key)
{
	struct tdl_held *held = kzalloc(sizeof(*held), GFP_KERNEL_ACCOUNT);
	struct sock *sk = tdl_held_detach(child);

	if (!held) {
		tdl_decide_forget(c);
		tdl_held_reset(sk);
		return NULL;
	}
	held->sk = sk;
	held->c = *c;
	held->key = *key;
	held->listener = conn;
	INIT_LIST_HEAD(&held->watch.node);
	held->watch.fire = tdl_held_fire;
	return held;
}

/* One whose handshake is over, now the caller's; NULL when there is none. */
static struct tdl_held *tdl_held_take_shaken(struct tdl_conn *conn, enum tdl_shaken *shaken,
					     u32 *reason)
{
	struct tdl_held *held, *found = NULL;

	spin_lock_bh(&conn->lock);
	list_for_each_entry(held, &conn->held, node) {
		if (!held->shake)
			continue;
		*shaken = tdl_shake_look(held->shake, reason);
		if (*shaken == TDL_SHAKEN_YET)
			continue;
		found = held;
		list_del(&held->node);
		conn->held_count--;
		break;
	}
	spin_unlock_bh(&conn->lock);
	return found;
}

/*
 * Hands were shaken, or it came to nothing. There is nothing yet that would take the records over:
 * the connection ends in any case.
 */
static void tdl_held_conclude(struct tdl_conn *conn)
{
	enum tdl_shaken shaken;
	struct tdl_held *held;
	u32 reason;

	while ((held = tdl_held_take_shaken(conn, &shaken, &reason))) {
		if (shaken == TDL_SHAKEN_DONE)
			reason = TDL_REASON_NO_MTLS;
		tdl_decide_refuse(&held->c, reason);
		tdl_held_kill(held);
	}
}

/*
 * In a worker: a held connection is decided, or its handshake is over. Releasing the listener waits
 * for it.
 */
static void tdl_held_work(struct work_struct *work)
{
	struct tdl_conn *conn = container_of(work, struct tdl_conn, held_work);

	tdl_held_conclude(conn);
	if (tdl_conn_state(conn) == TDL_LISTENING)
		conn->sk->sk_data_ready(conn->sk);
	/* The watch's. */
	tdl_conn_put(conn);
}

void tdl_held_prepare(struct tdl_conn *conn)
{
	INIT_WORK(&conn->held_work, tdl_held_work);
}

/* Ends all that is held. Sleeps. Nobody accepts any more, or there is nothing left to hold. */
void tdl_held_cancel(struct tdl_conn *conn)
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
