// SPDX-License-Identifier: GPL-2.0-only
/*
 * What we know of each TCP socket of user space.
 *
 * A socket is in the table from when its operations become ours until it is released or its
 * operations are another's. Looked up with RCU, also in softirq. An entry keeps the sock, but not
 * the socket: only who runs in an operation of the socket, or in work that its release waits for,
 * may touch that.
 *
 * The kernel can give up a socket after its init function without releasing it (a program of the
 * cgroup refuses it): such entries are swept.
 */
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <net/sock.h>

#include "accept.h"
#include "conn.h"
#include "connect.h"
#include "held.h"
#include "hook.h"
#include "recall.h"

static const struct rhashtable_params tdl_conns_params = {
	.head_offset = offsetof(struct tdl_conn, node),
	.key_offset = offsetof(struct tdl_conn, sk),
	.key_len = sizeof(struct sock *),
	.automatic_shrinking = true,
};

#define TDL_SWEEP (30 * HZ)
/* When who was between two steps of accept() while we were loaded sleeps there. */
#define TDL_SWEEP_FIRST (2 * HZ)

static struct rhashtable tdl_conns;
/* Of its own: kmalloc() would round an entry up to the next power of two. */
static struct kmem_cache *tdl_conns_cache;
static atomic64_t tdl_conns_last_id;

