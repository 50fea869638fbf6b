// SPDX-License-Identifier: GPL-2.0-only
/*
 * The engine runs the Rust core: one call at a time, in an ordered workqueue, on a private
 * stack, in process context and without any lock.
 *
 * When the core panics the engine is dead: the call that panicked fails with
 * -ENOTRECOVERABLE, and so does every later one, save the hello frame, which says so and
 * for which the core needs neither memory nor state. Nothing hangs, nothing is leaked, and
 * the module can be unloaded and loaded again.
 *
 * The ordered workqueue is the lock of all that is not said to be read by others.
 */
#include <linux/atomic.h>
#include <linux/cc_platform.h>
#include <linux/ctype.h>
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/printk.h>
#include <linux/sched.h>
#include <asm-generic/kprobes.h>

#include "caps.h"
#include "compat.h"
#include "core_call.h"
#include "engine.h"
#include "memory.h"
#include "stack.h"

/* Of a panic's message, in the log. */
#define TDL_LAST_WORDS 240

static struct workqueue_struct *tdl_wq;
static struct tdl_stack tdl_stack;
static struct task_struct *tdl_runner;	/* the task below a call into the core */

/* Read by others. */
static bool tdl_dead;
static u32 tdl_high_water;
static atomic64_t tdl_calls;
static atomic64_t tdl_panics;
static atomic64_t tdl_frames_refused;

bool tdl_engine_is_dead(void)
{
	/* Pairs with tdl_engine_bury(): who sees it dead sees it cleaned up. */
	return smp_load_acquire(&tdl_dead);
}

void tdl_engine_count_refused(void)
{
	atomic64_inc(&tdl_frames_refused);
}

void tdl_engine_use(struct tdl_engine_use *use)
{
	use->calls = atomic64_read(&tdl_calls);
	use->panics = atomic64_read(&tdl_panics);
	use->frames_refused = atomic64_read(&tdl_frames_refused);
	use->stack_high_water = READ_ONCE(tdl_high_water);
}

/* Whether the current task is inside the core: nobody else can have set it to current. */
bool tdl_engine_is_here(void)
{
	return READ_ONCE(tdl_runner) == current;
}

static void tdl_engine_measure(void)
{
	size_t used = tdl_stack_clean(&tdl_stack);

	if (used > tdl_high_water)
		WRITE_ONCE(tdl_high_water, used);
	if (used > TDL_CORE_STACK / 2)
		pr_warn_once("the core used %zu of %u bytes of stack: over half of it\n",
			     used, TDL_CORE_STACK);
}

/* What the core leaves behind after a panic: it never runs again, save for the hello frame. */
static void tdl_engine_bury(void)
{
	unsigned long blocks = tdl_memory_release();

	pr_info("freed %lu blocks of the dead core\n", blocks);
	/* Pairs with tdl_engine_is_dead(). */
	smp_store_release(&tdl_dead, true);
}

/* Lengths that the core gives are believed only as far as they fit. */
static ssize_t tdl_engine_run(struct tdl_core_call *call)
{
	bool abandoned;

	if (tdl_engine_is_dead() && call->op != TDL_CORE_HELLO)
		return -ENOTRECOVERABLE;

	atomic64_inc(&tdl_calls);
	WRITE_ONCE(tdl_runner, current);
	abandoned = tdl_stack_enter(&tdl_stack, call);
	WRITE_ONCE(tdl_runner, NULL);
	tdl_engine_measure();

	if (abandoned) {
		tdl_engine_bury();
		return -ENOTRECOVERABLE;
	}
	if (call->result > (ssize_t)call->out_len)
		return -EIO;
	return call->result;
}

ssize_t tdl_engine_hello(u8 *out, size_t cap)
{
	const struct tdl_hello hello = {
		.capabilities = tdl_caps(),
		.engine_state = tdl_engine_is_dead() ? TDL_ENGINE_DEAD : TDL_ENGINE_READY,
		.panics = atomic64_read(&tdl_panics),
		.frames_refused = atomic64_read(&tdl_frames_refused),
	};
	struct tdl_core_call call = {
		.op = TDL_CORE_HELLO,
		.hello = &hello,
		.out = out,
		.out_len = cap,
	};

	return tdl_engine_run(&call);
}

ssize_t tdl_engine_check(const u8 *in, size_t len)
{
	struct tdl_core_call call = {
		.op = TDL_CORE_CHECK,
		.in = in,
		.in_len = len,
	};

	return tdl_engine_run(&call);
}

