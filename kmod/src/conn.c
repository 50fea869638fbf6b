// SPDX-License-Identifier: GPL-2.0-only
/*
 * What we know of each TCP socket of user space.
 *
 * A socket is in the table from when its operations become ours until it is released or its
 * operations are another's. Looked up with RCU, also in softirq. An entry keeps the sock, but not
 * the socket: only who runs in an operation of the socket, or in work that its release waits for,
 * may touch that.
 *
 * An entry that is freed is used again at once, without a grace period: under RCU it stays an
 * entry, but becomes another socket's (SLAB_TYPESAFE_BY_RCU). So who has found one looks whether it
 * is the one he wanted after he has a reference, or its lock, and not before. The lock is made with
 * the memory and stays; all else is for who has a reference, and made anew for each socket. A chain
 * whose entries move to others while it is walked is walked anew (__rhashtable_lookup()).
 *
 * The kernel can give up a socket after its init function without releasing it (a program of the
 * cgroup refuses it): such entries are swept.
 */
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <net/sock.h>

#include "accept.h"
#include "address.h"
#include "conn.h"
#include "connect.h"
#include "held.h"
#include "hook.h"
#include "recall.h"

/* The default compares byte by byte on older kernels. */
static int tdl_conn_is_not(struct rhashtable_compare_arg *arg, const void *obj)
{
	const struct tdl_conn *conn = obj;

	return READ_ONCE(conn->sk) != *(struct sock *const *)arg->key;
}

static const struct rhashtable_params tdl_conns_params = {
	.head_offset = offsetof(struct tdl_conn, node),
	.key_offset = offsetof(struct tdl_conn, sk),
	.key_len = sizeof(struct sock *),
	.obj_cmpfn = tdl_conn_is_not,
	.automatic_shrinking = true,
};

#define TDL_SWEEP (30 * HZ)
/* When who was between two steps of accept() while we were loaded sleeps there. */
#define TDL_SWEEP_FIRST (2 * HZ)

static struct rhashtable tdl_conns;
/* Of its own: kmalloc() would round an entry up to the next power of two. */
static struct kmem_cache *tdl_conns_cache;
static atomic64_t tdl_conns_last_id;

/* Of memory for an entry, before it is one for the first time. */
static void tdl_conn_construct(void *memory)
{
	struct tdl_conn *conn = memory;

	memset(conn, 0, sizeof(*conn));
	spin_lock_init(&conn->lock);
}

/* As no socket has had it. */
static void tdl_conn_clear(struct tdl_conn *conn)
{
	conn->state = TDL_IDLE;
	memset(&conn->c, 0, sizeof(conn->c));
	conn->worked = false;
	conn->upper = false;
	conn->given_back = false;
	conn->adopted = false;
	conn->kernels = false;
	INIT_LIST_HEAD(&conn->leaving);
	conn->opener = NULL;
	memset(&conn->opened, 0, sizeof(conn->opened));
	conn->opened_seq = 0;
	INIT_LIST_HEAD(&conn->watch.node);
	tdl_connect_prepare(conn);
	INIT_LIST_HEAD(&conn->held);
	tdl_held_prepare(conn);
	conn->held_count = 0;
	conn->looking = 0;
	conn->missed = false;
	conn->accepts_as = 0;
}

/* Nobody has a reference: it is memory again. Also of one that was never in the table. */
static void tdl_conn_free(struct tdl_conn *conn)
{
	struct sock *sk = conn->sk;

	/* Who has taken it for this one's has its lock, and nobody does any more. */
	spin_lock_bh(&conn->lock);
	WRITE_ONCE(conn->sk, NULL);
	spin_unlock_bh(&conn->lock);
	kmem_cache_free(tdl_conns_cache, conn);
	sock_put(sk);
}

/*
 * With a reference for the caller. NULL when there is no memory, or the socket is in the table
 * already.
 */
struct tdl_conn *tdl_conn_add(struct socket *sock, gfp_t gfp)
{
	struct tdl_conn *conn = kmem_cache_alloc(tdl_conns_cache, gfp);

