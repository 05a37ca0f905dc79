#include "rpc/descriptors.h"

extern const uint8_t rpc_descriptor_bytes[]; /* generated from proto/ */
extern const size_t rpc_descriptor_bytes_len;

struct bytes rpc_descriptor_set(void)
{
    return (struct bytes){rpc_descriptor_bytes, rpc_descriptor_bytes_len};
}
