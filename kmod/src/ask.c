// SPDX-License-Identifier: GPL-2.0-only
/*
 * Questions to the daemon that wait for its verdict.
 *
 * There is one question for a process and a purpose, however many of its threads wait. It ends
 * with a verdict: of the daemon, or, when that does not come in time, our own refusal. It
 * outlives the daemon: the next one to open the device is asked again.
 *
 * One spinlock holds all of it, the innermost of all. It is taken in process context only, but
 * below others that softirq takes as well, hence with softirq off. Nothing is done under it but
 * that. Who has a reference may read what never changes, and, once done is completed, the
 * verdict.
 *
 * References: one for who opened it, one for the table, one for the deadline.
 */
#include <linux/hashtable.h>
#include <linux/jhash.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#include "ask.h"
#include "cache.h"
#include "counters.h"
#include "policy.h"
#include "session.h"
#include "terms.h"
#include "trace.h"

/* More than this wait for a verdict: refused at once, so that memory is bounded. */
#define TDL_ASKS_MAX 8192
/* More than this of one share: it does not fill the table for the others. */
#define TDL_ASKS_SHARE_MAX 1024

static DEFINE_SPINLOCK(tdl_asks_lock);
static DEFINE_HASHTABLE(tdl_asks_by_id, 10);
static DEFINE_HASHTABLE(tdl_asks_by_key, 10);
static LIST_HEAD(tdl_asks_unsent);
static u32 tdl_asks_waiting;
static u16 tdl_asks_shares[TDL_SHARES];
static u64 tdl_asks_last_id;
static bool tdl_asks_over;		/* nobody is asked: the module is withdrawn, or goes */
static struct workqueue_struct *tdl_asks_wq;

static u32 tdl_ask_hash(const struct tdl_key *key, const struct tdl_process *process)
{
	return jhash(key, sizeof(*key), process->tgid);
}

void tdl_ask_put(struct tdl_ask *ask)
{
	if (!refcount_dec_and_test(&ask->refs))
		return;
	tdl_terms_put(ask->verdict.terms);
	tdl_asker_put(ask->asker);
	kfree(ask);
}

/* With the lock held. The one of this process for this purpose, with a reference. */
static struct tdl_ask *tdl_ask_find(const struct tdl_key *key, const struct tdl_process *process)
{
	struct tdl_ask *ask;

	hash_for_each_possible(tdl_asks_by_key, ask, by_key, tdl_ask_hash(key, process)) {
		if (tdl_asker_is(ask->asker, process) &&
		    tdl_ident_is_same(&ask->asker->key, key)) {
			refcount_inc(&ask->refs);
			return ask;
		}
	}
	return NULL;
}

/* With the lock held. */
static void tdl_ask_publish(struct tdl_ask *ask)
{
	ask->id = ++tdl_asks_last_id;
	hash_add(tdl_asks_by_id, &ask->by_id, ask->id);
	hash_add(tdl_asks_by_key, &ask->by_key,
		 tdl_ask_hash(&ask->asker->key, &ask->asker->process));
	list_add_tail(&ask->unsent, &tdl_asks_unsent);
	tdl_asks_shares[ask->share]++;
	WRITE_ONCE(tdl_asks_waiting, tdl_asks_waiting + 1);
}

/* Ends it, once: whoever comes second changes nothing. Whether it was the first. */
static bool tdl_ask_settle(struct tdl_ask *ask, const struct tdl_verdict *verdict)
{
	spin_lock_bh(&tdl_asks_lock);
	if (ask->decided) {
		spin_unlock_bh(&tdl_asks_lock);
		return false;
	}
	ask->verdict = *verdict;
	tdl_terms_get(verdict->terms);
	ask->decided = true;
	hash_del(&ask->by_id);
	hash_del(&ask->by_key);
	list_del_init(&ask->unsent);
	tdl_asks_shares[ask->share]--;
	WRITE_ONCE(tdl_asks_waiting, tdl_asks_waiting - 1);
	/* Before the works: they may look at once. */
	complete_all(&ask->done);
	tdl_watches_fire(&ask->watches);
	spin_unlock_bh(&tdl_asks_lock);

	if (cancel_delayed_work(&ask->deadline))
		tdl_ask_put(ask);
	/* The table's. */
	tdl_ask_put(ask);
	return true;
}

static void tdl_ask_trace_timeout(const struct tdl_ask *ask)
{
	const struct tdl_asker *asker = ask->asker;
	const struct tdl_case c = {
		.direction = asker->key.direction,
		.local = asker->local,
		.remote = asker->remote,
		.uid = asker->key.uid,
		.cgroup = asker->key.cgroup,
		.process = asker->process,
		.verdict = ask->verdict,
	};

	trace_tidelock_timeout(&c);
}

