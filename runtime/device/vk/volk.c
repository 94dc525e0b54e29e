// volk itself, which is shipped as source beside its header.
#include "volk_names.h"
#define VK_NO_PROTOTYPES
#define VOLK_IMPLEMENTATION
#include <volk.h>
