// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tracepoints' own code: in a file of its own, for its headers are read many times over.
 */
#define CREATE_TRACE_POINTS
#include "trace.h"
