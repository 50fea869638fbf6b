// SPDX-License-Identifier: GPL-2.0-only
/*
 * /proc/tidelock/connections and svids: what is known of each socket, and of the SVID of each
 * process, for root, without the daemon.
 *
 * One line for each, its columns separated by tabs, after a line that names them. Not a snapshot:
 * sockets and processes come and go while they are read.
 */
#include <linux/capability.h>
#include <linux/ktime.h>
#include <linux/proc_fs.h>
#include <linux/rhashtable.h>
#include <linux/seq_file.h>

#include "asker.h"
#include "conn.h"
#include "svid.h"
#include "table.h"
#include "terms.h"

static struct proc_dir_entry *tdl_table_dir;

static const char *tdl_table_state(enum tdl_state state)
{
	switch (state) {
	case TDL_IDLE:
		return "idle";
	case TDL_WAITING:
		return "waiting";
	case TDL_CANCELLING:
		return "cancelling";
	case TDL_OPENING:
		return "opening";
	case TDL_DECIDED:
		return "decided";
	case TDL_REFUSED:
		return "refused";
	case TDL_LISTENING:
		return "listening";
	case TDL_CLOSED:
		break;
	}
	return "closed";
}

static const char *tdl_table_decision(u32 decision)
{
	switch (decision) {
	case TDL_DENY:
		return "deny";
	case TDL_PLAIN:
		return "plain";
	case TDL_MTLS:
		return "mtls";
	}
	return "-";
}

static const char *tdl_table_direction(u32 direction)
{
	switch (direction) {
	case TDL_CONNECT:
		return "connect";
	case TDL_ACCEPT:
		return "accept";
	}
	return "-";
}

static void tdl_table_address(struct seq_file *seq, const struct tdl_address *address)
{
	switch (address->family) {
	case 4:
		seq_printf(seq, "\t%pI4:%u", address->bytes, address->port);
		return;
	case 6:
		seq_printf(seq, "\t[%pI6c]:%u", address->bytes, address->port);
		return;
	}
	seq_puts(seq, "\t-");
}

static bool tdl_table_line(struct tdl_conn *conn, void *data)
{
	struct seq_file *seq = data;
	enum tdl_state state;
	struct tdl_case c;
	u64 id, born;
	bool found;

	spin_lock_bh(&conn->lock);
	/* Else it was freed under us, or is being made for another. */
	found = READ_ONCE(conn->sk);
	id = conn->id;
	born = conn->born;
	state = conn->state;
	c = conn->c;
	spin_unlock_bh(&conn->lock);
	if (!found)
		return true;

	seq_printf(seq, "%llu\t%s\t%s\t%s\t%#x", id, tdl_table_direction(c.direction),
		   tdl_table_state(state), tdl_table_decision(c.verdict.decision),
		   c.verdict.reason);
	tdl_table_address(seq, &c.local);
	tdl_table_address(seq, &c.remote);
	seq_printf(seq, "\t%u\t%u\t%llu\t", c.process.tgid, c.uid,
		   div_u64(ktime_get_boottime_ns() - born, NSEC_PER_MSEC));
	/* A process chooses its name: what would break a line or a column is escaped. */
	seq_escape(seq, c.process.comm, " \t\n\\");
	seq_putc(seq, '\n');
	return true;
}

static int tdl_table_show(struct seq_file *seq, void *unused)
{
	seq_puts(seq, "id\tdirection\tstate\tdecision\treason\tlocal\tremote\ttgid\tuid\tage_ms\tcomm\n");
	tdl_conns_visit(tdl_table_line, seq);
	return 0;
}

static const char *tdl_table_svid_state(const struct tdl_svid_view *view)
{
	switch (view->state) {
	case TDL_SVID_WANTED:
		return "wanted";
	case TDL_SVID_HELD:
		return view->asked ? "renewed" : "held";
	case TDL_SVID_REFUSED:
		break;
	}
	return "refused";
}

static void *tdl_table_svids_start(struct seq_file *seq, loff_t *pos)
{
	return *pos ? tdl_svids_at(*pos - 1) : SEQ_START_TOKEN;
}

static void *tdl_table_svids_next(struct seq_file *seq, void *v, loff_t *pos)
{
	++*pos;
	return v == SEQ_START_TOKEN ? tdl_svids_at(0) : tdl_svids_after(v);
}

static void tdl_table_svids_stop(struct seq_file *seq, void *v)
{
	if (v && v != SEQ_START_TOKEN)
		tdl_svid_put(v);
}

static int tdl_table_svids_show(struct seq_file *seq, void *v)
{
	struct tdl_svid *svid = v;
	struct tdl_svid_view view;
	const char *id;
	int len;

	if (v == SEQ_START_TOKEN) {
		seq_puts(seq, "spiffe_id\tscope\tstate\treason\tuntil\tissued\ttgid\tuid\tcomm\n");
		return 0;
	}
	tdl_svid_view(svid, &view);
	len = tdl_terms_id(svid->terms, &id);
	seq_printf(seq, "%.*s\t%s\t%s\t%#x\t%llu\t%u\t%u\t%u\t", len, id,
		   svid->who.scope == TDL_SCOPE_WORKLOAD ? "workload" : "process",
		   tdl_table_svid_state(&view), view.reason, view.until, view.issued,
		   view.asker->process.tgid, view.asker->key.uid);
	/* As above. */
	seq_escape(seq, view.asker->process.comm, " \t\n\\");
	seq_putc(seq, '\n');
	tdl_asker_put(view.asker);
	return 0;
}

static const struct seq_operations tdl_table_svids_seq = {
	.start = tdl_table_svids_start,
	.next = tdl_table_svids_next,
	.stop = tdl_table_svids_stop,
	.show = tdl_table_svids_show,
};

/*
 * For who may look into the processes of the host: root in a container has the file before him,
 * too, and the daemon has little else.
 */
static int tdl_table_open(struct inode *inode, struct file *file)
{
	if (!capable(CAP_SYS_PTRACE))
		return -EPERM;
	return single_open(file, tdl_table_show, NULL);
}

static int tdl_table_open_svids(struct inode *inode, struct file *file)
{
	if (!capable(CAP_SYS_PTRACE))
		return -EPERM;
	return seq_open(file, &tdl_table_svids_seq);
}

static const struct proc_ops tdl_table_ops = {
	.proc_open = tdl_table_open,
	.proc_read = seq_read,
	.proc_lseek = seq_lseek,
	.proc_release = single_release,
};

static const struct proc_ops tdl_table_svids_ops = {
	.proc_open = tdl_table_open_svids,
	.proc_read = seq_read,
	.proc_lseek = seq_lseek,
	.proc_release = seq_release,
};

/* Readers are waited for when it is removed. */
int tdl_table_init(void)
{
	tdl_table_dir = proc_mkdir("tidelock", NULL);
	if (!tdl_table_dir)
		return -ENOMEM;
	if (proc_create("connections", 0400, tdl_table_dir, &tdl_table_ops) &&
	    proc_create("svids", 0400, tdl_table_dir, &tdl_table_svids_ops))
		return 0;
	proc_remove(tdl_table_dir);
	return -ENOMEM;
}

void tdl_table_exit(void)
{
	proc_remove(tdl_table_dir);
}
