// SPDX-License-Identifier: GPL-2.0-only
/*
 * A handshake with who has connected to us, where that must be mTLS, before anybody is shown it.
 *
 * It goes on in steps, each in a worker, whenever something it waits for may be there: its SVID,
 * bytes, room for bytes, or the end of its time. The core's part of a step is the engine's. A
 * record is read only when it is whole, and none after the last one of the handshake: what follows
 * is not ours. The socket is no process's, so that nobody else locks it, reads or writes.
 *
 * It has one owner, who keeps the socket until tdl_shake_stop() has returned. Workers, the SVID's
 * watch and the socket's wait queue come to it by a pointer that is gone by then; nothing else
 * is shared but what came of it, which is written once.
 */
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/slab.h>
#include <linux/tcp.h>
#include <linux/uio.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <net/sock.h>
#include <net/tcp.h>

#include "compat.h"
#include "decide.h"
#include "engine.h"
#include "policy.h"
#include "shake.h"
#include "svid.h"
#include "terms.h"
#include "trust.h"
#include "watch.h"

/* At once, and of one share: who comes later is refused. One takes up to 100 KiB. */
#define TDL_SHAKES_MAX 512
#define TDL_SHAKES_SHARE_MAX 128
/* Steps at once. Each has at most one job for the engine, which has verdicts to attend to. */
#define TDL_SHAKES_AT_ONCE 4

/* Of a record (RFC 8446, 5.1 and 5.2), and of all of a handshake that we read. */
#define TDL_RECORD_HEADER 5
#define TDL_RECORD_BODY (16384 + 256)
#define TDL_SHAKE_RECORDS 64
#define TDL_SHAKE_BYTES (24 * 1024)

enum tdl_shake_phase {
	TDL_SHAKE_IDENTITY,	/* waits for the SVID */
	TDL_SHAKE_TALK,
};

struct tdl_shake {
	u32 direction;
	struct socket *sock;
	const struct proto_ops *inner;
	struct tdl_svid *svid;
	struct tdl_terms *terms;
	void (*fire)(void *data);
	void *data;

	struct work_struct work;
	struct delayed_work deadline;
	struct tdl_watch watch;
	struct wait_queue_entry wait;
	u32 share;
	bool started;
	bool stopped;			/* written by the owner */
	bool late;			/* written by the deadline */

	/* Written by the work, before shaken. */
	u32 reason;
	enum tdl_shaken shaken;

	/* The work's. */
	enum tdl_shake_phase phase;
	struct tdl_tls *tls;
	int failed;			/* an errno; an alert may be left to be sent */
	bool open;
	u32 records_read;
	u32 bytes_read;
	u8 header[TDL_RECORD_HEADER];
	u8 *in;				/* a record, once its header is there */
	size_t have;			/* of the record */
	size_t want;
	u8 out[2048];
	size_t out_len;
	size_t out_sent;
	struct tdl_records records;
};

static struct workqueue_struct *tdl_shakes_wq;
static atomic_t tdl_shakes_count;
static atomic_t tdl_shakes_shares[TDL_SHARES];

/* Whether there is a place for another. */
static bool tdl_shakes_claim(u32 share)
{
	if (atomic_inc_return(&tdl_shakes_shares[share]) > TDL_SHAKES_SHARE_MAX)
		goto share;
	if (atomic_inc_return(&tdl_shakes_count) > TDL_SHAKES_MAX)
		goto all;
	return true;
all:
	atomic_dec(&tdl_shakes_count);
share:
	atomic_dec(&tdl_shakes_shares[share]);
	return false;
}

static void tdl_shakes_yield(u32 share)
{
	atomic_dec(&tdl_shakes_count);
	atomic_dec(&tdl_shakes_shares[share]);
}

enum tdl_shaken tdl_shake_look(const struct tdl_shake *shake, u32 *reason)
{
	/* Pairs with tdl_shake_end(): who sees it sees why. */
	enum tdl_shaken shaken = smp_load_acquire(&shake->shaken);

	*reason = shaken == TDL_SHAKEN_YET ? 0 : shake->reason;
	return shaken;
}

static u32 tdl_shake_reason(int error)
{
	switch (error) {
	case -EKEYREJECTED:
		return TDL_REASON_PEER;
	case -ENOKEY:
		return TDL_REASON_NO_SVID;
	case -ENOMEM:
		return TDL_REASON_NO_MEMORY;
	case -ENOTRECOVERABLE:
		return TDL_REASON_DEAD;
	}
	return TDL_REASON_HANDSHAKE;
}

