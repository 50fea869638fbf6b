// SPDX-License-Identifier: GPL-2.0-only
/*
 * A frame on its way to user space, and the queue it waits in.
 */
#include <linux/overflow.h>
#include <linux/slab.h>

#include "frame.h"

/* Room for a frame of so many bytes. */
struct tdl_frame *tdl_frame_alloc(size_t cap)
{
	struct tdl_frame *frame;

	/*
	 * An answer's is charged to who writes; questions are few. Zeroed: no byte of it can be
	 * somebody else's.
	 */
	frame = kzalloc(struct_size(frame, data, cap), GFP_KERNEL_ACCOUNT);
	if (frame)
		frame->cap = cap;
	return frame;
}

void tdl_frame_free(struct tdl_frame *frame)
{
	kfree(frame);
}

void tdl_frames_init(struct tdl_frames *frames)
{
	INIT_LIST_HEAD(&frames->list);
	frames->count = 0;
}

void tdl_frames_push(struct tdl_frames *frames, struct tdl_frame *frame)
{
	list_add_tail(&frame->node, &frames->list);
	frames->count++;
}

struct tdl_frame *tdl_frames_first(struct tdl_frames *frames)
{
	return list_first_entry_or_null(&frames->list, struct tdl_frame, node);
}

void tdl_frames_remove(struct tdl_frames *frames, struct tdl_frame *frame)
{
	list_del(&frame->node);
	frames->count--;
}

void tdl_frames_free(struct tdl_frames *frames)
{
	struct tdl_frame *frame, *next;

	list_for_each_entry_safe(frame, next, &frames->list, node) {
		tdl_frames_remove(frames, frame);
		tdl_frame_free(frame);
	}
}
