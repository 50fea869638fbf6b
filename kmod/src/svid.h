/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * SVIDs of processes: see svid.c and svid_work.c.
 */
#ifndef TIDELOCK_SVID_H
#define TIDELOCK_SVID_H

#include <linux/list.h>
#include <linux/llist.h>
#include <linux/refcount.h>
#include <linux/types.h>

#include "ident.h"

struct tdl_asker;
struct tdl_identity;
struct tdl_key_waiting;
struct tdl_order;
struct tdl_terms;
struct tdl_watch;

/* Whose it is. Compared and hashed as bytes, so it is zeroed as a whole before it is filled. */
struct tdl_svid_who {
	u64 words[8];	/* when a process began and its number, or all of an identity */
	u32 scope;	/* TDL_SCOPE_* */
	u32 zero;
};

enum tdl_svid_state {
	TDL_SVID_WANTED,	/* there is none, and it is asked for */
	TDL_SVID_HELD,
	TDL_SVID_REFUSED,	/* there is none */
};

/* What the engine is to do with one that was swept. */
enum tdl_svid_due {
	TDL_SVID_RESTS,
	TDL_SVID_ENDED,		/* out of the table: nobody can use it any more */
	TDL_SVID_LATE,		/* there was no answer in time */
	TDL_SVID_EXPIRED,
};

struct tdl_svid {
	refcount_t refs;
	u32 share;
	u32 hash;
	struct tdl_svid_who who;
	struct tdl_terms *terms;	/* the part that says who it is */

	/* Under the lock in svid.c. */
	struct hlist_node by_who;
	struct hlist_node by_number;	/* while the request has been sent */
	struct list_head all;
	struct list_head unsent;	/* while it is to be */
	struct list_head watches;	/* while it is wanted */
	struct tdl_asker *asker;	/* who is told of when it is asked for */
	enum tdl_svid_state state;
	bool asked;			/* there is a request without an answer */
	u64 number;			/* of that one */
	u64 since;			/* it was asked for, in jiffies */
	u64 retry;			/* not asked for before, in jiffies */
	u64 used;			/* last, in jiffies */
	u32 reason;			/* of the last refusal */
	u32 failures;			/* since it was issued last, or a daemon came */
	u32 issued;			/* so often */
	u64 from;			/* it was issued, in seconds since 1970, as the next two */
	u64 renew;			/* from then on */
	u64 until;			/* it is valid */

	/* The engine's. */
	struct tdl_key_waiting *waiting;	/* while the request has been sent */
	struct tdl_identity *identity;		/* while it is held, and a little longer */
	enum tdl_svid_due why;
	struct list_head due;
	struct llist_node gone;
};

void tdl_svids_init(void);
void tdl_svids_exit(void);

struct tdl_case;

struct tdl_svid *tdl_svid_open(const struct tdl_case *c, const struct tdl_key *key,
			       struct tdl_asker *asker);
void tdl_svid_put(struct tdl_svid *svid);
enum tdl_svid_state tdl_svid_look(struct tdl_svid *svid, u32 *reason);
void tdl_svid_watch(struct tdl_svid *svid, struct tdl_watch *watch);
void tdl_svid_unwatch(struct tdl_watch *watch);

/* How it is at a moment. */
struct tdl_svid_view {
	struct tdl_asker *asker;	/* with a reference */
	enum tdl_svid_state state;
	bool asked;
	u32 reason;
	u32 issued;
	u64 until;
};

void tdl_svid_view(struct tdl_svid *svid, struct tdl_svid_view *view);
/* One after the other, each with a reference; NULL after the last. Some may be left out. */
struct tdl_svid *tdl_svids_at(loff_t pos);
struct tdl_svid *tdl_svids_after(struct tdl_svid *svid);

/* For the session, in the engine. */
void tdl_svids_send_again(void);
struct tdl_svid *tdl_svids_next(void);
ssize_t tdl_svid_request(struct tdl_svid *svid, u8 *out, size_t cap);
void tdl_svids_issued(const struct tdl_order *order, const u8 *in, size_t in_len);
void tdl_svids_not_issued(const struct tdl_order *order);

#endif /* TIDELOCK_SVID_H */
