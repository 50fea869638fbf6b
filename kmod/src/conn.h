/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What we know of each TCP socket of user space: see conn.c.
 */
#ifndef TIDELOCK_CONN_H
#define TIDELOCK_CONN_H

#include <linux/in6.h>
#include <linux/list.h>
#include <linux/refcount.h>
#include <linux/rhashtable.h>
#include <linux/socket.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include "ask.h"
#include "decide.h"

enum tdl_state {
	TDL_IDLE,	/* nothing is decided: nothing may leave */
	TDL_WAITING,	/* a connect waits for its verdict */
	TDL_OPENING,	/* it has it, and a worker is about to send the SYN */
	TDL_CANCELLING,	/* it is being taken back: nothing may begin until its work is gone */
	TDL_DECIDED,	/* it may connect to c.remote, or has been accepted */
	TDL_REFUSED,	/* a connect was refused, and the application is yet to be told */
	TDL_LISTENING,
	TDL_CLOSED,	/* the socket goes, or goes back to the kernel */
};

struct tdl_conn {
	struct rhash_head node;
	struct sock *sk;	/* the key, with a reference; NULL in one that is free */
	struct socket *sock;	/* only in its operations, and in works its release awaits */
	refcount_t refs;
	u64 id;
	u64 born;		/* ktime_get_boottime_ns() */

	/*
	 * Taken in process context and by the packet filter in softirq: spin_lock_bh(). Innermost,
	 * but for the lock of the questions. Made once for all entries that come to lie here: see
	 * conn.c.
	 */
	spinlock_t lock;
	enum tdl_state state;
	struct tdl_case c;	/* of the connect under way or done, or of the accept */

	bool worked;		/* one of its works was queued once, or may yet be */
	bool upper;		/* kTLS is being set: the operations are the kernel's meanwhile */
	/* They are another's for good: the socket's reference of the module goes with the entry. */
	bool given_back;
	bool adopted;		/* a listener in whose kernel's accept somebody may sleep */
	bool kernels;		/* a service in the kernel accepts from it */
	struct list_head leaving;	/* withdraw.c */
	struct task_struct *opener;	/* may send the decided SYN; compared only */
	struct tdl_address opened;	/* where that went, and its number: what repeats it */
	u32 opened_seq;

	/* For a connect that does not block: armed, with a reference, while c.ask waits. */
	struct tdl_watch watch;
	struct delayed_work work;
	wait_queue_head_t settled;	/* for who waits until nothing is undecided */
	struct sockaddr_in6 address;	/* or sockaddr_in, which is shorter */
	int address_len;

	/* Of a listener: children that wait for a verdict, under lock. */
	struct list_head held;
	unsigned int held_count;
	unsigned int looking;	/* so many have one of them in hand, or one of the kernel's */
	bool missed;		/* and somebody has found none meanwhile */
	struct work_struct held_work;
	u32 accepts_as;		/* a hash of who listened, or accepted last */
};

int tdl_conns_init(void);
void tdl_conns_exit(void);

struct tdl_conn *tdl_conn_add(struct socket *sock, gfp_t gfp);
struct tdl_conn *tdl_conn_get(const struct sock *sk);
void tdl_conn_put(struct tdl_conn *conn);
bool tdl_conn_take_out(struct tdl_conn *conn);
void tdl_conn_set(struct tdl_conn *conn, enum tdl_state state);
bool tdl_conn_close(struct tdl_conn *conn);
bool tdl_conn_set_at_rest(struct tdl_conn *conn, enum tdl_state state);
enum tdl_state tdl_conn_state(struct tdl_conn *conn);
void tdl_conn_fired(struct tdl_conn *conn, struct work_struct *work);
bool tdl_conn_covers(const struct sock *sk, const struct tdl_address *remote, u32 seq);
bool tdl_conn_listens(const struct sock *sk);

unsigned int tdl_conns_count(void);

/* Calls act for each, in no order, with a reference; it may sleep. Some may be left out. */
void tdl_conns_each(void (*act)(struct tdl_conn *conn, void *data), void *data);

/*
 * Calls visit for each, in no order, under RCU; until it says false. Some may have been freed, or
 * be another socket's by now: what holds for one is looked at under its lock, with its sk.
 */
void tdl_conns_visit(bool (*visit)(struct tdl_conn *conn, void *data), void *data);

#endif /* TIDELOCK_CONN_H */
