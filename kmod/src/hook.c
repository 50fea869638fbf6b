// SPDX-License-Identifier: GPL-2.0-only
/*
 * How TCP sockets become ours, and the kernel's again.
 *
 * The only thing of the kernel's that is changed is the init function of TCP's two protocols. It
 * runs when user space makes a socket, in its context, and swaps the operations of that socket.
 * Sockets that are there already are found through the tables of files of all processes.
 *
 * Sockets do not keep the module: it can be unloaded at any moment, with all of them open.
 *  - tdl_leaving is set: who sleeps in an operation of ours ends soon.
 *  - The init functions and the operations of all sockets are given back.
 *  - A task that has read one of our pointers and not yet called it has not slept since
 *    (synchronize_rcu_tasks()); one that has called is inside of SRCU (synchronize_srcu()); one
 *    that has left SRCU and not yet our code has not slept either (synchronize_rcu_tasks() again).
 */
#include <linux/capability.h>
#include <linux/fdtable.h>
#include <linux/ipv6.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/rcupdate_wait.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/srcu.h>
#include <linux/user_namespace.h>
#include <linux/wait.h>
#include <net/inet_common.h>
#include <net/protocol.h>
#include <net/sock.h>
#include <net/tcp.h>
#include <net/transp_v6.h>

#include "accept.h"
#include "ask.h"
#include "compat.h"
#include "conn.h"
#include "connect.h"
#include "hook.h"
#include "ops.h"
#include "policy.h"

struct workqueue_struct *tdl_sockets_wq;

static struct srcu_struct tdl_inside;
static DEFINE_MUTEX(tdl_unhooking);	/* held while a socket is given back */
static bool tdl_leaving_flag;
static int (*tdl_inner_init_v4)(struct sock *sk);
static int (*tdl_inner_init_v6)(struct sock *sk);

int tdl_enter(void)
	__acquires(&tdl_inside)
{
	return srcu_read_lock(&tdl_inside);
}

void tdl_leave(int cookie)
	__releases(&tdl_inside)
{
	srcu_read_unlock(&tdl_inside, cookie);
}

bool tdl_leaving(void)
{
	return READ_ONCE(tdl_leaving_flag);
}

/*
 * Ends a system call so that it is made again from its start, without a trace in user space: as
 * after a signal that needs no handler (the freezer and live patching do the same). The second
 * time it finds the socket as it is by then.
 */
int tdl_restart(void)
{
	set_thread_flag(TIF_SIGPENDING);
	return -ERESTARTSYS;
}

/*
 * A socket of the kernel's own. AF_SMC and the like have one for every socket of user space, so
 * that TCP would be had past us: where something is in force that needs the right to rule the
 * host.
 */
static int tdl_hook_kernels(void)
{
	if (tdl_policy_mode() != TDL_ENFORCE || current->flags & PF_KTHREAD)
		return 0;
	return ns_capable_noaudit(&init_user_ns, CAP_SYS_ADMIN) ? 0 : -EPERM;
}

static int tdl_hook_users(struct sock *sk)
{
	struct socket *sock = sk->sk_socket;

	/* Another protocol over TCP: the packet filter keeps it from the network. */
	if (!sock || !tdl_ops_are_kernels(sock) || tdl_leaving())
		return 0;
	/* Asked for as MPTCP: see tdl_mptcp_v4. */
	sk->sk_protocol = IPPROTO_TCP;
	if (!tdl_conn_add(sock, GFP_KERNEL))
		return -ENOMEM;
	tdl_ops_gate(sock);
	return 0;
}

static int tdl_hook_socket(struct sock *sk, int (*inner)(struct sock *sk))
{
	int cookie = tdl_enter();
	int ret = sk->sk_kern_sock ? tdl_hook_kernels() : 0;

	if (!ret)
		ret = inner(sk);
	if (!ret && !sk->sk_kern_sock)
		ret = tdl_hook_users(sk);
	tdl_leave(cookie);
	return ret;
}

static int tdl_init_v4(struct sock *sk)
{
	return tdl_hook_socket(sk, tdl_inner_init_v4);
}

static int tdl_init_v6(struct sock *sk)
{
	return tdl_hook_socket(sk, tdl_inner_init_v6);
}

#if IS_ENABLED(CONFIG_MPTCP)
/*
 * Who asks for MPTCP gets TCP, which MPTCP falls back to anyhow: its subflows are sockets of the
 * kernel's that nobody would decide on. The newest entry for a protocol is the one that counts.
 */
static struct inet_protosw tdl_mptcp_v4 = {
	.type = SOCK_STREAM,
	.protocol = IPPROTO_MPTCP,
	.prot = &tcp_prot,
	.ops = &inet_stream_ops,
	.flags = INET_PROTOSW_ICSK,
};

static struct inet_protosw tdl_mptcp_v6 = {
	.type = SOCK_STREAM,
	.protocol = IPPROTO_MPTCP,
	.prot = &tcpv6_prot,
	.flags = INET_PROTOSW_ICSK,
};

static void tdl_hook_mptcp(void)
{
	inet_register_protosw(&tdl_mptcp_v4);
	if (!ipv6_mod_enabled())
		return;
	tdl_mptcp_v6.ops = tdl_ops_kernels_v6();
	inet6_register_protosw(&tdl_mptcp_v6);
}

static void tdl_unhook_mptcp(void)
{
	if (ipv6_mod_enabled())
		inet6_unregister_protosw(&tdl_mptcp_v6);
	inet_unregister_protosw(&tdl_mptcp_v4);
}
#else
static void tdl_hook_mptcp(void)
{
}

