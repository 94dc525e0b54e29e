// Push constants, one struct a shader, read by C and by GLSL. The first two words are the grid's:
// the device sets them, so that a long dispatch can be cut.
#ifndef HN_PUSH_H
#define HN_PUSH_H

#ifdef GL_core_profile
#define HN_PUSH_GRID uint end_group, first_group;
#else
#include <stdint.h>
#define HN_PUSH_GRID uint32_t end_group, first_group;
#define uint uint32_t
#endif

struct rms_norm_push { HN_PUSH_GRID uint cols; float eps; };

#ifndef GL_core_profile
#undef uint
#endif
#endif
