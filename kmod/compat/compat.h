/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every difference between kernels, as one face. The rest of the module is written as if only
 * the newest kernel existed.
 *
 * compat_config.h is made for each kernel from probes/ (see README.md): one TDL_HAVE_<NAME>
 * for each probe, 1 or 0.
 */
#ifndef TIDELOCK_COMPAT_H
#define TIDELOCK_COMPAT_H

#include <linux/fs.h>
#include <linux/net.h>
#include <linux/objtool.h>
#include <linux/rcupdate.h>
#include <linux/time64.h>
#include <linux/version.h>
#include <net/inet_hashtables.h>
#include <net/l3mdev.h>
#include <net/sock.h>
#include <net/tcp.h>

#include "compat_config.h"

/* The only version test: kernels that nobody has tried. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(5, 10, 0)
#error "tidelock supports Linux 5.10 to 7.3: this kernel is older"
#endif
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 4, 0)
#error "tidelock supports Linux 5.10 to 7.3: this kernel is newer"
#endif

/* An objtool that does not know a switch of stacks must not look at the function. */
#if TDL_HAVE_OBJTOOL_STACK_SWITCH
#define TDL_STACK_SWITCH_NON_STANDARD(func)
#else
#define TDL_STACK_SWITCH_NON_STANDARD(func) STACK_FRAME_NON_STANDARD(func)
#endif

/* The address that proto_ops.connect takes: struct tdl_sockaddr. */
#if TDL_HAVE_SOCKADDR_UNSIZED
#define tdl_sockaddr sockaddr_unsized
#else
#define tdl_sockaddr sockaddr
#endif

/* What proto_ops.accept takes behind the two sockets. */
#if TDL_HAVE_PROTO_ACCEPT_ARG
#define TDL_ACCEPT_PARAMETERS struct proto_accept_arg *tdl_arg
#define TDL_ACCEPT_FLAGS (tdl_arg->flags)
#define TDL_ACCEPT_KERN (tdl_arg->kern)
static inline int tdl_inner_accept(const struct proto_ops *ops, struct socket *sock,
				   struct socket *child, int flags, bool kern)
{
	struct proto_accept_arg arg = { .flags = flags, .kern = kern };

	return ops->accept(sock, child, &arg);
}
#else
#define TDL_ACCEPT_PARAMETERS int tdl_flags, bool tdl_kern
#define TDL_ACCEPT_FLAGS tdl_flags
#define TDL_ACCEPT_KERN tdl_kern
static inline int tdl_inner_accept(const struct proto_ops *ops, struct socket *sock,
				   struct socket *child, int flags, bool kern)
{
	return ops->accept(sock, child, flags, kern);
}
#endif

/* The file in an RCU-protected place, with a reference. Under rcu_read_lock(). */
static inline struct file *tdl_get_file_rcu(struct file __rcu **slot)
{
#if TDL_HAVE_GET_FILE_RCU_SLOT
	return get_file_rcu(slot);
#else
	struct file *file = rcu_dereference(*slot);

	return file && get_file_rcu(file) ? file : NULL;
#endif
}

/*
 * The same where the place goes on to show a file that is gone: NULL then, where get_file_rcu()
 * would wait for another one. Under rcu_read_lock().
 */
static inline struct file *tdl_get_file_active(struct file **slot)
{
#if TDL_HAVE_GET_FILE_RCU_SLOT
	return get_file_active(slot);
#else
	struct file *file = READ_ONCE(*slot);

	return file && get_file_rcu(file) ? file : NULL;
#endif
}

static inline s64 tdl_inode_changed(const struct inode *inode)
{
#if TDL_HAVE_INODE_GET_CTIME
	struct timespec64 time = inode_get_ctime(inode);
#else
	struct timespec64 time = inode->i_ctime;
#endif

	return timespec64_to_ns(&time);
}

/* The socket of a file, or NULL. */
static inline struct socket *tdl_sock_from_file(struct file *file)
{
#if TDL_HAVE_SOCK_FROM_FILE_ERRNO
	int err;

	return sock_from_file(file, &err);
#else
	return sock_from_file(file);
#endif
}

static inline void tdl_sk_error_report(struct sock *sk)
{
#if TDL_HAVE_SK_ERROR_REPORT
	sk_error_report(sk);
#else
	sk->sk_error_report(sk);
#endif
}

/*
 * The listener that gets what comes from the remote address to the local one by this device, which
 * may be one of another (VRF). Without a reference. Under rcu_read_lock().
 */
static inline struct sock *tdl_lookup_listener_v4(struct net *net, __be32 remote,
						  __be16 remote_port, __be32 local,
						  unsigned short port, struct net_device *by)
{
	int master = by ? l3mdev_master_ifindex_rcu(by) : 0;
	int device = master || !by ? master : by->ifindex;
	int slave = master ? by->ifindex : 0;

#if TDL_HAVE_LOOKUP_LISTENER_HASHINFO
	return __inet_lookup_listener(net, net->ipv4.tcp_death_row.hashinfo, NULL, 0, remote,
				      remote_port, local, port, device, slave);
#else
	return __inet_lookup_listener(net, NULL, 0, remote, remote_port, local, port, device,
				      slave);
#endif
}

#endif /* TIDELOCK_COMPAT_H */
