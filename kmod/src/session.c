// SPDX-License-Identifier: GPL-2.0-only
/*
 * What one opener of the device says and is told.
 *
 * write(2) hands one frame to the engine and waits for the verdict, which comes at once: the
 * engine is idle then, and the check is short. What the frame asks for is done after that,
 * and the answer waits for read(2). One frame at a time is in the engine's hands; a second
 * write(2) waits until it is done, or gets EAGAIN.
 *
 * Locks, outermost first:
 *  - reading, writing: mutexes, one read and one write at a time, held while sleeping and
 *    while copying from and to user space;
 *  - lock: a spinlock around the queue and busy, never held while doing anything else.
 * The engine's work takes only the spinlock, so whoever holds a mutex may wait for the work.
 *
 * Questions for a verdict (ask.c) come by themselves, as the engine's second work. They wait in a
 * queue of their own, so that an answer always has room, and answers are read first.
 *
 * Nothing here waits in open(2), which holds a lock of all misc devices: the first frame, the
 * hello, is the engine's first work for a session, and read(2) and poll(2) wait for it.
 */
#include <linux/completion.h>
#include <linux/err.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "ask.h"
#include "engine.h"
#include "frame.h"
#include "obey.h"
#include "policy.h"
#include "question.h"
#include "session.h"
#include "svid.h"

/* Frames that user space has not read yet; then it must read before it may write. */
#define TDL_UNREAD_MAX 16
/* Questions that user space has not read yet; the others wait as they are, which is smaller. */
#define TDL_QUESTIONS_MAX 32
/* Made at once: some make a key. */
#define TDL_QUESTIONS_AT_ONCE 4

struct tdl_session {
	struct mutex reading;		/* one read(2) at a time: the first frame stays the first */
	struct mutex writing;		/* one write(2) at a time, until it knows the verdict */
	spinlock_t lock;		/* of the queue and of busy */
	wait_queue_head_t wait;		/* for a change of unread, busy or the engine's death */
	atomic_t turned_away;		/* who would not wait for a mutex waits for that */
	struct tdl_frames unread;	/* under lock */
	struct tdl_frames questions;	/* under lock */
	bool busy;			/* under lock: the work below is the engine's */
	bool greeted;			/* the engine's alone: the hello has been made */
	bool svids_turn;		/* the engine's alone: see question.c */
	struct work_struct feed;	/* the engine's */
	u8 question[TDL_FRAME_MAX];	/* the engine's: one is as long as it is when it is made */

	/* The engine's from queueing the work until it clears busy, else the writer's. */
	struct work_struct work;
	struct tdl_frame *answer;
	struct tdl_order order;
	size_t in_len;
	u8 in[TDL_FRAME_MAX];

	/* Written by the work before it completes decided, read after by who holds writing. */
	struct completion decided;
	ssize_t verdict;
};

/* The one session there is, for who has a question. Under its lock, taken in process context. */
static DEFINE_SPINLOCK(tdl_session_lock_current);
static struct tdl_session *tdl_session_current;

bool tdl_session_is_open(void)
{
	return READ_ONCE(tdl_session_current);
}

void tdl_session_feed(void)
{
	spin_lock(&tdl_session_lock_current);
	if (tdl_session_current)
		tdl_engine_queue(&tdl_session_current->feed);
	spin_unlock(&tdl_session_lock_current);
}

static void tdl_session_set_current(struct tdl_session *s)
{
	spin_lock(&tdl_session_lock_current);
	WRITE_ONCE(tdl_session_current, s);
	spin_unlock(&tdl_session_lock_current);
}

/* Whether write(2) need not wait: for the engine and for room, or because it is dead. */
static bool tdl_session_may_write(struct tdl_session *s)
{
	bool may;

	spin_lock(&s->lock);
	may = !s->busy && s->unread.count < TDL_UNREAD_MAX;
	spin_unlock(&s->lock);
	return may || tdl_engine_is_dead();
}

static struct tdl_frame *tdl_session_first(struct tdl_session *s)
{
	struct tdl_frame *frame;

