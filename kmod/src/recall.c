// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sending tasks to the edge of user space, from where they call again.
 *
 * It is what the freezer does: a signal is said to be pending and there is none, so that the call
 * is restarted and nobody notices. A call with a time limit (SO_RCVTIMEO, SO_SNDTIMEO) that sleeps
 * ends with EINTR, as when the process is stopped and continued (signal(7)).
 */
#include <linux/sched/signal.h>
#include <linux/wait.h>
#include <net/sock.h>

#include "recall.h"

/* What the operation returns. Nothing has been done yet. */
int tdl_recall_self(void)
{
	/* A thread of the kernel's has no such edge: it is told. */
	if (!(current->flags & PF_KTHREAD))
		set_thread_flag(TIF_SIGPENDING);
	return -ERESTARTSYS;
}

static bool tdl_recall_sleeps(const wait_queue_entry_t *entry)
{
	return entry->func == autoremove_wake_function || entry->func == woken_wake_function;
}

/*
 * All that sleep in an operation of this socket: those on its wait queue that wait as a task
 * does; pollers do not.
 */
void tdl_recall(struct sock *sk)
{
	wait_queue_head_t *head = NULL;
	wait_queue_entry_t *entry;
	struct socket_wq *wq;

	rcu_read_lock();
	wq = rcu_dereference(sk->sk_wq);
	if (wq)
		head = &wq->wait;
	if (head) {
		spin_lock_bh(&head->lock);
		list_for_each_entry(entry, &head->head, entry) {
			struct task_struct *task = entry->private;

			if (tdl_recall_sleeps(entry) && !(task->flags & PF_KTHREAD))
				set_tsk_thread_flag(task, TIF_SIGPENDING);
		}
		spin_unlock_bh(&head->lock);
		wake_up_interruptible_all(head);
	}
	rcu_read_unlock();
}
