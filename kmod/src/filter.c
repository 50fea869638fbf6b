// SPDX-License-Identifier: GPL-2.0-only
/*
 * The second line: a segment that opens a connection, or answers one that is being opened, leaves
 * this host only from a socket that was decided, or whose connections will be when they are
 * accepted. It stops what comes by another way than connect(2) and listen(2): sockets that are
 * older than the module and were not found, MPTCP, raw sockets.
 *
 * In each network namespace, in process context and in softirq. A refusal of the first kind ends
 * connect(2) at once; one of the second looks like a host that drops.
 */
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6.h>
#include <linux/skbuff.h>
#include <linux/tcp.h>
#include <net/ipv6.h>
#include <net/l3mdev.h>
#include <net/mptcp.h>
#include <net/net_namespace.h>
#include <net/request_sock.h>
#include <net/route.h>
#include <net/sock.h>
#include <net/sock_reuseport.h>

#include "address.h"
#include "compat.h"
#include "conn.h"
#include "counters.h"
#include "filter.h"
#include "policy.h"

/* Whose segment it is: a listener for an answer. NULL when there is nobody. Under RCU. */
static const struct sock *tdl_filter_owner(const struct sk_buff *skb)
{
	const struct sock *sk = skb->sk;
	const struct request_sock *request;

	if (sk && sk->sk_state == TCP_NEW_SYN_RECV)
		sk = inet_reqsk((struct sock *)sk)->rsk_listener;
	if (!sk || !sk_fullsock(sk))
		return NULL;
	/* With Fast Open the child answers, before anybody has accepted it. */
	if (sk->sk_protocol == IPPROTO_TCP && sk->sk_state == TCP_SYN_RECV) {
		request = rcu_dereference(tcp_sk(sk)->fastopen_rsk);
		if (request && request->rsk_listener)
			sk = request->rsk_listener;
	}
	return sk;
}

static bool tdl_filter_may_pass(const struct sk_buff *skb, const struct tcphdr *tcp,
				const struct tdl_address *remote)
{
	const struct sock *sk = tdl_filter_owner(skb);
	struct tdl_address own;

	if (!sk)
		return false;
	/* The kernel's own transports; but not those that carry user space's data unseen. */
	if (sk->sk_kern_sock && sk->sk_protocol == IPPROTO_TCP && !sk_is_mptcp(sk))
		return true;
	/* Both sides can open at once: then it is the connecting socket that answers. */
	if (tcp->ack && tdl_conn_listens(sk))
		return true;
	if (sk->sk_type != SOCK_STREAM || sk->sk_protocol != IPPROTO_TCP)
		return false;
	/* Not by way of somebody else (source routes): the decision was on the destination. */
	tdl_address_remote(&own, sk);
	return tdl_address_is_same(&own, remote) &&
	       tdl_conn_covers(sk, remote, ntohl(tcp->seq));
}

static unsigned int tdl_filter_verdict(bool may_pass, const struct tcphdr *tcp,
				       const struct tdl_address *remote)
{
	u32 mode = tdl_policy_mode();

	if (may_pass || mode == TDL_OFF || tdl_policy_exempts(remote))
		return NF_ACCEPT;
	if (mode == TDL_PERMISSIVE) {
		tdl_count(would_deny);
		return NF_ACCEPT;
	}
	tdl_count(dropped);
	return tcp->ack ? NF_DROP : NF_DROP_ERR(-ECONNREFUSED);
}

static unsigned int tdl_filter_judge(const struct sk_buff *skb, const struct tcphdr *tcp,
				     const struct tdl_address *remote)
{
	/* Always, for it notes where a decided connection goes. */
	return tdl_filter_verdict(tdl_filter_may_pass(skb, tcp, remote), tcp, remote);
}

/*
 * A fragment that hides the flags, or would overwrite them: raw sockets can send such, and no
 * stack does (RFC 1858, RFC 3128). The header lies in the first fragment as a whole.
 */
static bool tdl_filter_hides_flags(unsigned int offset, const struct tcphdr *tcp)
{
	return offset ? offset < sizeof(struct tcphdr) : !tcp;
}

static unsigned int tdl_filter_hidden(void)
{
	switch (tdl_policy_mode()) {
	case TDL_ENFORCE:
		tdl_count(dropped);
		return NF_DROP;
	case TDL_PERMISSIVE:
		tdl_count(would_deny);
		break;
	}
	return NF_ACCEPT;
}

/*
 * Whether what these accept will be decided. A program of the group chooses by more than the
 * addresses: then all of them must be ours. Under RCU.
 */
static bool tdl_filter_listen(const struct sock *sk)
{
	const struct sock_reuseport *group = rcu_dereference(sk->sk_reuseport_cb);
	unsigned int i, count = group ? READ_ONCE(group->num_socks) : 0;

	if (sk->sk_kern_sock && !sk_is_mptcp(sk))
		return true;
	/* Only compared: some may be gone. */
	for (i = 0; i < count; i++)
		if (!tdl_conn_listens(READ_ONCE(group->socks[i])))
			return false;
	return tdl_conn_listens(sk);
}