static void tdl_unhook_mptcp(void)
{
}
#endif

/*
 * Tasks that sleep in the kernel's accept go back to user space's edge and come in by us. They
 * are those on the socket's wait queue that wait as a task does; pollers do not.
 */
static void tdl_hook_recall(struct sock *sk)
{
	wait_queue_head_t *head = sk_sleep(sk);
	wait_queue_entry_t *entry;

	spin_lock_bh(&head->lock);
	list_for_each_entry(entry, &head->head, entry) {
		if (entry->func == autoremove_wake_function)
			set_tsk_thread_flag(entry->private, TIF_SIGPENDING);
	}
	spin_unlock_bh(&head->lock);
	wake_up_interruptible_all(head);
}

/* Called for each file of a process, with its locks held. */
static int tdl_hook_file(const void *data, struct file *file, unsigned int fd)
{
	struct socket *sock = tdl_sock_from_file(file);
	struct tdl_conn *conn;
	struct sock *sk;

	if (!sock || !sock->sk || !tdl_ops_are_kernels(sock))
		return 0;
	sk = sock->sk;
	if (sk->sk_kern_sock || sk->sk_protocol != IPPROTO_TCP)
		return 0;
	/* Without memory it stays the kernel's, and the packet filter keeps it from opening. */
	conn = tdl_conn_add(sock, GFP_ATOMIC);
	if (!conn)
		return 0;
	if (sk->sk_state == TCP_LISTEN)
		conn->state = TDL_LISTENING;
	else if (sk->sk_state != TCP_CLOSE)
		/* Nobody has decided on it: it may end, and it may not begin. */
		conn->state = TDL_DECIDED;
	if (conn->state == TDL_DECIDED)
		tdl_ops_settle(sock);
	else
		tdl_ops_gate(sock);
	if (conn->state == TDL_LISTENING)
		tdl_hook_recall(sk);
	return 0;
}

/* Sockets that are older than the module. */
static void tdl_hook_older(void)
{
	struct task_struct *process, *thread;

	rcu_read_lock();
	for_each_process_thread(process, thread) {
		if (thread->flags & PF_KTHREAD)
			continue;
		task_lock(thread);
		if (thread->files)
			iterate_fd(thread->files, 0, tdl_hook_file, NULL);
		task_unlock(thread);
	}
	rcu_read_unlock();
}

int tdl_hook_init(void)
{
	int ret = init_srcu_struct(&tdl_inside);

	if (ret)
		return ret;
	ret = tdl_ops_init();
	if (ret)
		goto srcu;
	ret = tdl_conns_init();
	if (ret)
		goto srcu;
	tdl_sockets_wq = alloc_workqueue("tidelock_sockets", WQ_UNBOUND, 0);
	if (!tdl_sockets_wq) {
		ret = -ENOMEM;
		goto conns;
	}
	tdl_inner_init_v4 = tcp_prot.init;
	tdl_inner_init_v6 = tcpv6_prot.init;
	/* Nobody can fail any more: from here on sockets are ours. */
	WRITE_ONCE(tcp_prot.init, tdl_init_v4);
	WRITE_ONCE(tcpv6_prot.init, tdl_init_v6);
	tdl_hook_mptcp();
	tdl_hook_older();
	return 0;

conns:
	tdl_conns_exit();
srcu:
	cleanup_srcu_struct(&tdl_inside);
	return ret;
}

/* Wakes who sleeps in an operation of ours, and gives the socket its own operations back. */
static void tdl_unhook(struct tdl_conn *conn)
{
	struct tdl_conn *removed;

	/* A release that finds no entry waits for the lock: until then the socket stays. */
	mutex_lock(&tdl_unhooking);
	removed = tdl_conn_remove(conn->sk);
	if (!removed)
		goto out;	/* its release was first */
	if (tdl_ops_are_ours(removed->sock))
		tdl_ops_restore(removed->sock);
	tdl_connect_cancel(removed);
	tdl_accept_cancel(removed);
	wake_up_interruptible_all(sk_sleep(removed->sk));
	tdl_conn_put(removed);
out:
	mutex_unlock(&tdl_unhooking);
}

void tdl_hook_sync(void)
{
	mutex_lock(&tdl_unhooking);
	mutex_unlock(&tdl_unhooking);
}

static void tdl_unhook_all(void)
{
	struct tdl_conn *conn;

	while ((conn = tdl_conn_any())) {
		tdl_unhook(conn);
		tdl_conn_put(conn);
		cond_resched();
	}
}

/* After tdl_asks_refuse_all(): nobody waits for a verdict. */
void tdl_hook_exit(void)
{
	WRITE_ONCE(tdl_leaving_flag, true);
	tdl_unhook_mptcp();
	WRITE_ONCE(tcp_prot.init, tdl_inner_init_v4);
	WRITE_ONCE(tcpv6_prot.init, tdl_inner_init_v6);
	tdl_unhook_all();
	synchronize_rcu_tasks();
	synchronize_srcu(&tdl_inside);
	/* What was made, or put back by setsockopt, while the above went on. */
	tdl_unhook_all();
	synchronize_rcu_tasks();
	synchronize_srcu(&tdl_inside);
	synchronize_rcu_tasks();
	destroy_workqueue(tdl_sockets_wq);
	tdl_conns_exit();
	cleanup_srcu_struct(&tdl_inside);
}