	if (!conn)
		return NULL;
	tdl_conn_clear(conn);
	conn->sock = sock;
	conn->id = atomic64_inc_return(&tdl_conns_last_id);
	conn->born = ktime_get_boottime_ns();
	sock_hold(sock->sk);
	WRITE_ONCE(conn->sk, sock->sk);
	if (rhashtable_lookup_insert_fast(&tdl_conns, &conn->node, tdl_conns_params)) {
		tdl_conn_free(conn);
		return NULL;
	}
	/*
	 * Last: who gets a reference finds an entry of the table, and not one that is yet to be.
	 * Pairs with tdl_conn_hold(): he sees whose it is.
	 */
	smp_wmb();
	refcount_set(&conn->refs, 2);
	return conn;
}

/* Under RCU: a reference of an entry that was found, whosever it is by now. */
static bool tdl_conn_hold(struct tdl_conn *conn)
{
	if (!refcount_inc_not_zero(&conn->refs))
		return false;
	/* Pairs with tdl_conn_add(). */
	smp_rmb();
	return true;
}

/* With a reference; NULL when it is not in the table. */
struct tdl_conn *tdl_conn_get(const struct sock *sk)
{
	struct tdl_conn *conn;

	rcu_read_lock();
	for (;;) {
		conn = rhashtable_lookup(&tdl_conns, &sk, tdl_conns_params);
		/* One that is on its way out is as good as none. */
		if (conn && !tdl_conn_hold(conn))
			conn = NULL;
		if (!conn || likely(conn->sk == sk))
			break;
		/* It became another's between the two: is there one still? */
		tdl_conn_put(conn);
	}
	rcu_read_unlock();
	return conn;
}

void tdl_conn_put(struct tdl_conn *conn)
{
	bool given_back;

	if (!refcount_dec_and_test(&conn->refs))
		return;
	given_back = conn->given_back;
	tdl_conn_free(conn);
	/*
	 * Nobody is in an operation of ours on this socket, but who is on his way out, or in a work
	 * that unloading waits for.
	 */
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

/* Out of the table, by who has a reference: whether he has the table's now, too. */
bool tdl_conn_take_out(struct tdl_conn *conn)
{
	return !rhashtable_remove_fast(&tdl_conns, &conn->node, tdl_conns_params);
}

/*
 * The socket is released: nothing of it goes on. Whether there is something to be taken back, or a
 * work that may run.
 */
bool tdl_conn_close(struct tdl_conn *conn)
{
	bool busy;

	spin_lock_bh(&conn->lock);
	conn->state = TDL_CLOSED;
	busy = conn->worked || !list_empty(&conn->held);
	spin_unlock_bh(&conn->lock);
	return busy;
}

void tdl_conn_set(struct tdl_conn *conn, enum tdl_state state)
{
	spin_lock_bh(&conn->lock);
	if (conn->state != TDL_CLOSED && conn->state != TDL_CANCELLING)
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
	return conn->opened_seq == seq && tdl_address_is_same(&conn->opened, remote);
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
		/* The packet has a reference of the socket: it is not another of that address. */
		covers = READ_ONCE(conn->sk) == sk && tdl_conn_opens(conn, remote, seq);
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
	/* After its state: it was this one's then. */
	smp_rmb();
	listens = listens && READ_ONCE(conn->sk) == sk;
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
		if (IS_ERR(conn) || !tdl_conn_hold(conn))
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
	/* Not: it is being released after all, and out of the table anyhow. */
	if (!READ_ONCE(conn->sk->sk_socket) && tdl_conn_take_out(conn))
		tdl_conn_put(conn);
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

	tdl_conns_cache = kmem_cache_create("tdl_conn", sizeof(struct tdl_conn),
					    __alignof__(struct tdl_conn),
					    SLAB_ACCOUNT | SLAB_TYPESAFE_BY_RCU,
					    tdl_conn_construct);
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

static void tdl_conn_drop(void *conn, void *unused)
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
	rhashtable_free_and_destroy(&tdl_conns, tdl_conn_drop, NULL);
	/* The last that could let go of an entry. */
	flush_workqueue(tdl_sockets_wq);
	/* Nobody looks at one under RCU any more: hooks, operations and works have ended. */
	kmem_cache_destroy(tdl_conns_cache);
}
