// SPDX-License-Identifier: GPL-2.0-only
/*
 * How TCP sockets become ours, and the kernel's again.
 *
 * The only thing of the kernel's that is changed is the init function of TCP's two protocols. It
 * runs when user space makes a socket, in its context, and swaps the operations of that socket.
 * Sockets that are there already are found through the tables of files of all processes.
 *
 * A socket of ours keeps the module, as its operations' owner: it can be unloaded when the last
 * one is closed or given back (withdraw.c). The init functions run without such a reference:
 * unloading waits for them.
 *  - A task that has read our pointer and not yet called it has not slept since
 *    (synchronize_rcu_tasks()); one that has called is inside of SRCU (synchronize_srcu()); one
 *    that has left SRCU and not yet our code has not slept either (synchronize_rcu_tasks() again).
 */
#include <linux/capability.h>
#include <linux/fdtable.h>
#include <linux/ipv6.h>
#include <linux/module.h>
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
#include "pass.h"
#include "policy.h"
#include "recall.h"

struct workqueue_struct *tdl_sockets_wq;

static struct srcu_struct tdl_inside;
static bool tdl_withdrawn;
static int (*tdl_inner_init_v4)(struct sock *sk);
static int (*tdl_inner_init_v6)(struct sock *sk);

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
	struct tdl_conn *conn;
	int ret = 0;

	/* Another protocol over TCP: the packet filter keeps it from the network. */
	if (!sock || !tdl_ops_are_kernels(sock) || READ_ONCE(tdl_withdrawn))
		return 0;
	/* Asked for as MPTCP: see tdl_mptcp_v4. */
	sk->sk_protocol = IPPROTO_TCP;
	/* It is being unloaded: who makes the socket would have no reference of it either. */
	if (!try_module_get(THIS_MODULE))
		return 0;
	conn = tdl_conn_add(sock, GFP_KERNEL);
	if (conn) {
		/* Who makes the socket takes the module's reference next (__sock_create()). */
		tdl_ops_adopt(sock);
		tdl_conn_put(conn);
	} else {
		ret = -ENOMEM;
	}
	module_put(THIS_MODULE);
	return ret;
}

static int tdl_hook_socket(struct sock *sk, int (*inner)(struct sock *sk))
{
	int cookie = srcu_read_lock(&tdl_inside);
	/* First, whatever comes after: who made the sock destroys what this has set up. */
	int ret = inner(sk);

	if (!ret)
		ret = sk->sk_kern_sock ? tdl_hook_kernels() : tdl_hook_users(sk);
	srcu_read_unlock(&tdl_inside, cookie);
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
 * Called for each file of a process, with its locks held. Only sockets that may begin something:
 * of a connection the kernel may be setting the operations right now (kTLS), and it may end, and
 * the packet filter keeps it from opening another.
 */
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
	if (sk->sk_state != TCP_LISTEN && sk->sk_state != TCP_CLOSE)
		return 0;
	/* Without memory it stays the kernel's, and the packet filter keeps it from opening. */
	conn = tdl_conn_add(sock, GFP_ATOMIC);
	if (!conn)
		return 0;
	/* As if it had been made with our operations: its release gives the reference back. */
	__module_get(THIS_MODULE);
	if (sk->sk_state == TCP_LISTEN) {
		conn->state = TDL_LISTENING;
		conn->adopted = true;
		*(bool *)data = true;
	}
	tdl_ops_adopt(sock);
	/* Who sleeps in the kernel's accept goes back to user space's edge and comes in by us. */
	if (conn->adopted)
		tdl_recall(sk);
	tdl_conn_put(conn);
	return 0;
}

/* The same, for sockets that are ours and have no entry: counts what they give back. */
static int tdl_hook_bare_file(const void *data, struct file *file, unsigned int fd)
{
	struct socket *sock = tdl_sock_from_file(file);
	struct tdl_conn *conn;

	if (!sock || !sock->sk || !tdl_ops_are_ours(sock))
		return 0;
	conn = tdl_conn_get(sock->sk);
	if (conn)
		tdl_conn_put(conn);
	if (conn || !tdl_ops_give_back_bare(sock))
		return 0;
	++*(unsigned int *)data;
	/* Nobody sleeps in an operation of ours. */
	tdl_recall(sock->sk);
	return 0;
}