/*
 * In the engine: begins, where it has not; hands a record over, where there is one; and takes what
 * is to be sent next.
 */
static void tdl_shake_core(void *data)
{
	struct tdl_shake *shake = data;
	ssize_t ret = 0;

	if (!shake->tls) {
		ret = -ENOKEY;
		/* It is there as long as it is held, and nobody but the engine takes it away. */
		if (shake->svid->identity)
			ret = tdl_engine_shake(shake->direction, shake->svid->identity,
					       tdl_trust_now(), shake->terms, &shake->tls);
	}
	if (!ret && shake->in) {
		ret = tdl_engine_receive(shake->tls, shake->in, shake->want);
		shake->open = ret == 1;
	}
	if (ret < 0)
		shake->failed = ret;
	ret = shake->tls ? tdl_engine_output(shake->tls, shake->out, sizeof(shake->out)) : 0;
	if (ret < 0 && !shake->failed)
		shake->failed = ret;
	shake->out_len = max_t(ssize_t, ret, 0);
	shake->out_sent = 0;
}

static void tdl_shake_take_records(void *data)
{
	struct tdl_shake *shake = data;

	shake->failed = tdl_engine_records(shake->tls, &shake->records);
	shake->tls = NULL;
}

static void tdl_shake_forget(void *data)
{
	struct tdl_shake *shake = data;

	tdl_engine_free(TDL_HELD_TLS, shake->tls);
	shake->tls = NULL;
}

/* It takes no place any more, whenever its owner comes to free it. */
static void tdl_shake_drop(struct tdl_shake *shake)
{
	if (shake->tls)
		tdl_engine_do(tdl_shake_forget, shake);
	kvfree(shake->in);
	shake->in = NULL;
	tdl_shakes_yield(shake->share);
}

static void tdl_shake_end(struct tdl_shake *shake, enum tdl_shaken shaken, u32 reason)
{
	tdl_shake_drop(shake);
	shake->reason = reason;
	/* Pairs with tdl_shake_look(). */
	smp_store_release(&shake->shaken, shaken);
	shake->fire(shake->data);
}

/* The record, if there is one, is done with. */
static void tdl_shake_next_record(struct tdl_shake *shake)
{
	kvfree(shake->in);
	shake->in = NULL;
	shake->have = 0;
	shake->want = TDL_RECORD_HEADER;
}

static int tdl_shake_send(struct tdl_shake *shake)
{
	struct msghdr msg = { .msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL };
	struct kvec vec = {
		.iov_base = shake->out + shake->out_sent,
		.iov_len = shake->out_len - shake->out_sent,
	};

	iov_iter_kvec(&msg.msg_iter, WRITE, &vec, 1, vec.iov_len);
	return shake->inner->sendmsg(shake->sock, &msg, vec.iov_len);
}

static int tdl_shake_receive(struct tdl_shake *shake)
{
	u8 *place = shake->in ? shake->in : shake->header;
	struct msghdr msg = { .msg_flags = MSG_DONTWAIT };
	struct kvec vec = {
		.iov_base = place + shake->have,
		.iov_len = shake->want - shake->have,
	};

	iov_iter_kvec(&msg.msg_iter, READ, &vec, 1, vec.iov_len);
	return shake->inner->recvmsg(shake->sock, &msg, vec.iov_len, MSG_DONTWAIT);
}

/* Sends what there is to be sent: 1 when that is all, 0 when there is no room, or an errno. */
static int tdl_shake_flush(struct tdl_shake *shake)
{
	int ret;

	while (shake->out_len) {
		while (shake->out_sent < shake->out_len) {
			ret = tdl_shake_send(shake);
			if (ret == -EAGAIN)
				return 0;
			if (ret <= 0)
				return ret ? ret : -EPIPE;
			shake->out_sent += ret;
		}
		/* There is more where it was full. */
		if (shake->out_len == sizeof(shake->out))
			tdl_engine_do(tdl_shake_core, shake);
		else
			shake->out_len = 0;
	}
	return 1;
}

