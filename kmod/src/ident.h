/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who calls, and what for: see ident.c.
 */
#ifndef TIDELOCK_IDENT_H
#define TIDELOCK_IDENT_H

#include <linux/build_bug.h>
#include <linux/types.h>

#include "tidelock_core.h"

struct sock;

/*
 * What a verdict holds for: an identity, not a process, and one purpose. Compared and hashed as
 * bytes, so it is zeroed as a whole before it is filled.
 */
struct tdl_key {
	u64 device;		/* of the executable's file system */
	u64 inode;
	s64 changed;		/* the inode's change time: a file that was replaced is another */
	u64 cgroup;
	u32 inode_generation;
	u32 uid;
	u32 euid;
	u32 gid;
	u32 egid;
	u32 network;		/* inode numbers of the namespaces */
	u32 pid;
	u32 user;
	/* Up to here it is the identity; the purpose follows. */
	struct tdl_address local;	/* of what accepts, else zero */
	struct tdl_address remote;	/* its port is zero for what accepts */
	u32 direction;
	u32 zero;
};

/* A process: no two have the same while the machine runs. */
struct tdl_process {
	u64 started;
	u32 tgid;
	char comm[16];
};

/* Who calls, found out a moment ago in the same task. */
struct tdl_caller {
	int error;			/* 0, or why nobody could be told */
	struct tdl_key key;		/* without a purpose */
	struct tdl_process process;
};

void tdl_ident_caller(struct sock *sk, struct tdl_caller *caller);
int tdl_ident_purpose(const struct tdl_caller *caller, u32 direction,
		      const struct tdl_address *local, const struct tdl_address *remote,
		      struct tdl_key *key);

/*
 * What is bounded as a whole is bounded for each of these as well: a control group and user, or
 * a few that share one by chance.
 */
#define TDL_SHARES 256

/* Word by word: memcmp() looks at each byte on older kernels. */
static inline bool tdl_ident_is_same(const struct tdl_key *a, const struct tdl_key *b)
{
	const u64 *one = (const u64 *)a, *other = (const u64 *)b;
	u64 differs = 0;
	size_t i;

	BUILD_BUG_ON(sizeof(*a) % sizeof(u64));
	for (i = 0; i < sizeof(*a) / sizeof(u64); i++)
		differs |= one[i] ^ other[i];
	return !differs;
}

void tdl_ident_init(void);
u32 tdl_ident_share(const struct tdl_key *key);
/* Of the identity alone, whatever it is for. */
u32 tdl_ident_hash(const struct tdl_key *key);

/* The rest, for a question. */
struct tdl_ident_texts {
	struct tdl_text executable_path;
	struct tdl_text cgroup_path;
	u32 cgroup_namespace;
};

void tdl_ident_texts(struct tdl_ident_texts *texts);
void tdl_ident_texts_free(struct tdl_ident_texts *texts);

#endif /* TIDELOCK_IDENT_H */
