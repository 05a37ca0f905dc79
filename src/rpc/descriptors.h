/* rpc/descriptors.h: the definitions of our gRPC services, for reflection. */
#pragma once

#include "base/str.h"

struct bytes rpc_descriptor_set(void); /* a FileDescriptorSet; static */
