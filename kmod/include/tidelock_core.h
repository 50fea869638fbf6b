/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The seam between the C shim and the Rust core (kmod/core).
 *
 * The core is one object, compiled once per architecture and linked into the module of
 * every kernel, so nothing in here may depend on a kernel's configuration or version.
 *
 * Rules for the shim:
 *  - Enter the core only on a private stack (TDL_CORE_STACK bytes), in process context,
 *    holding no lock: the core allocates, and a self-test runs for a long time.
 *  - Enter it from one task at a time.
 *  - After tdl_core_panicked() has been called the core must never be entered again, save
 *    for tdl_core_hello(), which touches no state and neither allocates nor panics.
 *
 * Rules for the core:
 *  - When it panics it holds nothing of the kernel's: no lock, no disabled preemption, no
 *    entry on a wait queue. It has no means to take any, and that must stay so, because
 *    tdl_core_panicked() leaves the core's frames behind without running any of their code.
 *  - It keeps no memory between two calls but what it has given to the shim to hold (struct
 *    tdl_key_waiting and so on), by pointers that the shim never looks behind. The shim gives
 *    each of them back, once; but not to a core that has panicked, whose memory is gone as a
 *    whole. So what is still allocated at unload is a leak and reported as one.
 */
#ifndef TIDELOCK_CORE_H
#define TIDELOCK_CORE_H

#include <linux/types.h>

/* The longest frame on /dev/tidelock in either direction, header included. */
#define TDL_FRAME_MAX (16 * 1024)

/* The longest frame that answers another, header included. */
#define TDL_ANSWER_MAX 256

/* The private stack the core runs on. */
#define TDL_CORE_STACK (64 * 1024)

/* What this kernel can do: bits of struct tdl_hello.capabilities (tidelock_wire::Capabilities). */
#define TDL_CAP_KTLS			0x00000001u
#define TDL_CAP_KTLS_AES128GCM		0x00000002u
#define TDL_CAP_KTLS_AES256GCM		0x00000004u
#define TDL_CAP_KTLS_CHACHA20		0x00000008u
#define TDL_CAP_KTLS_REKEY		0x00000010u
#define TDL_CAP_IPV6			0x00000020u
#define TDL_CAP_MPTCP			0x00000040u

/* struct tdl_hello.engine_state (tidelock_wire::EngineState). */
#define TDL_ENGINE_READY		1u
#define TDL_ENGINE_DEAD			2u /* it panicked; everything is refused */

/* What the shim knows and the hello frame tells. */
struct tdl_hello {
	u32 capabilities;
	u32 engine_state;
	u64 panics;		/* of the core, since the module was loaded */
	u64 frames_refused;	/* written to the device and not accepted, since then */
};

/* struct tdl_status.mode, struct tdl_order.mode (tidelock_wire::Mode). */
#define TDL_OFF				1u
#define TDL_PERMISSIVE			2u
#define TDL_ENFORCE			3u

/* struct tdl_ask_facts.direction (tidelock_wire::Direction). */
#define TDL_CONNECT			1u
#define TDL_ACCEPT			2u

/* struct tdl_order.decision (tidelock_wire::Decision). */
#define TDL_DENY			1u
#define TDL_PLAIN			2u
#define TDL_MTLS			3u

/* The module's own reasons (tidelock_wire::KernelReason). */
#define TDL_REASON_TIMEOUT		0xffff0001u
#define TDL_REASON_OVERFLOW		0xffff0002u
#define TDL_REASON_NO_TASK		0xffff0003u
#define TDL_REASON_NO_MEMORY		0xffff0004u
#define TDL_REASON_DEAD			0xffff0005u
#define TDL_REASON_NO_MTLS		0xffff0006u
#define TDL_REASON_EXEMPT		0xffff0007u
#define TDL_REASON_DAEMON		0xffff0008u
#define TDL_REASON_OFF			0xffff0009u
#define TDL_REASON_NO_SVID		0xffff000au
#define TDL_REASON_HANDSHAKE		0xffff000bu
#define TDL_REASON_PEER			0xffff000cu
#define TDL_REASON_SLOW			0xffff000du

/* struct tdl_order.scope (tidelock_wire::Scope): who shares the key of an SVID. */
#define TDL_SCOPE_PROCESS		1u
#define TDL_SCOPE_WORKLOAD		2u

/* What has happened since the module was loaded (tidelock_wire::Counters). */
struct tdl_counters {
	u64 connects;
	u64 accepts;
	u64 hits;
	u64 asks;
	u64 allowed;
	u64 denied;
	u64 would_deny;
	u64 timeouts;
	u64 overflows;
	u64 late;
	u64 stale;
	u64 dropped;
};