/* NULL when there is no memory, or the socket is in the table already. */
struct tdl_conn *tdl_conn_add(struct socket *sock, gfp_t gfp)
{
	struct tdl_conn *conn = kmem_cache_zalloc(tdl_conns_cache, gfp);

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
	INIT_LIST_HEAD(&conn->leaving);
	tdl_connect_prepare(conn);
	tdl_held_prepare(conn);
	if (rhashtable_lookup_insert_fast(&tdl_conns, &conn->node, tdl_conns_params)) {
		kmem_cache_free(tdl_conns_cache, conn);
		return NULL;
	}
	sock_hold(conn->sk);
	return conn;
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

static void tdl_conn_reclaim(struct rcu_head *rcu)
{
	kmem_cache_free(tdl_conns_cache, container_of(rcu, struct tdl_conn, rcu));
}

void tdl_conn_put(struct tdl_conn *conn)
{
	bool given_back;

	if (!refcount_dec_and_test(&conn->refs))
		return;
	given_back = conn->given_back;
	sock_put(conn->sk);
	/* Older kernels cannot wait for kfree_rcu(), and the cache of our own has an end. */
	call_rcu(&conn->rcu, tdl_conn_reclaim);
	/* Nobody is in an operation of ours on this socket, but the caller on his way out. */
	if (given_back)
		module_put(THIS_MODULE);
}

/* A watch has fired, whose reference goes to the work. With locks held. */
void tdl_conn_fired(struct tdl_conn *conn, struct work_struct *work)
{
	/* It is queued already, with a reference of its own: this is not the last. */
	if (!queue_work(tdl_sockets_wq, work))
		tdl_conn_put(conn);
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
	if (conn->state != TDL_CLOSED && (conn->state != TDL_CANCELLING || state == TDL_CLOSED))
		conn->state = state;
	spin_unlock_bh(&conn->lock);
}

/* From one state in which nothing is under way to another: whether it was in such. */
bool tdl_conn_set_at_rest(struct tdl_conn *conn, enum tdl_state state)
{
	bool rests = false;

	spin_lock_bh(&conn->lock);
	switch (conn->state) {
	case TDL_IDLE:
	case TDL_DECIDED:
	case TDL_REFUSED:
	case TDL_LISTENING:
		conn->state = state;
		rests = true;
		break;
	case TDL_WAITING:
	case TDL_OPENING:
	case TDL_CANCELLING:
	case TDL_CLOSED:
		break;
	}
	spin_unlock_bh(&conn->lock);
	return rests;
}

enum tdl_state tdl_conn_state(struct tdl_conn *conn)
{
	/* One word; what depends on it is looked at under the lock. */
	return READ_ONCE(conn->state);
}

/* With conn->lock held: the SYN that was decided, and then what repeats it. */
static bool tdl_conn_opens(struct tdl_conn *conn, const struct tdl_address *remote, u32 seq)
{
	if (conn->state != TDL_DECIDED && conn->state != TDL_OPENING)
		return false;
	/* Programs of the cgroup (BPF) may have sent it elsewhere than it was asked for. */
	if (conn->opener && conn->opener == current) {
		conn->opener = NULL;
		conn->opened = *remote;
		conn->opened_seq = seq;
	}
	return conn->opened_seq == seq && !memcmp(&conn->opened, remote, sizeof(*remote));
}

/* Whether this socket may open a connection to remote. In any context. */
bool tdl_conn_covers(const struct sock *sk, const struct tdl_address *remote, u32 seq)
{
	struct tdl_conn *conn;
	bool covers = false;

	rcu_read_lock();
	conn = rhashtable_lookup(&tdl_conns, &sk, tdl_conns_params);
	if (conn) {
		spin_lock_bh(&conn->lock);
		covers = tdl_conn_opens(conn, remote, seq);
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

void tdl_conns_each(void (*act)(struct tdl_conn *conn, void *data), void *data)
{
	struct rhashtable_iter iter;
	struct tdl_conn *conn;

	rhashtable_walk_enter(&tdl_conns, &iter);
	rhashtable_walk_start(&iter);
	while ((conn = rhashtable_walk_next(&iter))) {
		/* The table is being resized: some come twice. */
		if (IS_ERR(conn) || !refcount_inc_not_zero(&conn->refs))
			continue;
		rhashtable_walk_stop(&iter);
		act(conn, data);
		tdl_conn_put(conn);
		cond_resched();
		rhashtable_walk_start(&iter);
	}
	rhashtable_walk_stop(&iter);
	rhashtable_walk_exit(&iter);
}

static void tdl_conn_sweep(struct tdl_conn *conn, void *unused)
{
	struct tdl_conn *removed = NULL;

	/* NULL: it is being released after all, and out of the table anyhow. */
	if (!READ_ONCE(conn->sk->sk_socket))
		removed = tdl_conn_remove(conn->sk);
	if (removed)
		tdl_conn_put(removed);
	if (conn->adopted) {
		conn->adopted = false;
		tdl_recall(conn->sk);
	}
}

static void tdl_conns_sweep(struct work_struct *work)
{
	tdl_conns_each(tdl_conn_sweep, NULL);
	queue_delayed_work(tdl_sockets_wq, to_delayed_work(work), TDL_SWEEP);
}

static DECLARE_DELAYED_WORK(tdl_conns_sweeper, tdl_conns_sweep);

int tdl_conns_init(void)
{
	int ret;

	tdl_conns_cache = KMEM_CACHE(tdl_conn, SLAB_ACCOUNT);
	if (!tdl_conns_cache)
		return -ENOMEM;
	ret = rhashtable_init(&tdl_conns, &tdl_conns_params);
	if (ret) {
		kmem_cache_destroy(tdl_conns_cache);
		return ret;
	}
	queue_delayed_work(tdl_sockets_wq, &tdl_conns_sweeper, TDL_SWEEP_FIRST);
	return 0;
}

/* How many are in the table. */
unsigned int tdl_conns_count(void)
{
	return atomic_read(&tdl_conns.nelems);
}

static void tdl_conn_free(void *conn, void *unused)
{
	tdl_conn_put(conn);
}

/*
 * No socket has our operations any more: what is left was given up. Not by a walk, which a table
 * that is being resized may end early.
 */
void tdl_conns_exit(void)
{
	cancel_delayed_work_sync(&tdl_conns_sweeper);
	rhashtable_free_and_destroy(&tdl_conns, tdl_conn_free, NULL);
	/* The last that could let go of an entry; then what is left to reclaim, by code of ours. */
	flush_workqueue(tdl_sockets_wq);
	rcu_barrier();
	kmem_cache_destroy(tdl_conns_cache);
}