	spin_lock(&s->lock);
	frame = tdl_frames_first(&s->unread);
	if (!frame)
		frame = tdl_frames_first(&s->questions);
	spin_unlock(&s->lock);
	return frame;
}

/* Whether there is no frame, and will never be one: nothing is in the hands of a dead engine. */
static bool tdl_session_is_over(struct tdl_session *s)
{
	/* First, so that a frame that was queued before the death is seen below. */
	bool over = tdl_engine_is_dead();

	spin_lock(&s->lock);
	over = over && !s->busy && !tdl_frames_first(&s->unread) &&
	       !tdl_frames_first(&s->questions);
	spin_unlock(&s->lock);
	return over;
}

/* Whether read(2) need not wait. */
static bool tdl_session_may_read(struct tdl_session *s)
{
	return tdl_session_first(s) || tdl_session_is_over(s);
}

/* The frame in the engine's hands is done; answer may be NULL. */
static void tdl_session_done(struct tdl_session *s, struct tdl_frame *answer)
{
	spin_lock(&s->lock);
	if (answer)
		tdl_frames_push(&s->unread, answer);
	s->busy = false;
	spin_unlock(&s->lock);
	wake_up_all(&s->wait);
}

/* In the engine: the first frame of every session. Should it fail, read(2) returns the errno. */
static void tdl_session_greet(struct tdl_session *s, struct tdl_frame *answer)
{
	answer->len = tdl_engine_hello(answer->data, answer->cap);
	s->greeted = true;
	tdl_session_done(s, answer);
	/* Who waits has been waiting for a daemon. */
	tdl_asks_send_again();
	tdl_svids_send_again();
	tdl_engine_queue(&s->feed);
}

static bool tdl_session_has_room(struct tdl_session *s)
{
	bool room;

	spin_lock(&s->lock);
	room = s->questions.count < TDL_QUESTIONS_MAX;
	spin_unlock(&s->lock);
	return room;
}

/* In the engine: what is in s->question as a frame; NULL when there is no memory. */
static struct tdl_frame *tdl_session_frame(struct tdl_session *s, size_t len)
{
	struct tdl_frame *frame = tdl_frame_alloc(len);

	if (!frame)
		return NULL;
	frame->len = len;
	memcpy(frame->data, s->question, len);
	return frame;
}

/*
 * In the engine: as many questions as there is room for, a few at a time: a frame of user space may
 * wait behind. One that cannot be put times out.
 */
static void tdl_session_feed_work(struct work_struct *work)
{
	struct tdl_session *s = container_of(work, struct tdl_session, feed);
	struct tdl_frame *frame;
	ssize_t len;
	int i;

	for (i = 0; s->greeted && tdl_session_has_room(s); i++) {
		if (i == TDL_QUESTIONS_AT_ONCE) {
			tdl_engine_queue(&s->feed);
			return;
		}
		len = tdl_question_next(&s->svids_turn, s->question, sizeof(s->question));
		if (!len)
			return;
		frame = len > 0 ? tdl_session_frame(s, len) : NULL;
		if (!frame)
			continue;
		spin_lock(&s->lock);
		tdl_frames_push(&s->questions, frame);
		spin_unlock(&s->lock);
		wake_up_all(&s->wait);
	}
}

/* In the engine: the hello, then one frame of user space each time. */
static void tdl_session_work(struct work_struct *work)
{
	struct tdl_session *s = container_of(work, struct tdl_session, work);
	struct tdl_frame *answer = s->answer;

	s->answer = NULL;
	if (!s->greeted) {
		tdl_session_greet(s, answer);
		return;
	}
	s->verdict = tdl_engine_check(s->in, s->in_len);
	if (s->verdict) {
		/* Done before it is decided: who is refused may write again at once. */
		tdl_frame_free(answer);
		tdl_session_done(s, NULL);
		complete(&s->decided);
		return;
	}
	complete(&s->decided);

	answer->len = tdl_engine_frame(s->in, s->in_len, answer->data, answer->cap, &s->order);
	if (!answer->len)
		answer->len = tdl_obey(&s->order, s->in, s->in_len, answer);
	/* A dead engine is told to every reader, for ever, and not once in place of a frame. */
	if (tdl_engine_is_dead() || !answer->len) {
		tdl_frame_free(answer);
		answer = NULL;
	}
	tdl_session_done(s, answer);
}

