/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A frame on its way to user space, and the queue it waits in.
 *
 * The queue has no lock of its own: its owner has one.
 */
#ifndef TIDELOCK_FRAME_H
#define TIDELOCK_FRAME_H

#include <linux/list.h>
#include <linux/types.h>

struct tdl_frame {
	struct list_head node;
	ssize_t len;		/* of what is in data, or what read(2) returns in its place */
	size_t cap;		/* of data */
	u8 data[];
};

struct tdl_frames {
	struct list_head list;
	unsigned int count;
};

struct tdl_frame *tdl_frame_alloc(size_t cap);
void tdl_frame_free(struct tdl_frame *frame);

void tdl_frames_init(struct tdl_frames *frames);
void tdl_frames_push(struct tdl_frames *frames, struct tdl_frame *frame);
struct tdl_frame *tdl_frames_first(struct tdl_frames *frames);
void tdl_frames_remove(struct tdl_frames *frames, struct tdl_frame *frame);
void tdl_frames_free(struct tdl_frames *frames);

#endif /* TIDELOCK_FRAME_H */