static void tdl_ask_deadline(struct work_struct *work)
{
	struct tdl_ask *ask = container_of(to_delayed_work(work), struct tdl_ask, deadline);
	const struct tdl_verdict verdict = {
		.decision = TDL_DENY,
		.reason = TDL_REASON_TIMEOUT,
		.generation = tdl_policy_generation(),
	};

	if (tdl_ask_settle(ask, &verdict)) {
		tdl_count(timeouts);
		tdl_ask_trace_timeout(ask);
	}
	tdl_ask_put(ask);
}

static struct tdl_ask *tdl_ask_alloc(const struct tdl_key *key, const struct tdl_process *process,
				     const struct tdl_address *local,
				     const struct tdl_address *remote)
{
	/* Charged to who makes us ask. */
	struct tdl_ask *ask = kzalloc(sizeof(*ask), GFP_KERNEL_ACCOUNT);

	if (!ask)
		return NULL;
	ask->asker = tdl_asker_new(key, process, local, remote);
	if (!ask->asker) {
		kfree(ask);
		return NULL;
	}
	/* The opener's, the table's and the deadline's. */
	refcount_set(&ask->refs, 3);
	ask->share = tdl_ident_share(key);
	INIT_LIST_HEAD(&ask->unsent);
	INIT_LIST_HEAD(&ask->watches);
	init_completion(&ask->done);
	INIT_DELAYED_WORK(&ask->deadline, tdl_ask_deadline);
	return ask;
}

static void tdl_ask_free_unpublished(struct tdl_ask *ask)
{
	tdl_asker_put(ask->asker);
	kfree(ask);
}

/* With the lock held. */
static bool tdl_asks_are_full(u32 share)
{
	return tdl_asks_over || tdl_asks_waiting >= TDL_ASKS_MAX ||
	       tdl_asks_shares[share] >= TDL_ASKS_SHARE_MAX;
}

/*
 * The question of this process for this purpose, with a reference: one that waits already, or a
 * new one. In the context of the asking task; sleeps. -ENOBUFS when too many wait.
 */
struct tdl_ask *tdl_ask_open(const struct tdl_key *key, const struct tdl_process *process,
			     const struct tdl_address *local, const struct tdl_address *remote)
{
	struct tdl_ask *ask, *other;
	int ret = 0;

	spin_lock_bh(&tdl_asks_lock);
	ask = tdl_ask_find(key, process);
	if (!ask && tdl_asks_are_full(tdl_ident_share(key)))
		ret = -ENOBUFS;
	spin_unlock_bh(&tdl_asks_lock);
	if (ask || ret)
		return ask ? ask : ERR_PTR(ret);

	ask = tdl_ask_alloc(key, process, local, remote);
	if (!ask)
		return ERR_PTR(-ENOMEM);
	spin_lock_bh(&tdl_asks_lock);
	other = tdl_ask_find(key, process);
	if (!other && tdl_asks_are_full(ask->share))
		ret = -ENOBUFS;
	if (!other && !ret) {
		tdl_ask_publish(ask);
		/* Under the lock: settling cancels it, and must find it queued. */
		queue_delayed_work(tdl_asks_wq, &ask->deadline,
				   msecs_to_jiffies(tdl_policy_deadline_ms()));
	}
	spin_unlock_bh(&tdl_asks_lock);
	if (other || ret) {
		tdl_ask_free_unpublished(ask);
		return other ? other : ERR_PTR(ret);
	}
	tdl_count(asks);
	tdl_session_feed();
	return ask;
}

/* Pairs with the completion: who sees it true sees the verdict. */
bool tdl_ask_is_decided(const struct tdl_ask *ask)
{
	return completion_done((struct completion *)&ask->done);
}

/* Fires when the question is decided, or at once when it is. */
void tdl_ask_watch(struct tdl_ask *ask, struct tdl_watch *watch)
{
	spin_lock_bh(&tdl_asks_lock);
	if (ask->decided)
		watch->fire(watch);
	else
		list_add_tail(&watch->node, &ask->watches);
	spin_unlock_bh(&tdl_asks_lock);
}

/* It does not fire after this. Whether it has been kept from that. */
bool tdl_ask_unwatch(struct tdl_watch *watch)
{
	bool armed;

	spin_lock_bh(&tdl_asks_lock);
	armed = !list_empty(&watch->node);
	list_del_init(&watch->node);
	spin_unlock_bh(&tdl_asks_lock);
	return armed;
}

u32 tdl_asks_count(void)
{
	return READ_ONCE(tdl_asks_waiting);
}

/* For a daemon that knows of none yet. */
void tdl_asks_send_again(void)
{
	struct tdl_ask *ask;
	int bucket;

	spin_lock_bh(&tdl_asks_lock);
	hash_for_each(tdl_asks_by_id, bucket, ask, by_id) {
		if (list_empty(&ask->unsent))
			list_add_tail(&ask->unsent, &tdl_asks_unsent);
	}
	spin_unlock_bh(&tdl_asks_lock);
}

/* The next one to be sent, with a reference; NULL when all are. */
struct tdl_ask *tdl_asks_next(void)
{
	struct tdl_ask *ask;