/* Frees a session whose work does not run. */
static void tdl_session_free(struct tdl_session *s)
{
	tdl_frames_free(&s->unread);
	tdl_frames_free(&s->questions);
	tdl_frame_free(s->answer);
	mutex_destroy(&s->reading);
	mutex_destroy(&s->writing);
	kvfree(s);
}

struct tdl_session *tdl_session_open(void)
{
	struct tdl_session *s = kvzalloc(sizeof(*s), GFP_KERNEL_ACCOUNT);

	if (!s)
		return ERR_PTR(-ENOMEM);
	mutex_init(&s->reading);
	mutex_init(&s->writing);
	spin_lock_init(&s->lock);
	init_waitqueue_head(&s->wait);
	init_completion(&s->decided);
	tdl_frames_init(&s->unread);
	tdl_frames_init(&s->questions);
	s->answer = tdl_frame_alloc(TDL_ANSWER_MAX);
	if (!s->answer) {
		tdl_session_free(s);
		return ERR_PTR(-ENOMEM);
	}

	/* Nobody else knows this session yet: no lock. */
	s->busy = true;
	INIT_WORK(&s->work, tdl_session_work);
	INIT_WORK(&s->feed, tdl_session_feed_work);
	tdl_engine_queue(&s->work);
	tdl_policy_set_daemon();
	tdl_session_set_current(s);
	return s;
}

/* After the last read, write and poll. Waits for the frame in the engine's hands. */
void tdl_session_close(struct tdl_session *s)
{
	tdl_session_set_current(NULL);
	tdl_policy_clear_daemon();
	cancel_work_sync(&s->work);
	cancel_work_sync(&s->feed);
	tdl_session_free(s);
}

/* A signal restarts the call, as it does where the wait is for the engine. */
static int tdl_session_lock(struct tdl_session *s, struct mutex *mutex, bool nonblock)
{
	if (!nonblock)
		return mutex_lock_interruptible(mutex) ? -ERESTARTSYS : 0;
	if (mutex_trylock(mutex))
		return 0;
	/* Whoever has it says when it is free; unless it just was. */
	atomic_xchg(&s->turned_away, 1);
	return mutex_trylock(mutex) ? 0 : -EAGAIN;
}

static void tdl_session_unlock(struct tdl_session *s, struct mutex *mutex)
{
	mutex_unlock(mutex);
	/* Pairs with the barrier above: either it finds the mutex free, or we find its mark. */
	smp_mb();
	if (atomic_read(&s->turned_away) && atomic_xchg(&s->turned_away, 0))
		wake_up_all(&s->wait);
}

/* Sleeps until there is a frame; with reading held, so that it stays the first. */
static struct tdl_frame *tdl_session_await(struct tdl_session *s, bool nonblock)
{
	struct tdl_frame *frame;
	bool over;
	int ret;

	for (;;) {
		/* In this order: what was queued before the death is still read. */
		over = tdl_session_is_over(s);
		frame = tdl_session_first(s);
		if (frame)
			return frame;
		if (over)
			return ERR_PTR(-ENOTRECOVERABLE);
		if (nonblock)
			return ERR_PTR(-EAGAIN);
		ret = wait_event_interruptible(s->wait, tdl_session_may_read(s));
		if (ret)
			return ERR_PTR(ret);
	}
}

static ssize_t tdl_session_deliver(struct tdl_session *s, struct tdl_frame *frame,
				   char __user *buf, size_t count)
{
	ssize_t len = frame->len;

	/* A frame that does not fit, or that cannot be copied, stays the first. */
	if (len > 0 && count < len)
		return -EMSGSIZE;
	if (len > 0 && copy_to_user(buf, frame->data, len))
		return -EFAULT;

	spin_lock(&s->lock);
	/* reading is held: nobody else has taken a frame, though an answer may have come. */
	if (frame == tdl_frames_first(&s->questions))
		tdl_frames_remove(&s->questions, frame);
	else
		tdl_frames_remove(&s->unread, frame);
	spin_unlock(&s->lock);
	tdl_frame_free(frame);
	/* A writer may wait for room, and so may a question. */
	wake_up_all(&s->wait);
	tdl_engine_queue(&s->feed);
	return len;
}