/*
 * An answer by SYN cookie has no socket, and what comes of it inherits the operations of the
 * listener: the one that the kernel will find for the client's next segment must be ours. Under
 * RCU, as every hook.
 */
static bool tdl_filter_cookie_v4(const struct nf_hook_state *state, const struct iphdr *ip,
				 const struct tcphdr *tcp)
{
	const struct sock *sk;

	if (!tcp->ack)
		return false;
	/* In another's name (IP_TRANSPARENT): for who rules the network; it is steered. */
	if (inet_addr_type_dev_table(state->net, state->out, ip->saddr) != RTN_LOCAL)
		return true;
	sk = tdl_lookup_listener_v4(state->net, ip->daddr, tcp->dest, ip->saddr,
				    ntohs(tcp->source), state->out);
	if (sk)
		return tdl_filter_listen(sk);
	/* It comes by here once more, by the device below. */
	return state->out && netif_is_l3_master(state->out);
}

static unsigned int tdl_filter_v4(void *priv, struct sk_buff *skb,
				  const struct nf_hook_state *state)
{
	const struct iphdr *ip = ip_hdr(skb);
	unsigned int offset = (ntohs(ip->frag_off) & IP_OFFSET) * 8;
	const struct tcphdr *tcp;
	struct tcphdr space;
	struct tdl_address remote;

	if (ip->protocol != IPPROTO_TCP)
		return NF_ACCEPT;
	tcp = offset ? NULL : skb_header_pointer(skb, skb_network_offset(skb) + ip->ihl * 4,
						 sizeof(space), &space);
	if (tdl_filter_hides_flags(offset, tcp))
		return tdl_filter_hidden();
	if (!tcp || !tcp->syn)
		return NF_ACCEPT;
	tdl_address_v4(&remote, ip->daddr, tcp->dest);
	/* Under a flood: nobody is looked for in vain. */
	if (!skb->sk)
		return tdl_filter_verdict(tdl_policy_mode() == TDL_OFF ||
					  tdl_filter_cookie_v4(state, ip, tcp), tcp, &remote);
	return tdl_filter_judge(skb, tcp, &remote);
}

#if IS_ENABLED(CONFIG_IPV6)
/* The same: IPv6 tells which listener answers (ip6_xmit()). */
static bool tdl_filter_cookie_v6(const struct nf_hook_state *state, const struct tcphdr *tcp)
{
	const struct sock *sk = state->sk;

	return tcp->ack && sk && sk_fullsock(sk) && tdl_filter_listen(sk);
}

static unsigned int tdl_filter_v6(void *priv, struct sk_buff *skb,
				  const struct nf_hook_state *state)
{
	unsigned int offset = 0;
	unsigned short fragment = 0;
	const struct tcphdr *tcp;
	int protocol;
	struct tcphdr space;
	struct tdl_address remote;

	protocol = ipv6_find_hdr(skb, &offset, -1, &fragment, NULL);
	/* A chain of headers that is cut, or goes on in a later piece: nobody's but by hand. */
	if (protocol < 0)
		return tdl_filter_hidden();
	if (protocol != IPPROTO_TCP)
		return NF_ACCEPT;
	if (fragment)
		return tdl_filter_hides_flags(fragment, NULL) ? tdl_filter_hidden() : NF_ACCEPT;
	tcp = skb_header_pointer(skb, offset, sizeof(space), &space);
	if (tdl_filter_hides_flags(0, tcp))
		return tdl_filter_hidden();
	if (!tcp->syn)
		return NF_ACCEPT;
	tdl_address_v6(&remote, &ipv6_hdr(skb)->daddr, tcp->dest);
	if (!skb->sk)
		return tdl_filter_verdict(tdl_filter_cookie_v6(state, tcp), tcp, &remote);
	return tdl_filter_judge(skb, tcp, &remote);
}
#endif

/* First of all: addresses are as the socket has them. */
static const struct nf_hook_ops tdl_filters[] = {
	{
		.hook = tdl_filter_v4,
		.pf = NFPROTO_IPV4,
		.hooknum = NF_INET_LOCAL_OUT,
		.priority = NF_IP_PRI_FIRST,
	},
#if IS_ENABLED(CONFIG_IPV6)
	{
		.hook = tdl_filter_v6,
		.pf = NFPROTO_IPV6,
		.hooknum = NF_INET_LOCAL_OUT,
		.priority = NF_IP6_PRI_FIRST,
	},
#endif
};

static int __net_init tdl_filter_net_init(struct net *net)
{
	return nf_register_net_hooks(net, tdl_filters, ARRAY_SIZE(tdl_filters));
}

static void __net_exit tdl_filter_net_exit(struct net *net)
{
	nf_unregister_net_hooks(net, tdl_filters, ARRAY_SIZE(tdl_filters));
}

static struct pernet_operations tdl_filter_net_ops = {
	.init = tdl_filter_net_init,
	.exit = tdl_filter_net_exit,
};

int tdl_filter_init(void)
{
	return register_pernet_subsys(&tdl_filter_net_ops);
}

/* When it returns nobody is inside: unregistering waits for readers. */
void tdl_filter_exit(void)
{
	unregister_pernet_subsys(&tdl_filter_net_ops);
}