	spin_lock_bh(&tdl_asks_lock);
	ask = list_first_entry_or_null(&tdl_asks_unsent, struct tdl_ask, unsent);
	if (ask) {
		list_del_init(&ask->unsent);
		refcount_inc(&ask->refs);
	}
	spin_unlock_bh(&tdl_asks_lock);
	return ask;
}

static struct tdl_ask *tdl_ask_by_id(u64 id)
{
	struct tdl_ask *ask;

	spin_lock_bh(&tdl_asks_lock);
	hash_for_each_possible(tdl_asks_by_id, ask, by_id, id) {
		if (ask->id == id) {
			refcount_inc(&ask->refs);
			spin_unlock_bh(&tdl_asks_lock);
			return ask;
		}
	}
	spin_unlock_bh(&tdl_asks_lock);
	return NULL;
}

/* By another policy than the one in force: it has to be asked once more. */
static void tdl_ask_again(struct tdl_ask *ask)
{
	tdl_count(stale);
	spin_lock_bh(&tdl_asks_lock);
	if (!ask->decided && list_empty(&ask->unsent))
		list_add_tail(&ask->unsent, &tdl_asks_unsent);
	spin_unlock_bh(&tdl_asks_lock);
	tdl_session_feed();
}

/* What a verdict for mTLS says; NULL when there is no room for it. */
static struct tdl_terms *tdl_ask_terms(const struct tdl_ask *ask, const struct tdl_order *order,
				       const u8 *in, size_t in_len)
{
	struct tdl_terms *terms = tdl_terms_new(order, in, in_len);
	int try;

	for (try = 0; !terms && try < 3; try++) {
		tdl_cache_make_room(ask->share, try);
		terms = tdl_terms_new(order, in, in_len);
	}
	return terms;
}

/* For who waits and who asks again, as far as it can be kept: what mTLS needs takes memory. */
static void tdl_ask_decide(struct tdl_ask *ask, const struct tdl_order *order, const u8 *in,
			   size_t in_len)
{
	struct tdl_verdict verdict = {
		.decision = order->decision,
		.reason = order->reason,
		.generation = order->generation,
	};

	if (verdict.decision == TDL_MTLS) {
		verdict.terms = tdl_ask_terms(ask, order, in, in_len);
		if (!verdict.terms) {
			verdict.decision = TDL_DENY;
			verdict.reason = TDL_REASON_NO_MEMORY;
		}
	}
	/* First, so that who is told finds it. */
	if (verdict.decision == order->decision)
		tdl_cache_keep(&ask->asker->key, &verdict, order->ttl_ms);
	if (!tdl_ask_settle(ask, &verdict))
		tdl_count(late);
	tdl_terms_put(verdict.terms);
}

/* The daemon's verdict, by an order and its frame. Sleeps. */
void tdl_asks_verdict(const struct tdl_order *order, const u8 *in, size_t in_len)
{
	struct tdl_ask *ask = tdl_ask_by_id(order->id);

	if (!ask) {
		tdl_count(late);
		return;
	}
	if (order->generation != tdl_policy_generation())
		tdl_ask_again(ask);
	else
		tdl_ask_decide(ask, order, in, in_len);
	tdl_ask_put(ask);
}

static struct tdl_ask *tdl_ask_any(void)
{
	struct tdl_ask *ask;
	int bucket;

	spin_lock_bh(&tdl_asks_lock);
	hash_for_each(tdl_asks_by_id, bucket, ask, by_id) {
		refcount_inc(&ask->refs);
		spin_unlock_bh(&tdl_asks_lock);
		return ask;
	}
	spin_unlock_bh(&tdl_asks_lock);
	return NULL;
}

static void tdl_asks_set_over(bool over)
{
	spin_lock_bh(&tdl_asks_lock);
	tdl_asks_over = over;
	spin_unlock_bh(&tdl_asks_lock);
}

/* Nobody is asked until tdl_asks_resume(): the mode is off, and who waits goes on. */
void tdl_asks_end(void)
{
	const struct tdl_verdict verdict = {
		.decision = TDL_PLAIN,
		.reason = TDL_REASON_OFF,
	};
	struct tdl_ask *ask;

	tdl_asks_set_over(true);
	while ((ask = tdl_ask_any())) {
		tdl_ask_settle(ask, &verdict);
		tdl_ask_put(ask);
	}
}

void tdl_asks_resume(void)
{
	tdl_asks_set_over(false);
}

int tdl_asks_init(void)
{
	/* Unbound: nothing here is about one processor. */
	tdl_asks_wq = alloc_workqueue("tidelock_asks", WQ_UNBOUND, 0);
	return tdl_asks_wq ? 0 : -ENOMEM;
}

/* After tdl_asks_end(): waits for deadlines that have begun. */
void tdl_asks_exit(void)
{
	destroy_workqueue(tdl_asks_wq);
}
