/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tracepoints, in the system "tidelock": docs/tracing.md.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM tidelock

#if !defined(TIDELOCK_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define TIDELOCK_TRACE_H

#include <linux/tracepoint.h>

#include "decide.h"

DECLARE_EVENT_CLASS(tidelock_case,
		    TP_PROTO(const struct tdl_case *c),
		    TP_ARGS(c),
		    TP_STRUCT__entry(__field(u64, id)
				     __field(u64, cgroup)
				     __field(u64, generation)
				     __field(u32, tgid)
				     __field(u32, uid)
				     __field(u32, direction)
				     __field(u32, decision)
				     __field(u32, reason)
				     __field(u16, family)
				     __field(u16, local_port)
				     __field(u16, remote_port)
				     __array(u8, local, 16)
				     __array(u8, remote, 16)
				     __array(char, comm, 16)
		    ),
		    TP_fast_assign(__entry->id = c->id;
				   __entry->cgroup = c->cgroup;
				   __entry->generation = c->verdict.generation;
				   __entry->tgid = c->process.tgid;
				   __entry->uid = c->uid;
				   __entry->direction = c->direction;
				   __entry->decision = c->verdict.decision;
				   __entry->reason = c->verdict.reason;
				   __entry->family = c->remote.family;
				   __entry->local_port = c->local.port;
				   __entry->remote_port = c->remote.port;
				   memcpy(__entry->local, c->local.bytes, 16);
				   memcpy(__entry->remote, c->remote.bytes, 16);
				   memcpy(__entry->comm, c->process.comm, 16);
		    ),
		    TP_printk("id=%llu direction=%s decision=%s reason=%#x tgid=%u uid=%u comm=%.16s family=%u remote=%16phN port=%u",
			      __entry->id,
			      __print_symbolic(__entry->direction, { TDL_CONNECT, "connect" },
					       { TDL_ACCEPT, "accept" }),
			      __print_symbolic(__entry->decision, { 0, "none" },
					       { TDL_DENY, "deny" },
					       { TDL_PLAIN, "plain" }, { TDL_MTLS, "mtls" }),
			      __entry->reason, __entry->tgid, __entry->uid, __entry->comm,
			      __entry->family, __entry->remote, __entry->remote_port)
);

/* A socket is to be connected; the verdict's fields are zero yet. */
DEFINE_EVENT(tidelock_case, tidelock_connect, TP_PROTO(const struct tdl_case *c), TP_ARGS(c));

/* A listener has a connection to be accepted; the verdict's fields are zero yet. */
DEFINE_EVENT(tidelock_case, tidelock_accept, TP_PROTO(const struct tdl_case *c), TP_ARGS(c));

/* A connection has its verdict, kept or fresh, whatever the mode makes of it. */
DEFINE_EVENT(tidelock_case, tidelock_verdict, TP_PROTO(const struct tdl_case *c), TP_ARGS(c));

/* It is refused. */
DEFINE_EVENT(tidelock_case, tidelock_deny, TP_PROTO(const struct tdl_case *c), TP_ARGS(c));

/* A question was not answered in time; the id is zero, for several sockets may have waited. */
DEFINE_EVENT(tidelock_case, tidelock_timeout, TP_PROTO(const struct tdl_case *c), TP_ARGS(c));

#endif /* TIDELOCK_TRACE_H */

#undef TRACE_INCLUDE_PATH
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_PATH .
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