static void tdl_hook_files(int (*act)(const void *data, struct file *file, unsigned int fd),
			   void *data)
{
	struct task_struct *process, *thread;

	rcu_read_lock();
	for_each_process_thread(process, thread) {
		if (thread->flags & PF_KTHREAD)
			continue;
		/* The leader's, once. */
		if (thread != process && thread->files == process->files)
			continue;
		task_lock(thread);
		if (thread->files)
			iterate_fd(thread->files, 0, act, data);
		task_unlock(thread);
	}
	rcu_read_unlock();
}

/* Gives back what tdl_conns_each() cannot find: how many references of the module that frees. */
unsigned int tdl_hook_give_back_bare(void)
{
	unsigned int count = 0;

	tdl_hook_files(tdl_hook_bare_file, &count);
	return count;
}

static void tdl_hook_recall(struct tdl_conn *conn, void *unused)
{
	if (conn->adopted)
		tdl_recall(conn->sk);
}

/* Sockets that are older than the module. */
static void tdl_hook_older(void)
{
	bool listens = false;

	tdl_hook_files(tdl_hook_file, &listens);
	if (!listens)
		return;
	/* Who had read the kernel's operations sleeps in its accept by now, or has left it. */
	synchronize_rcu_tasks();
	tdl_conns_each(tdl_hook_recall, NULL);
}

/* Nothing is changed yet. */
int tdl_hook_init(void)
{
	int ret = init_srcu_struct(&tdl_inside);

	if (ret)
		return ret;
	tdl_sockets_wq = alloc_workqueue("tidelock_sockets", WQ_UNBOUND, 0);
	if (!tdl_sockets_wq) {
		ret = -ENOMEM;
		goto srcu;
	}
	ret = tdl_pass_init();
	if (ret)
		goto wq;
	ret = tdl_ops_init();
	if (!ret)
		ret = tdl_conns_init();
	if (ret)
		goto pass;
	return 0;

pass:
	tdl_pass_exit();
wq:
	destroy_workqueue(tdl_sockets_wq);
srcu:
	cleanup_srcu_struct(&tdl_inside);
	return ret;
}

/* The last step of loading, or again after tdl_hook_withdraw(): sockets keep the module. */
void tdl_hook_publish(void)
{
	WRITE_ONCE(tdl_withdrawn, false);
	tdl_inner_init_v4 = tcp_prot.init;
	tdl_inner_init_v6 = tcpv6_prot.init;
	/* Before the first call through either. */
	smp_wmb();
	WRITE_ONCE(tcp_prot.init, tdl_init_v4);
	WRITE_ONCE(tcpv6_prot.init, tdl_init_v6);
	tdl_hook_mptcp();
	tdl_hook_older();
}

bool tdl_hook_is_withdrawn(void)
{
	return READ_ONCE(tdl_withdrawn);
}

static void tdl_hook_unpublish(void)
{
	WRITE_ONCE(tdl_withdrawn, true);
	tdl_unhook_mptcp();
	WRITE_ONCE(tcp_prot.init, tdl_inner_init_v4);
	WRITE_ONCE(tcpv6_prot.init, tdl_inner_init_v6);
}

/* No socket becomes ours any more. Sleeps. */
void tdl_hook_withdraw(void)
{
	tdl_hook_unpublish();
	/* Who is inside may not have seen it; who is about to call will, inside. */
	synchronize_srcu(&tdl_inside);
}

/* The same when no socket keeps the module: nobody is in an operation of ours either. */
void tdl_hook_leave(void)
{
	if (!tdl_hook_is_withdrawn())
		tdl_hook_unpublish();
	synchronize_rcu_tasks();
	synchronize_srcu(&tdl_inside);
	tdl_pass_drain();
	synchronize_rcu_tasks();
}

/* After tdl_hook_leave(). */
void tdl_hook_exit(void)
{
	tdl_conns_exit();
	tdl_pass_exit();
	destroy_workqueue(tdl_sockets_wq);
	cleanup_srcu_struct(&tdl_inside);
}
