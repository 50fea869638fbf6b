// SPDX-License-Identifier: GPL-2.0-only
/*
 * What we know of each TCP socket of user space.
 *
 * A socket is in the table from when its operations become ours until it is released or its
 * operations are the kernel's again. Looked up with RCU, also in softirq. A reference keeps the
 * entry, not the socket: only who runs in an operation of the socket, or in work that its release
 * waits for, may touch the socket itself.
 */
#include <linux/ktime.h>
#include <linux/slab.h>
#include <net/sock.h>

#include "accept.h"
#include "conn.h"
#include "connect.h"

static const struct rhashtable_params tdl_conns_params = {
	.head_offset = offsetof(struct tdl_conn, node),
	.key_offset = offsetof(struct tdl_conn, sk),
	.key_len = sizeof(struct sock *),
	.automatic_shrinking = true,
};

static struct rhashtable tdl_conns;
static atomic64_t tdl_conns_last_id;

/* NULL when there is no memory, or the socket is in the table already. */
struct tdl_conn *tdl_conn_add(struct socket *sock, gfp_t gfp)
{
	struct tdl_conn *conn = kzalloc(sizeof(*conn), gfp | __GFP_ACCOUNT);

	if (!conn)
		return NULL;
	conn->sk = sock->sk;
	conn->sock = sock;
	refcount_set(&conn->refs, 1);
	conn->id = atomic64_inc_return(&tdl_conns_last_id);
	conn->born = ktime_get_boottime_ns();
	spin_lock_init(&conn->lock);
	INIT_LIST_HEAD(&conn->held);
	INIT_LIST_HEAD(&conn->watch.node);
	tdl_connect_prepare(conn);
	tdl_accept_prepare(conn);
	if (!tdl_conn_restore(conn)) {
		kfree(conn);
		return NULL;
	}
	return conn;
}

/* Into the table, with the caller's reference. Whether it is. */
bool tdl_conn_restore(struct tdl_conn *conn)
{
	return !rhashtable_lookup_insert_fast(&tdl_conns, &conn->node, tdl_conns_params);
}

/* With a reference; NULL when it is not in the table. */
struct tdl_conn *tdl_conn_get(const struct sock *sk)
{
	struct tdl_conn *conn;

	rcu_read_lock();
	conn = rhashtable_lookup(&tdl_conns, &sk, tdl_conns_params);
	if (conn && !refcount_inc_not_zero(&conn->refs))
		conn = NULL;
	rcu_read_unlock();
	return conn;
}

void tdl_conn_put(struct tdl_conn *conn)
{
	if (!refcount_dec_and_test(&conn->refs))
		return;
	kfree_rcu(conn, rcu);
}

/* Out of the table: the caller has the table's reference then. NULL when somebody was first. */
struct tdl_conn *tdl_conn_remove(const struct sock *sk)
{
	struct tdl_conn *conn;

	rcu_read_lock();
	conn = rhashtable_lookup(&tdl_conns, &sk, tdl_conns_params);
	if (conn && rhashtable_remove_fast(&tdl_conns, &conn->node, tdl_conns_params))
		conn = NULL;
	rcu_read_unlock();
	return conn;
}

void tdl_conn_set(struct tdl_conn *conn, enum tdl_state state)
{
	spin_lock_bh(&conn->lock);
	if (conn->state != TDL_CLOSED)
		conn->state = state;
	spin_unlock_bh(&conn->lock);
}

enum tdl_state tdl_conn_state(struct tdl_conn *conn)
{
	/* One word; what depends on it is looked at under the lock. */
	return READ_ONCE(conn->state);
}

/* With conn->lock held: the SYN that was decided, and then what repeats it. */
static bool tdl_conn_opens(struct tdl_conn *conn, const struct tdl_address *remote)
{
	if (conn->state != TDL_DECIDED)
		return false;
	/* Programs of the cgroup (BPF) may have sent it elsewhere than it was asked for. */
	if (conn->opening) {
		conn->opening = false;
		conn->opened = *remote;
	}
	return !memcmp(&conn->opened, remote, sizeof(*remote));
}

/* Whether this socket may open a connection to remote. In any context. */
bool tdl_conn_covers(const struct sock *sk, const struct tdl_address *remote)
{
	struct tdl_conn *conn;
	bool covers = false;

	rcu_read_lock();
	conn = rhashtable_lookup(&tdl_conns, &sk, tdl_conns_params);
	if (conn) {
		spin_lock_bh(&conn->lock);
		covers = tdl_conn_opens(conn, remote);
		spin_unlock_bh(&conn->lock);
	}
	rcu_read_unlock();
	return covers;
}

/* Whether what this socket accepts will be decided. In any context. */
bool tdl_conn_listens(const struct sock *sk)
{
	struct tdl_conn *conn;
	bool listens;

	rcu_read_lock();
	conn = rhashtable_lookup(&tdl_conns, &sk, tdl_conns_params);
	listens = conn && READ_ONCE(conn->state) == TDL_LISTENING;
	rcu_read_unlock();
	return listens;
}

void tdl_conns_visit(bool (*visit)(struct tdl_conn *conn, void *data), void *data)
{
	struct rhashtable_iter iter;
	struct tdl_conn *conn;
	bool more = true;

	rhashtable_walk_enter(&tdl_conns, &iter);
	rhashtable_walk_start(&iter);
	while (more && (conn = rhashtable_walk_next(&iter))) {
		/* The table is being resized: some come twice. */
		if (IS_ERR(conn))
			continue;
		more = visit(conn, data);
	}
	rhashtable_walk_stop(&iter);
	rhashtable_walk_exit(&iter);
}

static bool tdl_conn_take(struct tdl_conn *conn, void *data)
{
	struct tdl_conn **taken = data;

	if (!refcount_inc_not_zero(&conn->refs))
		return true;
	*taken = conn;
	return false;
}

/* Any one, with a reference; NULL when there is none. */
struct tdl_conn *tdl_conn_any(void)
{
	struct tdl_conn *conn = NULL;

	tdl_conns_visit(tdl_conn_take, &conn);
	return conn;
}

int tdl_conns_init(void)
{
	return rhashtable_init(&tdl_conns, &tdl_conns_params);
}

/* The table is empty. */
void tdl_conns_exit(void)
{
	rhashtable_destroy(&tdl_conns);
}
