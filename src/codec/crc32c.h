/* codec/crc32c.h: the Castagnoli CRC that snappy frames, chunk files and indexes carry. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* The CRC of data appended to what `crc` stands for; start with 0. */
uint32_t crc32c(uint32_t crc, const void *data, size_t len);