ssize_t tdl_session_read(struct tdl_session *s, char __user *buf, size_t count, bool nonblock)
{
	struct tdl_frame *frame;
	ssize_t ret;

	ret = tdl_session_lock(s, &s->reading, nonblock);
	if (ret)
		return ret;
	frame = tdl_session_await(s, nonblock);
	ret = IS_ERR(frame) ? PTR_ERR(frame) : tdl_session_deliver(s, frame, buf, count);
	tdl_session_unlock(s, &s->reading);
	return ret;
}

/* Sleeps until the engine can take a frame; with writing held, so that it is ours then. */
static int tdl_session_claim(struct tdl_session *s, bool nonblock)
{
	int ret;

	if (nonblock && !tdl_session_may_write(s))
		return -EAGAIN;
	ret = wait_event_interruptible(s->wait, tdl_session_may_write(s));
	if (ret)
		return ret;
	return tdl_engine_is_dead() ? -ENOTRECOVERABLE : 0;
}

/* Has the frame in s->in checked and acted upon; returns the verdict. */
static ssize_t tdl_session_submit(struct tdl_session *s)
{
	reinit_completion(&s->decided);
	spin_lock(&s->lock);
	s->busy = true;
	spin_unlock(&s->lock);
	tdl_engine_queue(&s->work);

	if (!wait_for_completion_interruptible(&s->decided))
		return s->verdict;
	/*
	 * A signal takes the frame back when the engine has not begun, and has no say when it
	 * has: then write(2) must not be called again for it. The verdict is then being made,
	 * which is short; what the frame asks for is not waited for.
	 */
	if (cancel_work(&s->work)) {
		tdl_frame_free(s->answer);
		s->answer = NULL;
		tdl_session_done(s, NULL);
		return -ERESTARTSYS;
	}
	wait_for_completion(&s->decided);
	return s->verdict;
}

static ssize_t tdl_session_take(struct tdl_session *s, const char __user *buf, size_t count,
				bool nonblock)
{
	ssize_t ret = tdl_session_claim(s, nonblock);

	if (ret)
		return ret;
	if (copy_from_user(s->in, buf, count))
		return -EFAULT;
	s->in_len = count;
	/* Before the act, so that an answer always has a place. */
	s->answer = tdl_frame_alloc(TDL_ANSWER_MAX);
	if (!s->answer)
		return -ENOMEM;
	ret = tdl_session_submit(s);
	return ret ? ret : count;
}

ssize_t tdl_session_write(struct tdl_session *s, const char __user *buf, size_t count,
			  bool nonblock)
{
	ssize_t ret;

	if (tdl_engine_is_dead())
		return -ENOTRECOVERABLE;
	if (count > TDL_FRAME_MAX) {
		tdl_engine_count_refused();
		return -EMSGSIZE;
	}

	ret = tdl_session_lock(s, &s->writing, nonblock);
	if (ret)
		return ret;
	ret = tdl_session_take(s, buf, count, nonblock);
	tdl_session_unlock(s, &s->writing);
	if (ret == -EPROTO || ret == -EMSGSIZE)
		tdl_engine_count_refused();
	return ret;
}

__poll_t tdl_session_poll(struct tdl_session *s, struct file *file, poll_table *wait)
{
	__poll_t events = 0;

	poll_wait(file, &s->wait, wait);
	if (tdl_session_first(s))
		events |= EPOLLIN | EPOLLRDNORM;
	if (tdl_engine_is_dead())
		return events | EPOLLERR | EPOLLHUP;
	if (tdl_session_may_write(s))
		events |= EPOLLOUT | EPOLLWRNORM;
	return events;
}