/* What is in force, and how it goes (tidelock_wire::Status). */
struct tdl_status {
	u64 generation;
	struct tdl_counters counters;
	u32 mode;
	u32 deadline_ms;
	u32 waiting;
	u32 kept;
};

/* Bytes, or NULL when they are not known. */
struct tdl_text {
	const u8 *bytes;
	size_t len;
};

/* An IPv4 address is in the first four bytes. */
struct tdl_address {
	u8 bytes[16];
	u16 family;		/* 4 or 6 */
	u16 port;
};

/* A question for a verdict (tidelock_wire::Ask, whose fields say more). */
struct tdl_ask_facts {
	u64 started;
	u64 inode;
	s64 changed;
	u64 cgroup;
	struct tdl_text executable_path;
	struct tdl_text cgroup_path;
	struct tdl_address local;
	struct tdl_address remote;
	u32 direction;
	u32 tgid;
	u32 uid;
	u32 euid;
	u32 gid;
	u32 egid;
	u32 major;
	u32 minor;
	u32 generation;
	u32 network;
	u32 mount;
	u32 pid;
	u32 user;
	u32 cgroup_namespace;
	u8 comm[16];
};

#define TDL_EXEMPT_MAX 32

/* An IPv4 address is in the first four bytes. */
struct tdl_prefix {
	u8 bytes[16];
	u8 family;		/* 4 or 6 */
	u8 length;
};

enum tdl_order_kind {
	TDL_ORDER_NONE,		/* the answer is written, or there is none */
	TDL_ORDER_STATUS,	/* answer with tdl_core_status() */
	TDL_ORDER_CONFIGURE,	/* put the settings in force, then as above */
	TDL_ORDER_VERDICT,	/* for who waits for it; no answer */
	TDL_ORDER_ISSUED,	/* an SVID: tdl_core_certify() takes it; no answer */
	TDL_ORDER_NOT_ISSUED,	/* for that reason; no answer */
	TDL_ORDER_TRUST,	/* tdl_core_trust() makes it so, and the answer */
};

/* What a frame wants of the shim. What its kind does not use is 0. */
struct tdl_order {
	u64 id;
	u64 generation;
	u32 kind;
	u32 decision;
	u32 reason;
	u32 ttl_ms;
	u32 mode;
	u32 deadline_ms;
	u32 exempt_count;
	u32 scope;		/* of a verdict for mTLS */
	u32 terms_len;		/* so many bytes at the end of its frame are the terms */
	u32 own_len;		/* so many of those say who the process is */
	struct tdl_prefix exempt[TDL_EXEMPT_MAX];
};

/*
 * Given by the shim, called by the core.
 */

/* NULL when there is no memory; may sleep; align is a power of two. */
void *tdl_alloc(size_t size, size_t align);
/* p came from tdl_alloc() with the same size and align. */
void tdl_free(void *p, size_t size, size_t align);
/* Fills buf from the kernel's generator, once that is seeded. */
void tdl_random(u8 *buf, size_t len);
/* Wall clock, seconds since 1970. */
u64 tdl_unix_time(void);
/*
 * The core has panicked: msg is len bytes of text, not terminated, that are only read here.
 * Never returns, though objtool must not be told: the shim marks the engine dead, leaves the
 * private stack with all frames on it, frees what the core had allocated, and fails the call
 * with -ENOTRECOVERABLE.
 */
void tdl_core_panicked(const u8 *msg, size_t len);

/*
 * Given by the core, called by the shim. Lengths fit in an int; a negative result is an errno.
 */

/* Encodes the hello frame; its length, or -ENOSPC when cap is too small. */
ssize_t tdl_core_hello(const struct tdl_hello *hello, u8 *out, size_t cap);

/*
 * Says whether tdl_core_frame() would take this frame, without acting: 0, -EMSGSIZE or
 * -EPROTO as below. Cheap, touches no state, neither allocates nor panics: it decides what
 * write(2) returns, before the act itself, whose answer is read later.
 */
ssize_t tdl_core_check(const u8 *in, size_t in_len);

/*
 * Takes one whole frame from user space, acts, and encodes the answer: its length, or 0 when
 * order says what the shim is to do, or that there is nothing more to it.
 * -EMSGSIZE: longer than TDL_FRAME_MAX. -EPROTO: not a frame that user space may send.
 * -ENOSPC: cap is below TDL_ANSWER_MAX.
 */
ssize_t tdl_core_frame(const u8 *in, size_t in_len, u8 *out, size_t cap,
		       struct tdl_order *order);

/* Encodes the answer to an order for the status or the settings: its length. */
ssize_t tdl_core_status(u64 id, const struct tdl_status *status, u8 *out, size_t cap);

/* Encodes a question for a verdict, which answers it under the same id: its length. */
ssize_t tdl_core_ask(u64 id, const struct tdl_ask_facts *facts, u8 *out, size_t cap);