/*
 * Acts on a frame, then tells in the answer, if it has a place for that, what stack it took.
 * 0 when order says what is left to do.
 */
ssize_t tdl_engine_frame(const u8 *in, size_t len, u8 *out, size_t cap,
			 struct tdl_order *order)
{
	struct tdl_core_call call = {
		.op = TDL_CORE_FRAME,
		.in = in,
		.in_len = len,
		.out = out,
		.out_len = cap,
		.order = order,
	};
	struct tdl_core_call stamp = {
		.op = TDL_CORE_STAMP,
		.out = out,
	};
	ssize_t written = tdl_engine_run(&call);
	ssize_t ret;

	if (written <= 0)
		return written;
	stamp.out_len = written;
	stamp.high_water = tdl_high_water;
	ret = tdl_engine_run(&stamp);
	return ret < 0 ? ret : written;
}

ssize_t tdl_engine_status(u64 id, const struct tdl_status *status, u8 *out, size_t cap)
{
	struct tdl_core_call call = {
		.op = TDL_CORE_STATUS,
		.id = id,
		.status = status,
		.out = out,
		.out_len = cap,
	};

	return tdl_engine_run(&call);
}

ssize_t tdl_engine_ask(u64 id, const struct tdl_ask_facts *facts, u8 *out, size_t cap)
{
	struct tdl_core_call call = {
		.op = TDL_CORE_ASK,
		.id = id,
		.facts = facts,
		.out = out,
		.out_len = cap,
	};

	return tdl_engine_run(&call);
}

ssize_t tdl_engine_sign(u64 id, const struct tdl_ask_facts *facts, const struct tdl_terms *terms,
			u8 *out, size_t cap, struct tdl_key_waiting **key)
{
	struct tdl_core_call call = {
		.op = TDL_CORE_SIGN,
		.id = id,
		.facts = facts,
		.terms = terms,
		.out = out,
		.out_len = cap,
	};
	ssize_t len = tdl_engine_run(&call);

	/* NULL unless it was made. */
	*key = call.key;
	return len;
}

ssize_t tdl_engine_certify(struct tdl_key_waiting *key, const u8 *in, size_t in_len,
			   struct tdl_identity **identity, u64 *until)
{
	struct tdl_core_call call = {
		.op = TDL_CORE_CERTIFY,
		.key = key,
		.in = in,
		.in_len = in_len,
	};
	ssize_t ret = tdl_engine_run(&call);

	*identity = call.identity;
	*until = call.until;
	return ret;
}

ssize_t tdl_engine_trust(struct tdl_trust *old, const u8 *in, size_t in_len,
			 u8 *out, size_t cap, struct tdl_trust **new)
{
	struct tdl_core_call call = {
		.op = TDL_CORE_TRUST,
		.trust = old,
		.in = in,
		.in_len = in_len,
		.out = out,
		.out_len = cap,
	};
	ssize_t len = tdl_engine_run(&call);

	*new = len > 0 ? call.trust : NULL;
	return len;
}

ssize_t tdl_engine_shake(u32 direction, struct tdl_identity *identity, struct tdl_trust *trust,
			 const struct tdl_terms *terms, struct tdl_tls **tls)
{
	struct tdl_core_call call = {
		.op = TDL_CORE_SHAKE,
		.kind = direction,
		.identity = identity,
		.trust = trust,
		.terms = terms,
	};
	ssize_t ret = tdl_engine_run(&call);

	/* NULL unless it has begun. */
	*tls = call.tls;
	return ret;
}

ssize_t tdl_engine_receive(struct tdl_tls *tls, const u8 *in, size_t in_len)
{
	struct tdl_core_call call = {
		.op = TDL_CORE_RECEIVE,
		.tls = tls,
		.in = in,
		.in_len = in_len,
		/* The result is no length. */
		.out_len = 1,
	};

	return tdl_engine_run(&call);
}

ssize_t tdl_engine_output(struct tdl_tls *tls, u8 *out, size_t cap)
{
	struct tdl_core_call call = {
		.op = TDL_CORE_OUTPUT,
		.tls = tls,
		.out = out,
		.out_len = cap,
	};

	return tdl_engine_run(&call);
}

ssize_t tdl_engine_records(struct tdl_tls *tls, struct tdl_records *records)
{
	struct tdl_core_call call = {
		.op = TDL_CORE_RECORDS,
		.tls = tls,
		.records = records,
	};

	return tdl_engine_run(&call);
}

