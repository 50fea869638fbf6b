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

#include "tidelock_core.h"

struct tdl_frame {
	struct list_head node;
	ssize_t len;		/* of data, or the errno that read(2) returns in its place */
	u8 data[TDL_FRAME_MAX];
};

struct tdl_frames {
	struct list_head list;
	unsigned int count;
};

struct tdl_frame *tdl_frame_alloc(void);
void tdl_frame_free(struct tdl_frame *frame);

void tdl_frames_init(struct tdl_frames *frames);
void tdl_frames_push(struct tdl_frames *frames, struct tdl_frame *frame);
struct tdl_frame *tdl_frames_first(struct tdl_frames *frames);
void tdl_frames_remove(struct tdl_frames *frames, struct tdl_frame *frame);
void tdl_frames_free(struct tdl_frames *frames);

#endif /* TIDELOCK_FRAME_H */