/*
 * Writes into a self-test result, made by tdl_core_frame(), what the shim has measured
 * afterwards: the size of the private stack and how much of it was ever used. Leaves every
 * other frame as it is. 0, or -EPROTO when frame holds none.
 */
ssize_t tdl_core_stamp(u8 *frame, size_t len, u32 stack_size, u32 stack_high_water);

/* What the shim holds for the core. */
struct tdl_key_waiting;		/* a key whose certificate is asked for */
struct tdl_identity;		/* an SVID and its key */
struct tdl_trust;		/* who is trusted for which trust domain */
struct tdl_tls;			/* a handshake */

/* What tdl_core_free() is given. */
enum tdl_held_kind {
	TDL_HELD_KEY = 1,	/* struct tdl_key_waiting */
	TDL_HELD_IDENTITY,
	TDL_HELD_TRUST,
	TDL_HELD_TLS,
};

/*
 * Makes a key for who the part of a verdict's terms that says so says the process is, and encodes
 * the frame that wants it certified under this id: its length. The key is the shim's then.
 * -EINVAL: own is none, or facts make no sense. -ENOSPC: cap is below TDL_FRAME_MAX.
 */
ssize_t tdl_core_sign(u64 id, const struct tdl_ask_facts *facts, const u8 *own, size_t own_len,
		      u8 *out, size_t cap, struct tdl_key_waiting **key);

/*
 * Puts the key and the SVID in the frame of TDL_ORDER_ISSUED together: 0, and the identity is the
 * shim's, with the time until which it is valid, in seconds since 1970. -EBADMSG: it is not for
 * this key, or for another SPIFFE ID. The key is the core's again, whatever comes of it.
 */
ssize_t tdl_core_certify(struct tdl_key_waiting *key, const u8 *in, size_t in_len,
			 struct tdl_identity **identity, u64 *until);

/*
 * What the frame of TDL_ORDER_TRUST makes of a trust, which stays as it is (NULL: nobody is
 * trusted), and encodes the answer: its length. The new trust is the shim's; NULL when the answer
 * is a refusal.
 */
ssize_t tdl_core_trust(const struct tdl_trust *old, const u8 *in, size_t in_len,
		       u8 *out, size_t cap, struct tdl_trust **new);

/* struct tdl_records.cipher. */
#define TDL_CIPHER_AES128GCM		1u
#define TDL_CIPHER_AES256GCM		2u
#define TDL_CIPHER_CHACHA20POLY1305	3u

/* What protects one direction. */
struct tdl_traffic {
	u64 sequence;		/* of the next record */
	u8 key[32];		/* the first half of it for TDL_CIPHER_AES128GCM */
	u8 iv[12];		/* the fixed part of the nonces (RFC 8446, 5.3) */
	u32 zero;
};

#define TDL_ID_MAX 2048

/* What a handshake has come to. */
struct tdl_records {
	struct tdl_traffic tx;	/* what we send */
	struct tdl_traffic rx;
	u64 until;		/* the peer is who it is, in seconds since 1970 */
	u32 cipher;
	u16 suite;		/* numbers of the TLS registry */
	u16 group;
	u32 peer_len;
	u32 zero;
	u8 peer[TDL_ID_MAX];	/* its SPIFFE ID */
};

/*
 * Begins a handshake: of who connects (direction), his first flight waits; else it waits for one.
 * As this identity, by this trust (NULL: nobody is trusted), with whom the terms of the verdict
 * say. 0, and it is the shim's. -EINVAL: terms are none, or the like.
 */
ssize_t tdl_core_shake(u32 direction, const struct tdl_identity *identity,
		       const struct tdl_trust *trust, const u8 *terms, size_t terms_len,
		       struct tdl_tls **tls);

/*
 * Takes bytes from the peer: 1 when the handshake is done, 0 when it goes on. One record at a time,
 * for what comes after the last one of it is not the core's.
 * -EKEYREJECTED: the peer is nobody whom the terms name, or nobody vouches for it. -EPROTO: it
 * failed otherwise. An alert may wait to be sent then, and nothing else may be done with it.
 */
ssize_t tdl_core_receive(struct tdl_tls *tls, const u8 *in, size_t in_len);

/* Copies what is to be sent next: how much, 0 when there is nothing. */
ssize_t tdl_core_output(struct tdl_tls *tls, u8 *out, size_t cap);

/*
 * What the handshake has come to, once it is done and all of it was sent: 0, or -EINVAL. The
 * handshake is the core's again, whatever comes of it, and its keys are nobody else's.
 */
ssize_t tdl_core_records(struct tdl_tls *tls, struct tdl_records *records);

/* Back to the core, which wipes what is secret in it: 0. */
ssize_t tdl_core_free(u32 kind, void *what);

#endif /* TIDELOCK_CORE_H */
