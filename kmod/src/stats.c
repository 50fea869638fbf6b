// SPDX-License-Identifier: GPL-2.0-only
/*
 * The counters in /sys/class/misc/tidelock/engine, one value a file.
 */
#include <linux/device.h>

#include "engine.h"
#include "memory.h"
#include "stats.h"
#include "tidelock_core.h"

static ssize_t state_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%s\n", tdl_engine_is_dead() ? "dead" : "ready");
}
static DEVICE_ATTR_RO(state);

static ssize_t stack_size_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", TDL_CORE_STACK);
}
static DEVICE_ATTR_RO(stack_size);

static ssize_t stack_high_water_show(struct device *dev, struct device_attribute *attr,
				     char *buf)
{
	struct tdl_engine_use use;

	tdl_engine_use(&use);
	return sysfs_emit(buf, "%u\n", use.stack_high_water);
}
static DEVICE_ATTR_RO(stack_high_water);

static ssize_t calls_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct tdl_engine_use use;

	tdl_engine_use(&use);
	return sysfs_emit(buf, "%llu\n", use.calls);
}
static DEVICE_ATTR_RO(calls);

static ssize_t panics_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct tdl_engine_use use;

	tdl_engine_use(&use);
	return sysfs_emit(buf, "%llu\n", use.panics);
}
static DEVICE_ATTR_RO(panics);

static ssize_t frames_refused_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct tdl_engine_use use;

	tdl_engine_use(&use);
	return sysfs_emit(buf, "%llu\n", use.frames_refused);
}
static DEVICE_ATTR_RO(frames_refused);

static ssize_t memory_blocks_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct tdl_memory_use use;

	tdl_memory_use(&use);
	return sysfs_emit(buf, "%lu\n", use.blocks);
}
static DEVICE_ATTR_RO(memory_blocks);

static ssize_t memory_bytes_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct tdl_memory_use use;

	tdl_memory_use(&use);
	return sysfs_emit(buf, "%lu\n", use.bytes);
}
static DEVICE_ATTR_RO(memory_bytes);

static ssize_t memory_peak_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct tdl_memory_use use;

	tdl_memory_use(&use);
	return sysfs_emit(buf, "%lu\n", use.peak);
}
static DEVICE_ATTR_RO(memory_peak);

static struct attribute *tdl_stats_attrs[] = {
	&dev_attr_state.attr,
	&dev_attr_stack_size.attr,
	&dev_attr_stack_high_water.attr,
	&dev_attr_calls.attr,
	&dev_attr_panics.attr,
	&dev_attr_frames_refused.attr,
	&dev_attr_memory_blocks.attr,
	&dev_attr_memory_bytes.attr,
	&dev_attr_memory_peak.attr,
	NULL
};

static const struct attribute_group tdl_stats_group = {
	.name = "engine",
	.attrs = tdl_stats_attrs,
};

const struct attribute_group *tdl_stats_groups[] = {
	&tdl_stats_group,
	NULL
};
