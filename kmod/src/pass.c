// SPDX-License-Identifier: GPL-2.0-only
/*
 * A task's way through an operation of ours.
 *
 * The socket's reference keeps the module while the socket is ours. A task may be in an operation,
 * or have read it and be about to call it, when the socket is given back with that reference
 * (withdraw.c). Who sleeps there is recalled, and who comes now is sent away at once: none of them
 * stays, so that unloading can wait for them.
 */
#include <linux/srcu.h>

#include "conn.h"
#include "hook.h"
#include "ops.h"
#include "pass.h"
#include "recall.h"

static struct srcu_struct tdl_pass_inside;

/* Held from one function to another, which sparse does not follow: it is told of neither. */
int tdl_pass_enter(void)
{
	int cookie = srcu_read_lock(&tdl_pass_inside);

	__release(&tdl_pass_inside);
	return cookie;
}

void tdl_pass_leave(int cookie)
{
	__acquire(&tdl_pass_inside);
	srcu_read_unlock(&tdl_pass_inside, cookie);
}

/*
 * Whether the operation may go on. If not it returns what this says, and the task calls again,
 * the kernel's operation this time; who will not wait goes on with that one from here, as without
 * an entry. The caller has the socket's file, as all do who call.
 */
int tdl_pass_begin(struct tdl_pass *pass, struct socket *sock, bool waits)
{
	bool given;

	pass->cookie = tdl_pass_enter();
	pass->conn = tdl_conn_get(sock->sk);
	if (pass->conn)
		given = tdl_conn_state(pass->conn) == TDL_CLOSED;
	else
		given = tdl_hook_is_withdrawn() && !tdl_ops_are_ours(sock);
	if (!given)
		return 0;
	if (waits)
		return tdl_recall_self();
	if (pass->conn)
		tdl_conn_put(pass->conn);
	pass->conn = NULL;
	return 0;
}

void tdl_pass_end(struct tdl_pass *pass)
{
	if (pass->conn)
		tdl_conn_put(pass->conn);
	tdl_pass_leave(pass->cookie);
}

int tdl_pass_init(void)
{
	return init_srcu_struct(&tdl_pass_inside);
}

/* Waits for all that are inside. No socket is ours any more. */
void tdl_pass_drain(void)
{
	synchronize_srcu(&tdl_pass_inside);
}

void tdl_pass_exit(void)
{
	cleanup_srcu_struct(&tdl_pass_inside);
}