/* A header is there. What is no TLS 1.2 or later is not waited for, nor what never ends. */
static int tdl_shake_header(struct tdl_shake *shake)
{
	const u8 *header = shake->header;
	size_t body = header[3] << 8 | header[4];

	if (header[0] < 20 || header[0] > 23 || header[1] != 3)
		return -EPROTO;
	if (!body || body > TDL_RECORD_BODY)
		return -EPROTO;
	shake->records_read++;
	shake->bytes_read += body;
	if (shake->records_read > TDL_SHAKE_RECORDS || shake->bytes_read > TDL_SHAKE_BYTES)
		return -EPROTO;
	shake->in = kvmalloc(TDL_RECORD_HEADER + body, GFP_KERNEL);
	if (!shake->in)
		return -ENOMEM;
	memcpy(shake->in, header, TDL_RECORD_HEADER);
	shake->want = TDL_RECORD_HEADER + body;
	return 0;
}

/* Reads on: 1 when a record is whole, 0 when there is nothing more, or an errno. */
static int tdl_shake_read(struct tdl_shake *shake)
{
	int ret;

	while (shake->have < shake->want) {
		ret = tdl_shake_receive(shake);
		if (ret == -EAGAIN)
			return 0;
		if (ret <= 0)
			return ret ? ret : -ECONNRESET;
		shake->have += ret;
		if (shake->have == shake->want && !shake->in) {
			ret = tdl_shake_header(shake);
			if (ret)
				return ret;
		}
	}
	return 1;
}

/* 1 when it is done, 0 when it waits, or an errno. */
static int tdl_shake_talk(struct tdl_shake *shake)
{
	int ret;

	/* It begins when there is something to answer: until then it costs little. */
	for (;;) {
		ret = tdl_shake_flush(shake);
		/* What has failed has failed, whether or not the peer hears of it. */
		if (shake->failed && ret)
			return shake->failed;
		if (ret <= 0)
			return ret;
		if (shake->open)
			return 1;
		ret = tdl_shake_read(shake);
		if (ret <= 0)
			return ret;
		tdl_engine_do(tdl_shake_core, shake);
		tdl_shake_next_record(shake);
	}
}

/* Whether it has the SVID, and goes on. */
static bool tdl_shake_has_identity(struct tdl_shake *shake)
{
	u32 reason;

	switch (tdl_svid_look(shake->svid, &reason)) {
	case TDL_SVID_WANTED:
		/* It may have been there, and is wanted again: the watch has fired then. */
		if (list_empty(&shake->watch.node))
			tdl_svid_watch(shake->svid, &shake->watch);
		return false;
	case TDL_SVID_HELD:
		shake->phase = TDL_SHAKE_TALK;
		/* No flight waits for what is on its way, nor an alert until it is too late. */
		tcp_sock_set_nodelay(shake->sock->sk);
		return true;
	case TDL_SVID_REFUSED:
		break;
	}
	tdl_shake_end(shake, TDL_SHAKEN_FAILED, reason);
	return false;
}

static void tdl_shake_step(struct tdl_shake *shake)
{
	int ret;

	if (READ_ONCE(shake->late)) {
		tdl_shake_end(shake, TDL_SHAKEN_FAILED, TDL_REASON_SLOW);
		return;
	}
	if (shake->phase == TDL_SHAKE_IDENTITY && !tdl_shake_has_identity(shake))
		return;
	ret = tdl_shake_talk(shake);
	if (!ret)
		return;
	if (ret > 0) {
		tdl_engine_do(tdl_shake_take_records, shake);
		ret = shake->failed;
	}
	if (ret)
		tdl_shake_end(shake, TDL_SHAKEN_FAILED, tdl_shake_reason(ret));
	else
		tdl_shake_end(shake, TDL_SHAKEN_DONE, 0);
}

static void tdl_shake_work(struct work_struct *work)
{
	struct tdl_shake *shake = container_of(work, struct tdl_shake, work);

	if (!READ_ONCE(shake->stopped) && shake->shaken == TDL_SHAKEN_YET)
		tdl_shake_step(shake);
}

static void tdl_shake_deadline(struct work_struct *work)
{
	struct tdl_shake *shake = container_of(to_delayed_work(work), struct tdl_shake, deadline);

	WRITE_ONCE(shake->late, true);
	queue_work(tdl_shakes_wq, &shake->work);
}