/* What a dead core had given away is gone already. */
void tdl_engine_free(enum tdl_held_kind kind, void *what)
{
	struct tdl_core_call call = {
		.op = TDL_CORE_FREE,
		.kind = kind,
		.held = what,
	};

	tdl_engine_run(&call);
}

/*
 * The message comes from code that has just failed, so only printable characters of it, and
 * not too many, reach the log.
 */
static void tdl_engine_last_words(const u8 *msg, size_t len)
{
	/* Not on the stack, of which little may be left. Nobody else is here. */
	static char text[TDL_LAST_WORDS + 1];
	size_t i;

	len = min_t(size_t, len, TDL_LAST_WORDS);
	for (i = 0; i < len; i++)
		text[i] = isascii(msg[i]) && isprint(msg[i]) ? msg[i] : '?';
	text[len] = '\0';

	if (atomic64_inc_return(&tdl_panics) == 1)
		pr_crit("the core panicked, the engine is dead: %s\n", text);
}

/*
 * Called by the core on the private stack; leaves it, back into tdl_engine_run(). This frame
 * is left behind: see the rules in stack_x86.c.
 *
 * There is no way to get here on any other stack or task. Should there ever be one, then
 * neither returning nor stopping the machine is an option: the task sleeps for ever and
 * keeps the module, whose code it is in.
 */
notrace __no_sanitize_address
void tdl_core_panicked(const u8 *msg, size_t len)
{
	tdl_engine_last_words(msg, len);
	if (tdl_engine_is_here() && tdl_stack_holds(&tdl_stack, __builtin_frame_address(0)))
		tdl_stack_abandon(&tdl_stack);

	pr_err("the core panicked outside of the engine: the module stays\n");
	/* Pairs with tdl_engine_is_dead(). */
	smp_store_release(&tdl_dead, true);
	__module_get(THIS_MODULE);
	/*
	 * Always: it never comes alive again. Not a plain loop, so that objtool, which sees the
	 * core's call of this alone or the linked module, comes to the same opinion in both.
	 */
	while (tdl_engine_is_dead()) {
		set_current_state(TASK_UNINTERRUPTIBLE);
		schedule();
	}
}

NOKPROBE_SYMBOL(tdl_core_panicked);

bool tdl_engine_queue(struct work_struct *work)
{
	return queue_work(tdl_wq, work);
}

bool tdl_engine_queue_later(struct delayed_work *work, unsigned long delay)
{
	return queue_delayed_work(tdl_wq, work, delay);
}

struct tdl_engine_job {
	struct work_struct work;
	void (*act)(void *data);
	void *data;
};

static void tdl_engine_job_work(struct work_struct *work)
{
	struct tdl_engine_job *job = container_of(work, struct tdl_engine_job, work);

	job->act(job->data);
}

/* Has the engine do it, and waits until it is done. */
void tdl_engine_do(void (*act)(void *data), void *data)
{
	struct tdl_engine_job job = { .act = act, .data = data };

	INIT_WORK_ONSTACK(&job.work, tdl_engine_job_work);
	queue_work(tdl_wq, &job.work);
	flush_work(&job.work);
	destroy_work_on_stack(&job.work);
}

int tdl_engine_init(void)
{
	int ret;

	/*
	 * An interrupt may need the hypervisor there, and #VC on a stack that the kernel does
	 * not know ends in a panic of the whole machine (vc_from_invalid_context()).
	 */
	if (cc_platform_has(CC_ATTR_GUEST_STATE_ENCRYPT)) {
		pr_err("guests with encrypted state (SEV-ES, SEV-SNP) are not supported\n");
		return -EOPNOTSUPP;
	}

	ret = tdl_stack_init(&tdl_stack);
	if (ret)
		return ret;
	/*
	 * Ordered: one call at a time. Unbound, because a call may take a while, and ordered
	 * queues are.
	 */
	tdl_wq = alloc_ordered_workqueue("tidelock", 0);
	if (!tdl_wq) {
		tdl_stack_exit(&tdl_stack);
		return -ENOMEM;
	}
	return 0;
}

/* Nobody queues work any more; what is queued ends first. */
void tdl_engine_exit(void)
{
	destroy_workqueue(tdl_wq);
	tdl_memory_exit();
	tdl_stack_exit(&tdl_stack);
}