static void tdl_shake_fire(struct tdl_watch *watch)
{
	struct tdl_shake *shake = container_of(watch, struct tdl_shake, watch);

	queue_work(tdl_shakes_wq, &shake->work);
}

/* The socket may have bytes, or room, or another state. With the lock of its wait queue held. */
static int tdl_shake_wake(struct wait_queue_entry *wait, unsigned int mode, int sync, void *key)
{
	struct tdl_shake *shake = container_of(wait, struct tdl_shake, wait);

	queue_work(tdl_shakes_wq, &shake->work);
	return 0;
}

/*
 * Of a connection whose verdict is for mTLS, at this socket, which is nobody else's; takes over
 * what the case has for that. When it is over it fires once, in a worker. -ENOBUFS: there are too
 * many.
 */
struct tdl_shake *tdl_shake_new(struct socket *sock, const struct proto_ops *inner,
				struct tdl_case *c, u32 share, void (*fire)(void *data),
				void *data)
{
	struct tdl_shake *shake;

	if (!tdl_shakes_claim(share))
		return ERR_PTR(-ENOBUFS);
	shake = kzalloc(sizeof(*shake), GFP_KERNEL_ACCOUNT);
	if (!shake) {
		tdl_shakes_yield(share);
		return ERR_PTR(-ENOMEM);
	}
	shake->share = share;
	shake->direction = c->direction;
	shake->sock = sock;
	shake->inner = inner;
	swap(shake->svid, c->svid);
	swap(shake->terms, c->verdict.terms);
	shake->fire = fire;
	shake->data = data;
	shake->want = TDL_RECORD_HEADER;
	INIT_WORK(&shake->work, tdl_shake_work);
	INIT_DELAYED_WORK(&shake->deadline, tdl_shake_deadline);
	INIT_LIST_HEAD(&shake->watch.node);
	shake->watch.fire = tdl_shake_fire;
	init_waitqueue_func_entry(&shake->wait, tdl_shake_wake);
	INIT_LIST_HEAD(&shake->wait.entry);
	return shake;
}

/* From here on it may fire. The owner's lock may be held, of those that softirq takes as well. */
void tdl_shake_start(struct tdl_shake *shake)
{
	struct sock *sk = shake->sock->sk;

	shake->started = true;
	/* Inherited from the listener: whoever wants more at once does not mean this. */
	WRITE_ONCE(sk->sk_rcvlowat, 1);
	queue_delayed_work(tdl_shakes_wq, &shake->deadline,
			   msecs_to_jiffies(tdl_policy_deadline_ms()));
	add_wait_queue(sk_sleep(sk), &shake->wait);
	/* What was there before it waited. The SVID it watches itself, and nobody else does. */
	queue_work(tdl_shakes_wq, &shake->work);
}

/*
 * Nothing of it goes on; it does not fire any more. Whether it would have. Sleeps, but not for the
 * peer.
 */
bool tdl_shake_stop(struct tdl_shake *shake)
{
	WRITE_ONCE(shake->stopped, true);
	if (!list_empty(&shake->wait.entry)) {
		remove_wait_queue(sk_sleep(shake->sock->sk), &shake->wait);
		INIT_LIST_HEAD(&shake->wait.entry);
	}
	/* It queues the work. */
	cancel_delayed_work_sync(&shake->deadline);
	/* Then it does nothing; what it has watched may queue it. */
	cancel_work_sync(&shake->work);
	tdl_svid_unwatch(&shake->watch);
	cancel_work_sync(&shake->work);
	return shake->started && shake->shaken == TDL_SHAKEN_YET;
}

/* After it was stopped, or was never started. */
void tdl_shake_free(struct tdl_shake *shake)
{
	if (shake->shaken == TDL_SHAKEN_YET)
		tdl_shake_drop(shake);
	tdl_svid_put(shake->svid);
	tdl_terms_put(shake->terms);
	/* The keys of its records. */
	memzero_explicit(&shake->records, sizeof(shake->records));
	kfree(shake);
}

int tdl_shakes_init(void)
{
	/* Unbound: a step waits for the engine. */
	tdl_shakes_wq = alloc_workqueue("tidelock_shakes", WQ_UNBOUND, TDL_SHAKES_AT_ONCE);
	return tdl_shakes_wq ? 0 : -ENOMEM;
}

/* All were stopped. */
void tdl_shakes_exit(void)
{
	destroy_workqueue(tdl_shakes_wq);
}
